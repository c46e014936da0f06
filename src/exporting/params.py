"""The section `export` of params.yaml."""

from typing import Literal

from pydantic import Field

from src.base.params import Params


class ExportParams(Params):
    formats: list[Literal["submission", "label_maps", "geojson", "gpkg", "csv"]]
    submission_rows: Literal["image", "object"]
    submission_ids: Literal["stem", "file_name"]
    simplify: float = Field(ge=0)  # px
    right_angles: bool
