"""The section `evaluate` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class EvaluateParams(Params):
    max_detections: int = Field(ge=1)  # best scored detections judged per image
    resamples: int = Field(ge=100)  # sets of groups drawn for the intervals
    seed: int = Field(ge=0)  # of these draws
