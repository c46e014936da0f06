"""The section `report` of params.yaml."""

from typing import Literal

from pydantic import Field

from src.base.params import Params


class ReportParams(Params):
    close_ups: int = Field(ge=1)  # of each kind of error
    scale: int = Field(ge=1)  # enlargement of the close-ups
    images: Literal["inside", "beside"]  # where those that are explored lie
    side: int = Field(ge=64)  # px, longest side of these
