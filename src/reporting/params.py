"""The section `report` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class ReportParams(Params):
    overlays: int = Field(ge=1)  # images each of best, median and worst
    scale: int = Field(ge=1)  # enlargement of the pictures
