"""Loss weight of every pixel from its distances to objects and the size of its object."""

import torch

STEPS_PER_PIXEL = 4  # weight maps hold distances in quarter pixels
DISTANCES = ("none", "d1", "d1_d2")


def pixel_weights(
    planes: torch.Tensor, *, distance: str, w0: float, sigma: float, size_weight: float
) -> torch.Tensor:
    """Weigh pixels by closeness to objects and by smallness of their own object.

    `w = [1 + w0 exp(-d^2 / sigma^2)] * (C / sqrt(area))^size_weight` with C = sqrt(H W) / 2 and a
    size factor of 1 on the background: the loss of the open solution to the CrowdAI mapping
    challenge, after Ronneberger et al. 2015, eq. 2 (which writes 2 sigma^2).

    Parameters
    ----------
    planes : Tensor of uint8, shape (B, 3, H, W)
        d1, d2 in quarter pixels, sqrt(area) in pixels with 0 on the background.
    distance : {"none", "d1", "d1_d2"}
        What d is: no distance factor, the nearest object, or the sum of the two nearest. With a
        single object d2 is at its clip (`weight_maps.max_distance`): d1_d2 draws no halo around it.
    w0 : float
        Weight added at distance 0; not negative.
    sigma : float
        Reach in pixels; positive.
    size_weight : float
        Exponent of the size factor; 0 switches it off.

    Returns
    -------
    weights : Tensor of float32, shape (B, H, W)
        Positive; 1 everywhere if both factors are off.

    Raises
    ------
    ValueError
        If `distance` is unknown.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance '{distance}' is unknown; known: {', '.join(DISTANCES)}")
    d1, d2, sqrt_area = planes.float().unbind(1)
    weights = torch.ones_like(d1)
    if distance != "none":
        pixels = (d1 if distance == "d1" else d1 + d2) / STEPS_PER_PIXEL
        weights = weights + w0 * torch.exp(-(pixels**2) / sigma**2)
    if size_weight:
        reference = (planes.shape[-2] * planes.shape[-1]) ** 0.5 / 2
        factor = (reference / sqrt_area.clamp(min=1)) ** size_weight
        weights = weights * torch.where(sqrt_area > 0, factor, 1.0)
    return weights
