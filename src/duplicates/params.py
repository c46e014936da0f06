"""The section `find_duplicates` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class FindDuplicatesParams(Params):
    """The section `find_duplicates`."""

    distance: int = Field(ge=-1, le=16)  # bits of 64; -1 is off
    difference: float = Field(ge=0)  # grey levels
    local_difference: float = Field(ge=0)  # of the range of detail around; 0 is off
    tile_overlap: float = Field(ge=0, lt=1)  # share of the smaller image's ground; 0 is off
