"""The section `sample` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class SampleParams(Params):
    """The section `sample`."""

    seed: int = Field(ge=0)
    tile_size: int = Field(ge=64, le=512)  # px
    scene_tiles: int = Field(ge=1, le=4)  # tiles along a side of a scene
    train: int = Field(ge=1)  # tiles
    val: int = Field(ge=1)  # tiles
    test: int = Field(ge=0)  # tiles
    duplicates: float = Field(ge=0, le=0.3)  # share of a split's tiles that repeat a train tile
    rle: float = Field(ge=0, le=1)  # share of buildings without courtyard annotated as RLE
    min_area: float = Field(ge=0)  # px; smaller pieces of buildings cut by the edge are left out
    jpeg_quality: int = Field(ge=1, le=100)
