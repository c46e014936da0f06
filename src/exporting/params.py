"""The section `export` of params.yaml."""

from typing import Literal

from pydantic import field_validator

from src.base.files import is_inside
from src.base.params import Params


class ExportParams(Params):
    formats: list[Literal["submission", "label_maps", "geojson", "gpkg", "csv"]]
    submission_rows: Literal["image", "object"]
    submission_ids: Literal["stem", "file_name"]
    submission_list: str  # a file below dataset.root, or none

    @field_validator("submission_list")
    @classmethod
    def _stay_in_the_root(cls, path: str) -> str:
        if not is_inside(path):
            raise ValueError("must lie below dataset.root, by a relative path without '..'")
        return path

    @property
    def official_list(self) -> str | None:
        """The file, None where there is none."""
        return None if self.submission_list == "none" else self.submission_list
