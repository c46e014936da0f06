"""The section `postprocess` of params.yaml, which two stages read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from src.base.errors import InputError
from src.base.params import AUTO, Auto, Params, load_params

SIZES = ("min_area", "max_hole", "dilate")
SEARCHABLE = ("threshold", *SIZES)  # in the order they are searched

Probability = Annotated[float, Field(gt=0, lt=1)]
Pixels = Annotated[int, Field(ge=0)]


class PostprocessParams(Params):
    method: Literal["threshold", "layers", "watershed", "embedding"]
    threshold: Annotated[float, Field(gt=0, lt=1), Auto]
    layers: list[Probability] = Field(min_length=1)
    seeds: Annotated[Literal["mask", "border", "contact", "distance"], Auto]
    seed_threshold: float = Field(gt=0, le=1)
    seed_area: Pixels
    link_threshold: float = Field(ge=0, le=1)
    connectivity: Annotated[Literal[4, 8], Auto]
    white_speckle: Pixels
    black_speckle: Pixels
    max_hole: Annotated[int, Field(ge=0), Auto]
    erode: Pixels
    min_area: Annotated[int, Field(ge=0), Auto]
    max_area: Pixels
    dilate: Annotated[int, Field(ge=0), Auto]
    empty_threshold: float = Field(ge=0, le=1)
    hull_low: float = Field(ge=0, le=1)
    hull_high: float = Field(ge=0, le=1)
    hull_rows: float = Field(ge=0, le=1)
    hull_erode: int = Field(ge=0, le=1000)
    hull_min_area: float = Field(ge=0)
    hull_margin: Pixels
    hull_threshold: float = Field(ge=0, le=1)

    @field_validator("layers")
    @classmethod
    def _rise(cls, layers: list[float]) -> list[float]:
        if any(low >= high for low, high in zip(layers, layers[1:], strict=False)):
            raise ValueError("thresholds of layers must rise, each at most once")
        return layers

    @field_validator("hull_high")
    @classmethod
    def _not_below_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("hull_low", 0)  # absent if it was refused itself
        if high and low > high:
            raise ValueError(
                f"postprocess.hull_low {low} is above postprocess.hull_high {high}; give a range, "
                "or set hull_high to 0 to switch the rule off"
            )
        return high


def load_postprocess(path: Path, plan: Path) -> PostprocessParams:
    """Read the section with what the plan says of the keys that are `auto` and not searched.

    Values of an object (`SEARCHABLE`) can be searched where there is one map of objects, so there
    the plan says connectivity and seeds alone. Nested candidates of the method layers are chosen
    among by their scores, not by values: all is as planned but the threshold, which they do not
    have.

    Parameters
    ----------
    path : Path
        params.yaml.
    plan : Path
        Folder of the stage plan: postprocess.json has connectivity, seeds, min_area, max_hole,
        dilate.

    Returns
    -------
    params : PostprocessParams
        Where something is still `auto`, it is to be searched, or the threshold of layers.

    Raises
    ------
    InputError
        As `src.base.params.load_params`, or if the plan has no value for a key.
    """
    params = load_params(path, "postprocess", PostprocessParams)
    planned = load_params(path, "postprocess", PostprocessParams, plan=plan)
    keys = ("connectivity", "seeds", *(SIZES if params.method == "layers" else ()))
    values = {key: getattr(planned, key) for key in keys}
    for key, value in values.items():
        if value == AUTO:
            raise InputError(f"{plan}/postprocess.json: has no value for {key}; run the stage plan")
    return params.model_copy(update=values)


def searched_keys(params: PostprocessParams) -> list[str]:
    """Return the keys that are to be searched, in the order of SEARCHABLE.

    They are those that are `auto`; none of the method layers, which has no one map of objects.
    """
    if params.method == "layers":
        return []
    return [key for key in SEARCHABLE if getattr(params, key) == AUTO]


def with_chosen(
    params: PostprocessParams, chosen: Mapping[str, float | int], origin: str
) -> PostprocessParams:
    """Put chosen values in the place of `auto`.

    Parameters
    ----------
    params : PostprocessParams
        Keys in SEARCHABLE may be `auto`.
    chosen : mapping
        By key; of `searched_keys`, and no others.
    origin : str
        Where `chosen` comes from, for the message.

    Returns
    -------
    params : PostprocessParams
        Without `auto` but for the threshold of layers; unchanged if nothing was searched.

    Raises
    ------
    InputError
        If `chosen` is of other keys than those that are `auto`, or a value is none of its key.
    """
    wanted = searched_keys(params)
    if sorted(chosen) != sorted(wanted):
        raise InputError(
            f"{origin}: holds values of {sorted(chosen)} where {sorted(wanted)} are auto in "
            "params.yaml; run search_postprocess"
        )
    try:
        return PostprocessParams.model_validate(dict(params) | dict(chosen))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{origin}: {first['loc'][0]}: {first['msg']}, got {first['input']!r:.80}; run "
            "search_postprocess"
        ) from None
