"""The section `prepare_masks` of params.yaml: what is painted, and what rejects an image."""

from typing import Literal

from pydantic import Field

from src.base.params import Params

KINDS = ("blank", "saturated", "no_data", "outside", "repaired", "vanished", "duplicate", "hidden")


class PrepareMasksParams(Params):
    """The section `prepare_masks`."""

    edge_objects: Literal["ignore", "drop", "keep"]
    edge_width: int = Field(ge=0)  # px
    erode: int = Field(ge=0)  # px
    dilate: int = Field(ge=0)  # px
    small_area: int = Field(ge=0)  # px
    duplicate_objects: Literal["drop", "keep"]
    reject: list[Literal[KINDS]]
    max_rejected: int = Field(ge=0)  # images
