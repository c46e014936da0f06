"""The section `rescore` of params.yaml."""

from typing import Annotated, Literal, cast, get_args

from pydantic import Field, ValidationInfo, field_validator

from src.base.params import AUTO, Auto, Params

RuleName = Literal["constant", "mean", "mean_sqrt_area"]
ModelName = Literal["lightgbm", "random_forest"]
RULES, MODELS = get_args(RuleName), get_args(ModelName)  # fixed, and those that learn
MetricName = Literal["f1_50", "pq", "detection_accuracy"]


class RescoreParams(Params):
    score: Literal[RuleName, ModelName]
    target: Literal["iou", "hit"]  # of models
    trees: int = Field(gt=0)
    learning_rate: float = Field(gt=0, le=1)  # of lightgbm
    leaves: int = Field(ge=2)  # of a tree, at most; random_forest takes a multiple
    seed: int = Field(ge=0)
    calibration: Literal["none", "isotonic"]
    selection: Literal["none", "nms", "tree"]
    nms_iou: float = Field(ge=0, le=1)
    min_score: float = Field(ge=0)
    operating_point: Annotated[float, Field(ge=0), Auto]  # score from which one is accepted
    operating_metric: MetricName  # that `auto` makes the best

    @field_validator("selection")
    @classmethod
    def _scores_fit_the_tree(cls, selection: str, info: ValidationInfo) -> str:
        if selection == "tree" and info.data.get("score") == "mean_sqrt_area":
            raise ValueError(
                "rescore.selection tree needs scores up to 1, which rescore.score mean_sqrt_area "
                "are not; choose another of the two"
            )
        return selection


def given_point(params: RescoreParams) -> float | None:
    """Return the operating point that is given; None where it is left to the data."""
    return None if cast("object", params.operating_point) == AUTO else params.operating_point
