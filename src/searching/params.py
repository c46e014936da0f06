"""The section `search` of params.yaml: what is tried, and by what it is judged."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from src.base.params import Params

Metric = Literal["ap50", "f1_50", "detection_accuracy", "dice_mean"]
METRICS = get_args(Metric)


class SearchParams(Params):
    metric: Metric
    threshold: list[Annotated[float, Field(gt=0, lt=1)]]
    min_area: list[Annotated[int, Field(ge=0)]]
    max_hole: list[Annotated[int, Field(ge=0)]]
    dilate: list[Annotated[int, Field(ge=0)]]
    max_images: int = Field(ge=0)
    seed: int = Field(ge=0)
