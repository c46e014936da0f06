"""The sections `ensemble` and `student` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from src.base.params import Params
from src.maps.merge_rules import Merge


class EnsembleParams(Params):
    merge: Merge
    networks: Literal["all", "as_oof"]
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


class StudentParams(Params):
    folds: list[int]
    teachers: str
    weight: float = Field(ge=0, allow_inf_nan=False)
    consistency: float = Field(ge=0, allow_inf_nan=False)
    predictions: Literal["both", "teacher", "student"]
