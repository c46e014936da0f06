"""The section `label_errors` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class LabelErrorsParams(Params):
    iou_found: float = Field(gt=0, lt=1)  # of an object and a detection that stand for each other
    least: float = Field(ge=0, le=1)  # disagreement from which something is listed
    leave_out: float = Field(ge=0, le=1)  # the same, from which its image is named for leaving out
