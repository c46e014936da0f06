"""The sections `dataset` and `images` of params.yaml: what a dataset looks like."""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.base.files import is_inside
from src.base.params import AUTO, Auto, Params
from src.formats.prepared import IMAGE_TYPES, LATER_COLUMNS
from src.formats.stored_bands import MOST_BANDS

Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Category = Annotated[int, Field(ge=0)] | Name
SHELL = '"$`\\'  # a command that dvc starts names the root within double quotes


class DatasetParams(Params):
    """The section `dataset`; `src.reading.recognition` finds a value for what is `auto`."""

    root: Name  # prepare_masks gets it as an argument, from the same key
    format: Literal["auto", "coco", "mask_folder", "rle_csv", "vector", "yolo", "labelme"]
    category_id: Annotated[Category | Annotated[list[Category], Field(min_length=1)], Auto]
    crowd: Literal["ignore", "objects"]
    polygons: Literal["edges", "centres"]
    masks: Literal["auto", "instances", "components", "whole", "ids"]
    mask_folder: str  # this and the next three may be auto
    mask_suffix: str
    image_pattern: str
    mask_pattern: str
    missing_mask: Literal["refuse", "empty"]
    ignore_value: Literal["none"] | Annotated[int, Field(ge=1)]
    id_column: Name
    rle_column: Name
    class_column: str  # may be auto; empty: none; that of ids: what follows their last "_"
    rle_order: Literal["column", "row"]
    rle_first: Literal[0, 1]
    rle_starts: Literal["absolute", "relative"]
    rle_empty: list[Name]
    boxes: Literal["refuse", "objects"]
    vector_file: Name  # this and the next may be auto
    layer: Name
    aoi: str  # may be auto; empty: none
    where: dict[Name, Annotated[list[str | int | float | bool], Field(min_length=1)]]
    tile_size: int = Field(ge=16)  # px
    tile_overlap: int = Field(ge=0)  # px
    tile_block: Annotated[Annotated[int, Field(ge=1)], Auto]  # tiles
    group_pattern: str
    metadata_file: str  # in root
    metadata: list[str]  # columns of it
    leave_out: Name | list[Name]  # names of images; or a file in root that has them

    @field_validator("root")
    @classmethod
    def _stand_within_quotes(cls, root: str) -> str:
        if set(root) & set(SHELL) or "\n" in root:
            raise ValueError('must not hold any of " $ ` \\ or a line break; rename the folder')
        return root

    @property
    def categories(self) -> list[int | str] | None:
        """Those to read as one; None where that is `auto`."""
        if self.category_id == AUTO:
            return None
        return self.category_id if isinstance(self.category_id, list) else [self.category_id]

    @property
    def ignored_value(self) -> int | None:
        """That of pixels of a mask which are neither object nor background."""
        return None if self.ignore_value == "none" else self.ignore_value

    @field_validator("category_id")
    @classmethod
    def _name_categories_once(cls, given: int | str | list[int | str]) -> object:
        if isinstance(given, list) and len(set(map(str, given))) < len(given):
            raise ValueError("name each category once")
        return given

    @field_validator("vector_file", "aoi")
    @classmethod
    def _be_a_file_name(cls, name: str) -> str:
        if set(name) & set("/\\\0") or name in (".", ".."):
            raise ValueError("must be the name of a file in train/ or beside it, without a folder")
        return name

    @field_validator("tile_overlap")
    @classmethod
    def _be_a_part_of_a_tile(cls, overlap: int, info: ValidationInfo) -> int:
        if 2 * overlap > info.data.get("tile_size", 2 * overlap):
            raise ValueError("must be at most half of tile_size")
        return overlap

    @field_validator("metadata_file", "leave_out")
    @classmethod
    def _stay_in_the_root(cls, path: str | list[str]) -> str | list[str]:
        if isinstance(path, str) and not is_inside(path):
            raise ValueError("must lie below dataset.root, by a relative path without '..'")
        return path

    @field_validator("group_pattern")
    @classmethod
    def _be_a_regular_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is no regular expression ({error}); correct it") from None
        return pattern

    @field_validator("image_pattern", "mask_pattern")
    @classmethod
    def _find_one_part(cls, pattern: str, info: ValidationInfo) -> str:
        if pattern and re.compile(cls._be_a_regular_expression(pattern)).groups != 1:
            raise ValueError(
                "must have one group, (...), which finds what the names of image and mask have in "
                "common; write (?:...) for others"
            )
        suffix = info.data.get("mask_suffix", AUTO)
        if pattern and suffix not in (AUTO, ""):
            raise ValueError(f"cannot go with mask_suffix, which is '{suffix}'; leave that auto")
        return pattern

    @field_validator("metadata")
    @classmethod
    def _name_new_columns_once(cls, metadata: list[str]) -> list[str]:
        taken = [column for column in metadata if column in IMAGE_TYPES]
        if taken:
            raise ValueError(f"images.csv has a column '{taken[0]}' of its own, rename yours")
        taken = [column for column in metadata if column in LATER_COLUMNS]
        if taken:
            raise ValueError(f"training makes a column '{taken[0]}' itself, rename yours")
        if len(set(metadata)) < len(metadata):
            raise ValueError("name each column once")
        return metadata


class ImagesParams(Params):
    """The section `images`; with stretch `auto`, `src.preparing.levels` finds low and high."""

    keep: Literal["8bit", "16bit"]
    bands: Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=MOST_BANDS)]
    shown: list[Annotated[int, Field(ge=1)]]
    stretch: Literal["auto", "none", "range", "percentile"]
    low: Finite
    high: Finite
    no_data: Literal["none"] | Finite
    orientation: Literal["ignore", "apply"]

    @field_validator("bands")
    @classmethod
    def _be_named_where_16_bits_are_kept(cls, bands: list[int], info: ValidationInfo) -> list[int]:
        if not bands and info.data.get("keep") == "16bit":
            raise ValueError("name the bands where keep is 16bit, such as [1] or [1, 2, 3]")
        return bands

    @field_validator("shown")
    @classmethod
    def _be_bands(cls, shown: list[int], info: ValidationInfo) -> list[int]:
        bands = info.data.get("bands", [])
        if len(shown) not in (0, 1, 3) or not set(shown) <= set(bands):
            raise ValueError(f"name one or three of images.bands {bands}; [] is the first ones")
        return shown

    @property
    def as_bands(self) -> bool:
        """Whether images are stored as bands, not as 8-bit grey or RGB."""
        return self.keep == "16bit" or len(self.bands) not in (0, 1, 3)

    @property
    def shown_places(self) -> list[int]:
        """Places in `bands`, from 0, of those that pictures show; where there are bands."""
        if self.shown:
            return [self.bands.index(band) for band in self.shown]
        return [0, 1, 2] if len(self.bands) >= 3 else [0]

    @field_validator("high")
    @classmethod
    def _lie_above_low(cls, high: float, info: ValidationInfo) -> float:
        stretch, low = info.data.get("stretch", "none"), info.data.get("low", -float("inf"))
        if stretch in ("range", "percentile") and low >= high:
            raise ValueError(f"must be above low ({low:g}) where stretch is {stretch}")
        if stretch == "percentile" and (high > 100 or low < 0):
            raise ValueError(f"percentiles lie from 0 to 100, low ({low:g}) too")
        return high
