"""The section `validate_split` of params.yaml."""

from pydantic import Field

from src.base.params import Params


class ValidateSplitParams(Params):
    """The section `validate_split`."""

    k: int = Field(ge=2)
    trees: int = Field(gt=0)
    encoder: str
    encoder_weights: str
    max_images: int = Field(ge=2, le=20_000)  # as many are compared pair by pair
    resamples: int = Field(gt=0)
    warn_above: float = Field(ge=0.5, le=1)
    seed: int = Field(ge=0, lt=2**31)
