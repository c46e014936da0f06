"""The section `pseudo_label` of params.yaml."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from src.base.params import Params


class PseudoLabelParams(Params):
    low: float = Field(ge=0, le=0.5)
    high: float = Field(ge=0.5, le=1)
    min_certain: float = Field(ge=0, le=1)
    max_spread: float = Field(ge=0)
    min_expected_iou: float = Field(ge=0, le=1)
    min_share: float = Field(ge=0)
    max_share: float = Field(ge=0)
    targets: Literal["hard", "soft"]

    @field_validator("max_share")
    @classmethod
    def _not_below_min(cls, max_share: float, info: ValidationInfo) -> float:
        min_share = info.data.get("min_share", 0)  # absent if it was refused itself
        if 0 < max_share < min_share:
            raise ValueError(
                f"pseudo_label.max_share {max_share} is below pseudo_label.min_share {min_share}; "
                "raise it or lower the other"
            )
        return max_share
