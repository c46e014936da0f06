"""The section `evaluate` of params.yaml."""

from typing import Annotated

from pydantic import Field

from src.base.params import Auto, Params


class EvaluateParams(Params):
    # best scored detections of an image that AP and AR look at
    max_detections: Annotated[int, Field(ge=1), Auto]
    resamples: int = Field(ge=100)  # sets of groups drawn for the intervals
    outline_images: int = Field(ge=0)  # of a split, whose polygons are compared; 0 is all
    seed: int = Field(ge=0)  # of these draws
