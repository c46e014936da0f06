"""The section `rescore` of params.yaml."""

from typing import Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from src.base.params import Params

Rule = Literal["constant", "mean", "mean_sqrt_area"]
Model = Literal["lightgbm", "random_forest"]
RULES, MODELS = get_args(Rule), get_args(Model)  # what scores: a fixed rule, or a model that learns


class RescoreParams(Params):
    score: Literal[Rule, Model]
    target: Literal["iou", "hit"]  # of models
    trees: int = Field(gt=0)
    learning_rate: float = Field(gt=0, le=1)  # of lightgbm
    leaves: int = Field(ge=2)  # of a tree, at most; random_forest takes a multiple
    seed: int = Field(ge=0)
    calibration: Literal["none", "isotonic"]
    selection: Literal["none", "nms", "tree"]
    nms_iou: float = Field(ge=0, le=1)
    min_score: float = Field(ge=0)
    max_detections: int = Field(gt=0)  # of an image

    @field_validator("selection")
    @classmethod
    def _scores_fit_the_tree(cls, selection: str, info: ValidationInfo) -> str:
        if selection == "tree" and info.data.get("score") == "mean_sqrt_area":
            raise ValueError(
                "rescore.selection tree needs scores up to 1, which rescore.score mean_sqrt_area "
                "are not; choose another of the two"
            )
        return selection
