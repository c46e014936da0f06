"""The Lovasz hinge: a convex stand-in for 1 - Jaccard that acts on the order of the errors."""

import torch
from torch.nn.functional import elu, relu

from src.label_maps.labels import IGNORED

ERRORS = ("relu", "elu")
PER = ("image", "batch")


def lovasz_hinge(
    logits: torch.Tensor, target: torch.Tensor, *, error: str, symmetric: bool, per: str
) -> torch.Tensor:
    """Sum the hinge errors, from the largest down, by how much Jaccard each of them costs.

    The error of a pixel is `1 - logit` on objects and `1 + logit` on the background. Going down
    the sorted errors, the weight of one is the growth of `1 - Jaccard` when its pixel, too, is
    wrong (Berman, Triki and Blaschko 2018, eq. 9 and algorithm 1).

    Parameters
    ----------
    logits : Tensor of float32, shape (B, H, W)
    target : Tensor of uint8, shape (B, H, W)
        0 background, 1 object, 255 ignored.
    error : {"relu", "elu"}
        `max(error, 0)`, or `elu(error) + 1`: positive everywhere, so that right pixels keep a
        gradient, and never negative as elu alone would be.
    symmetric : bool
        The mean over objects and background in each other's place.
    per : {"image", "batch"}
        Whether each image has its Jaccard index or the whole batch one.

    Returns
    -------
    loss : Tensor
        A float32 scalar, not negative. Per image: the mean over the images with pixels that are
        not ignored. Without any it is 0 with a zero gradient. Without objects the largest error
        alone counts: a single wrong pixel already makes the index 0.

    Raises
    ------
    ValueError
        If `error` or `per` is unknown.
    """
    for value, known in ((error, ERRORS), (per, PER)):
        if value not in known:
            raise ValueError(f"'{value}' is unknown; known: {', '.join(known)}")
    rows = len(target) if per == "image" else 1
    target, logits = target.reshape(rows, -1), logits.reshape(rows, -1)
    errors = 1 - torch.where(target == 1, logits, -logits)
    errors, order = errors.sort(dim=1, descending=True)
    target = target.gather(1, order)  # an ignored pixel grows nothing, wherever it comes
    weights = _jaccard_growth(target == 1, target == 0)
    if symmetric:
        weights = (weights + _jaccard_growth(target == 0, target == 1)) / 2
    costs = relu(errors) if error == "relu" else elu(errors) + 1
    return (costs * weights).sum() / (target != IGNORED).any(dim=1).sum().clamp(min=1)


def _jaccard_growth(inside: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    """Growth of 1 - Jaccard with each pixel of the rows (R, N) that turns wrong; elsewhere 0.

    A missed pixel takes 1 from the intersection, a false one adds 1 to the union. Both growths are
    written as fractions of whole numbers: a difference of two indices would be mostly rounding.
    """
    total = inside.sum(dim=1, keepdim=True)
    intersection = total - inside.cumsum(dim=1)
    union = total + outside.cumsum(dim=1)
    before = union - 1  # where the pixel is a false one
    false = torch.where(before > 0, intersection / (before * union).clamp(min=1), 1.0)
    return inside / union.clamp(min=1) + outside * false
