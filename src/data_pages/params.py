"""The section `data_report` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class DataReportParams(Params):
    """The section `data_report`."""

    examples: int = Field(ge=1)
    clusters: int = Field(ge=1)
    thumbnail: int = Field(ge=16)  # px
    measured: int = Field(ge=1)  # images of a split
