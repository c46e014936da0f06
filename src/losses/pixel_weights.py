"""Loss weight of every pixel: distances to objects, object size, boundaries, image weights."""

import torch
from torch.nn.functional import avg_pool2d

from src.label_maps.labels import IGNORED
from src.losses.params import LossParams

STEPS_PER_PIXEL = 4  # weight maps hold distances in quarter pixels
MOST_STEPS = 2 * 255  # two of their bytes


def pixel_weights(
    planes: dict[str, torch.Tensor], image_weights: torch.Tensor, loss: LossParams
) -> torch.Tensor:
    """Weigh pixels by closeness to objects and boundaries and by smallness of their object.

    `w = (c + w0 exp(-d^2 / sigma^2) + boundary) * (C / sqrt(area))^size_weight * image weight` with
    the class weight c, 1 on the background, and a size factor of 1 there: the open solution to the
    CrowdAI mapping challenge, after Ronneberger et al. 2015, eq. 2 (which writes 2 sigma^2). The
    boundary band, and the mean of 1, are those of the Carvana challenge's winners.

    Parameters
    ----------
    planes : dict of Tensor of uint8, shape (B, H, W)
        target (1 object, 255 ignored); d1, d2 in quarter pixels; sqrt_area in pixels, or 0.
    image_weights : Tensor of float32, shape (B,), not negative
    loss : LossParams
        `distance`: what d is: no distance weight, the nearest object (d1), or the sum of the two
        nearest (d1_d2). With a single object d2 is at its clip (`weight_maps.max_distance`): d1_d2
        draws no halo around it. `w0`, `sigma`: weight added at distance 0, and its reach in pixels.
        `object_weight`: c on objects. `size_weight`: exponent of the size factor; 0 switches it
        off. `size_reference`: C in pixels; 0 is sqrt(H W) / 2 of the crop, as in the open solution,
        so that the factor of an object grows with the crop. Areas are of whole pixels to the root,
        which is 255 at most: up to 29 % off at 2 px, 11 % from 16 px. `boundary_weight`: added
        where 1 % to 99 % of the valid pixels of a square around are object, 0 switches it off;
        `boundary_kernel`: side of that square in pixels, cut at the edge of the crop.
        `max_weight`: cap on the weights, 0 is none. `normalise_weights`: whether valid pixels are
        then brought to mean 1 over the batch, unless all weigh 0.

    Returns
    -------
    weights : Tensor of float32, shape (B, H, W)
        Not negative; the image weights if everything else is off.
    """
    weights = 1 + _halo(planes["d1"], planes["d2"], loss)
    if loss.object_weight != 1:
        weights = weights + (loss.object_weight - 1) * (planes["target"] == 1)
    if loss.boundary_weight:
        band = _boundary_band(planes["target"], loss.boundary_kernel)
        weights = weights + loss.boundary_weight * band
    if loss.size_weight:
        weights = weights * _size_factor(planes["sqrt_area"].float(), loss)
    weights = weights * image_weights[:, None, None]
    if loss.max_weight:
        weights = weights.clamp(max=loss.max_weight)
    return _of_mean_one(weights, planes["target"]) if loss.normalise_weights else weights


def _halo(d1: torch.Tensor, d2: torch.Tensor, loss: LossParams) -> torch.Tensor:
    """Return what closeness to objects adds to the weight, (B, H, W)."""
    if loss.distance == "none":
        return torch.zeros(d1.shape, device=d1.device)
    steps = d1.int() if loss.distance == "d1" else d1.int() + d2
    pixels = torch.arange(MOST_STEPS + 1, device=d1.device) / STEPS_PER_PIXEL
    halo = loss.w0 * torch.exp(-(pixels**2) / loss.sigma**2)  # of few values a table is faster
    return halo.index_select(0, steps.flatten()).view(d1.shape)


def _size_factor(sqrt_area: torch.Tensor, loss: LossParams) -> torch.Tensor:
    """Return how much more the pixels of small objects weigh, 1 on the background, (B, H, W)."""
    reference = loss.size_reference or (sqrt_area.shape[-2] * sqrt_area.shape[-1]) ** 0.5 / 2
    factor = (reference / sqrt_area.clamp(min=1)) ** loss.size_weight
    return torch.where(sqrt_area > 0, factor, 1.0)


def _boundary_band(target: torch.Tensor, kernel: int) -> torch.Tensor:
    """Return where 1 % to 99 % of the valid pixels of the square around are object, (B, H, W)."""
    counted = torch.stack([target == 1, target != IGNORED], dim=1).float()
    half = kernel // 2  # a sum over rows, then over columns: exact, and not kernel^2 work
    counted = avg_pool2d(counted, (kernel, 1), 1, (half, 0), divisor_override=1)
    counted = avg_pool2d(counted, (1, kernel), 1, (0, half), divisor_override=1)
    inside, valid = counted.unbind(1)
    return (100 * inside >= valid) & (100 * inside <= 99 * valid) & (valid > 0)


def _of_mean_one(weights: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Scale the weights so that the mean over the valid pixels is 1, if it is not 0."""
    valid = target != IGNORED
    total = (weights * valid).sum()
    return weights * torch.where(total > 0, valid.sum() / total, 1.0)
