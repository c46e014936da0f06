"""The section `model`: what a network is built from, and what it is fed with."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.base.params import AUTO, Auto, Params

Colours = Annotated[list[float], Field(min_length=1, max_length=16), Auto]

# Keys that networks of older versions do not have, with what was always so
LATER: dict[str, Any] = {
    "stem_pooling": True,
    "decoder_upsampling": "nearest",
    "decoder_norm": "batchnorm",
}


class NetworkParams(Params):
    """What a network is built from besides its heads, input channels and pretrained weights."""

    architecture: str
    encoder: str
    encoder_depth: Annotated[int, Field(ge=3, le=5), Auto]
    encoder_attention: Literal["none", "scse"]
    stem_stride: Literal[1, 2]
    stem_pooling: bool
    decoder_width: int = Field(gt=0)
    decoder_attention: Literal["none", "scse"]
    decoder_upsampling: Literal["nearest", "bilinear", "transposed"]
    decoder_norm: Literal["batchnorm", "none"]
    hypercolumn: bool
    embedding_size: int = Field(gt=0)


class ModelParams(NetworkParams):
    encoder_weights: str
    image_channels: Literal["rgb", "grey", "bands"]
    extra_channels: list[Literal["depth", "coordinates", "row_gradient"]]
    depth_column: str
    clahe: float = Field(ge=0)
    resize: Annotated[float, Field(gt=0, le=8), Auto]
    mean: Colours
    std: Colours

    @field_validator("mean", "std")
    @classmethod
    def _be_of_three_colours(cls, given: list[float] | str, info: ValidationInfo) -> object:
        if given != AUTO and len(given) != 3 and info.data.get("image_channels") != "bands":
            raise ValueError("give three numbers, or auto; others go with image_channels bands")
        return given
