"""The section `prepare_masks` of params.yaml: what is painted, and what rejects an image."""

from typing import Literal, get_args

from pydantic import Field

from src.base.params import Params

Kind = Literal[
    "blank", "saturated", "no_data", "few_levels", "pages", "outside", "repaired", "incomplete",
    "shrunk", "line", "crowd", "comb", "vanished", "duplicate", "hidden",
]  # fmt: skip
KINDS = get_args(Kind)


class PrepareMasksParams(Params):
    """The section `prepare_masks`."""

    edge_objects: Literal["ignore", "drop", "keep"]
    edge_width: int = Field(ge=0)  # px
    erode: int = Field(ge=0)  # px
    dilate: int = Field(ge=0)  # px
    small_area: int = Field(ge=0)  # px
    duplicate_objects: Literal["drop", "keep"]
    reject: list[Kind]
    max_rejected: int = Field(ge=0)  # images
