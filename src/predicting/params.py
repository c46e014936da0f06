"""The section `predict` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.base.params import Params
from src.maps.merge_rules import Merge
from src.networks.precision import Precision
from src.predicting.allowed_views import Views


class PredictParams(Params):
    views: Views
    scales: list[Annotated[float, Field(gt=0, le=8)]] = Field(min_length=1)
    gammas: list[Annotated[float, Field(gt=0, le=8)]] = Field(min_length=1)
    merge: Merge
    padding: Literal["replicate", "reflect"]
    margin: int = Field(ge=0, le=1024)
    max_size: int = Field(ge=32)
    overlap: int = Field(ge=0)
    precision: Precision

    @field_validator("overlap")
    @classmethod
    def _less_than_a_window(cls, overlap: int, info: ValidationInfo) -> int:
        max_size = info.data.get("max_size")  # absent if it was refused itself
        if max_size is not None and overlap >= max_size:
            raise ValueError(
                f"predict.overlap {overlap} must be less than predict.max_size {max_size}"
            )
        return overlap
