"""The section `errors` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class ErrorsParams(Params):
    iou_poor: float = Field(gt=0, lt=0.5)  # from which a wrong detection is a poor outline
    gallery: int = Field(ge=1)  # images named of each kind of error
