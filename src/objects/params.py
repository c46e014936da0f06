"""The section `postprocess` of params.yaml, which two stages read."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from src.base.errors import InputError
from src.base.params import Auto, Params

SEARCHABLE = ("threshold", "min_area", "max_hole", "dilate")  # in the order they are searched

Probability = Annotated[float, Field(gt=0, lt=1)]
Pixels = Annotated[int, Field(ge=0)]


class PostprocessParams(Params):
    method: Literal["threshold", "layers", "watershed", "embedding"]
    threshold: Annotated[float, Field(gt=0, lt=1), Auto]
    layers: list[Probability] = Field(min_length=1)
    seeds: Literal["mask", "border", "contact", "distance"]
    seed_threshold: float = Field(gt=0, le=1)
    seed_area: Pixels
    link_threshold: float = Field(ge=0, le=1)
    connectivity: Literal[4, 8]
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
    hull_min_area: float = Field(ge=0)

    @field_validator("layers")
    @classmethod
    def _rise(cls, layers: list[float]) -> list[float]:
        if any(low >= high for low, high in zip(layers, layers[1:], strict=False)):
            raise ValueError("thresholds of layers must rise, each at most once")
        return layers

    @field_validator(*SEARCHABLE)
    @classmethod
    def _one_map(cls, value: Any, info: ValidationInfo) -> Any:
        if value == "auto" and info.data.get("method") == "layers":
            raise ValueError(
                "the method layers makes nested candidates, for which nothing can be searched "
                "(it has no single threshold); give a number or choose another method"
            )
        return value

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


def searched_keys(params: PostprocessParams) -> list[str]:
    """Return the keys that are `auto`, in the order of SEARCHABLE."""
    return [key for key in SEARCHABLE if getattr(params, key) == "auto"]


def with_chosen(
    params: PostprocessParams, chosen: Mapping[str, float | int], origin: str
) -> PostprocessParams:
    """Put chosen values in the place of `auto`.

    Parameters
    ----------
    params : PostprocessParams
        Keys in SEARCHABLE may be `auto`.
    chosen : mapping
        By key; of the keys that are `auto`, and no others.
    origin : str
        Where `chosen` comes from, for the message.

    Returns
    -------
    params : PostprocessParams
        Without `auto`; unchanged if nothing was.

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
