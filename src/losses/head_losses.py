"""The training losses of the further heads: border, contact, boundary distance, empty, embedding.

Each is the mean over what is not ignored, so a batch of ignored pixels alone gives 0.
"""

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from src.label_maps.labels import IGNORE, IGNORED
from src.losses.embedding_losses import embedding_loss
from src.losses.params import LossParams
from src.losses.pixel_weights import STEPS_PER_PIXEL

BOUNDARY_DISTANCE_LOSSES = ("smooth_l1", "wing", "cauchy", "mse")
ERROR_UNIT = 0.1  # errors of the relative distance, which is in [0, 1], are seen in tenths
WING_WIDTH, WING_CURVATURE = 5.0, 0.5


def head_loss(
    outputs: dict[str, torch.Tensor], planes: dict[str, torch.Tensor], loss: LossParams
) -> torch.Tensor:
    """Sum `weight * loss` over the heads that are in `outputs` and whose weight is not 0.

    Parameters
    ----------
    outputs : dict of Tensor of any float type
        mask, border, contact (logits) and boundary_distance (the value itself), shape (B, H, W);
        embedding (B, E, H, W); empty (B,), the logit of "no object in the crop".
    planes : dict of Tensor of uint8, shape (B, H, W)
        target; d1, d2, inside in quarter pixels; inside_relative; id_low, id_high: as far as used.
    loss : LossParams
        `border_width`, in pixels: border is what an object has within this distance of its
        boundary. `contact_width`, in pixels: contact is where the distances to the two nearest
        objects add up to at most this. `boundary_distance_loss`, `embedding_loss`: the kinds, as in
        `boundary_distance_errors` and `src.losses.embedding_losses.embedding_loss`.

    Returns
    -------
    loss : Tensor
        A float32 scalar; 0 without any of these heads, and with a zero gradient where every pixel
        is ignored. A crop that is ignored as a whole has no say in the empty head.
    """
    valid = planes["target"] != IGNORED
    total = torch.zeros((), device=valid.device)
    if "border" in outputs and loss.border_weight:
        truth = (planes["target"] == 1) & (planes["inside"] <= loss.border_width * STEPS_PER_PIXEL)
        total = total + loss.border_weight * _cross_entropy(outputs["border"], truth, valid)
    if "contact" in outputs and loss.contact_weight:
        both = planes["d1"].int() + planes["d2"]  # two bytes may add up to more than a byte
        truth = both <= loss.contact_width * STEPS_PER_PIXEL
        total = total + loss.contact_weight * _cross_entropy(outputs["contact"], truth, valid)
    if "boundary_distance" in outputs and loss.boundary_distance_weight:
        error = outputs["boundary_distance"].float() - planes["inside_relative"] / 255
        errors = boundary_distance_errors(error, kind=loss.boundary_distance_loss)
        total = total + loss.boundary_distance_weight * _mean(errors, valid)
    if "empty" in outputs and loss.empty_weight:
        empty = ~(planes["target"] == 1).flatten(1).any(1)
        known = valid.flatten(1).any(1)
        total = total + loss.empty_weight * _cross_entropy(outputs["empty"], empty, known)
    if "embedding" in outputs and loss.embedding_weight:
        instances = planes["id_high"].long() * 256 + planes["id_low"]
        instances = instances.masked_fill(~valid, IGNORE)
        term = embedding_loss(outputs["embedding"], instances, kind=loss.embedding_loss)
        total = total + loss.embedding_weight * term
    return total


def boundary_distance_errors(error: torch.Tensor, *, kind: str) -> torch.Tensor:
    """Loss of each error x of the relative distance to the boundary.

    mse is x^2. The others are made for errors of several units, and on [0, 1] one would be half of
    mse and another a logarithm without its straight part. So they are taken of y = 10 x, the error
    in tenths, and divided by 10: a large error pulls with slope 1. smooth_l1 is y^2 / 2 below 1,
    then y - 1/2. wing (Feng et al. 2018, eq. 5) is w ln(1 + y / e) below w, then
    y - w + w ln(1 + w / e), with w = 5 and e = 0.5: the smallest errors pull with slope 10. cauchy
    is ln(1 + y^2 / 2) (Barron 2019, eq. 1 with its shape 0): the largest hardly pull.

    Parameters
    ----------
    error : Tensor of float32
    kind : {"smooth_l1", "wing", "cauchy", "mse"}

    Returns
    -------
    losses : Tensor of float32, same shape
        Not negative, 0 at 0.

    Raises
    ------
    ValueError
        If `kind` is unknown.
    """
    if kind == "mse":
        return error**2
    if kind == "smooth_l1":
        return smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=ERROR_UNIT)
    if kind == "cauchy":
        return torch.log1p((error / ERROR_UNIT) ** 2 / 2) * ERROR_UNIT
    if kind != "wing":
        known = ", ".join(BOUNDARY_DISTANCE_LOSSES)
        raise ValueError(f"boundary distance loss '{kind}' is unknown; known: {known}")
    size = error.abs() / ERROR_UNIT
    curved = WING_WIDTH * torch.log1p(size / WING_CURVATURE)
    offset = WING_WIDTH - WING_WIDTH * math.log1p(WING_WIDTH / WING_CURVATURE)
    return torch.where(size < WING_WIDTH, curved, size - offset) * ERROR_UNIT


def _cross_entropy(logits: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross entropy over what is valid."""
    losses = binary_cross_entropy_with_logits(logits.float(), truth.float(), reduction="none")
    return _mean(losses, valid)


def _mean(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return the mean over what is valid, 0 if nothing is."""
    return (values * valid).sum() / valid.sum().clamp(min=1)
