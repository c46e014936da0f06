"""The section `loss`: the terms of the training loss and the weights of pixels and images."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from src.base.params import Auto, Params


class LossParams(Params):
    bce_weight: float = Field(ge=0)
    focal_weight: float = Field(ge=0)
    focal_gamma: float = Field(ge=0)
    focal_alpha: float = Field(ge=0, lt=1)
    focal_threshold: float = Field(ge=0, lt=1)
    ohem: float = Field(gt=0, le=1)
    label_smoothing: float = Field(ge=0, lt=0.5)
    dice_weight: float = Field(ge=0)
    jaccard_weight: float = Field(ge=0)
    tversky_weight: float = Field(ge=0)
    tversky_alpha: float = Field(ge=0)
    tversky_beta: float = Field(ge=0)
    overlap_log: bool
    overlap_per: Literal["batch", "image"]
    overlap_weighted: bool
    overlap_squared: bool
    lovasz_weight: float = Field(ge=0)
    lovasz_error: Literal["relu", "elu"]
    lovasz_symmetric: bool
    lovasz_per: Literal["image", "batch"]
    distance: Literal["none", "d1", "d1_d2"]
    w0: float = Field(ge=0)
    sigma: Annotated[float, Field(gt=0), Auto]
    size_weight: float = Field(ge=0)
    size_reference: float = Field(ge=0)
    object_weight: float = Field(ge=0)
    boundary_weight: float = Field(ge=0)
    boundary_kernel: int = Field(ge=3)
    max_weight: float = Field(ge=0)
    normalise_weights: bool
    image_weight: str
    border_weight: float = Field(ge=0)
    border_width: float = Field(gt=0)
    contact_weight: float = Field(ge=0)
    contact_width: float = Field(gt=0)
    boundary_distance_weight: Annotated[float, Field(ge=0), Auto]
    boundary_distance_loss: Literal["smooth_l1", "wing", "cauchy", "mse"]
    empty_weight: float = Field(ge=0)
    embedding_weight: float = Field(ge=0)
    embedding_loss: Literal[
        "discriminative", "contrastive", "triplet", "centre", "arcface", "cosface"
    ]

    @field_validator("boundary_kernel")
    @classmethod
    def _have_a_middle(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"must be odd to have a middle pixel, set {kernel + 1}")
        return kernel
