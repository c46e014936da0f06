"""The section `search` of params.yaml: what is tried, and by what it is judged."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from src.base.errors import InputError
from src.base.params import Params
from src.objects.params import PostprocessParams, searched_keys

Metric = Literal["ap50", "f1_50", "detection_accuracy", "dice_mean"]
METRICS = get_args(Metric)


class SearchParams(Params):
    metric: Metric
    threshold: list[Annotated[float, Field(gt=0, lt=1)]]
    min_area: list[Annotated[int, Field(ge=0)]]
    max_hole: list[Annotated[int, Field(ge=0)]]
    dilate: list[Annotated[int, Field(ge=0)]]
    max_images: int = Field(ge=0)
    seed: int = Field(ge=0)


def searched_values(
    path: Path, search: SearchParams, postprocess: PostprocessParams
) -> dict[str, list[float | int]]:
    """Return the values to try of each key of `postprocess` that is `auto`, in that order.

    Parameters
    ----------
    path : Path
        Of the params file, for the message.
    search, postprocess
        The sections of these names.

    Raises
    ------
    InputError
        If there is none to try of one of them.
    """
    grid = {key: getattr(search, key) for key in searched_keys(postprocess)}
    for key, values in grid.items():
        if not values:
            raise InputError(
                f"{path}: search.{key} lists no value to try but postprocess.{key} is auto; "
                "list some or give a number"
            )
    return grid
