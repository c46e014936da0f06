"""The section `outlines` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class OutlinesParams(Params):
    simplify: float = Field(ge=0)  # px
    right_angles: bool
