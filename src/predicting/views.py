"""The eight mirrored and turned views of an image, and how their predictions become one."""

import math
from typing import get_args

import torch
from torch.nn.functional import logsigmoid

from src.formats.probability_maps import Merge

# (quarter turns, mirrored first): the dihedral group of the square, each view once
VIEWS = {
    "none": [(0, False)],
    "hflip": [(0, False), (0, True)],
    "d2": [(0, False), (0, True), (2, False), (2, True)],
    "d4": [(turns, mirrored) for turns in range(4) for mirrored in (False, True)],
}
LOGIT_LIMIT = 2**-20  # of probabilities that are merged by logits: float32 has steps of 2**-24


def view(images: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    """Mirror left to right if asked, then turn by quarter turns; exact, shape (..., H, W)."""
    return torch.rot90(images.flip(-1) if mirrored else images, turns, (-2, -1))


def undo_view(images: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    """Invert `view` of the same arguments."""
    images = torch.rot90(images, -turns, (-2, -1))
    return images.flip(-1) if mirrored else images


def merge_views(logits: torch.Tensor, merge: str) -> torch.Tensor:
    """Merge the logits of V aligned views into one probability map.

    Parameters
    ----------
    logits : Tensor, shape (V, ...)
        V at least 1; any size, they never overflow.
    merge : {"mean", "gmean", "hmean", "logit_mean", "tsharpen", "max"}
        Arithmetic, geometric or harmonic mean of the probabilities; the probability of the mean
        logit; the mean of the square roots of the probabilities, which draws all of them upwards
        (named as in the library ttach; it is not squared again); the largest.

    Returns
    -------
    probability : Tensor of float32, shape (...)
        In [0, 1]; for V = 1 the sigmoid, whatever the merge, but for "tsharpen" its square root.

    Raises
    ------
    ValueError
        If `merge` is unknown.
    """
    logits = logits.float()
    if merge == "mean":
        return logits.sigmoid().mean(0)
    if merge == "gmean":
        return logsigmoid(logits).mean(0).exp()
    if merge == "hmean":  # 1 / p is 1 + exp(-logit), so the mean is taken of exp(-logit)
        return (math.log(len(logits)) - torch.logsumexp(-logits, 0)).sigmoid()
    if merge == "logit_mean":
        return logits.mean(0).sigmoid()
    if merge == "tsharpen":
        return logits.sigmoid().sqrt().mean(0)
    if merge == "max":
        return logits.amax(0).sigmoid()
    raise ValueError(f"merge '{merge}' is unknown; known: {', '.join(get_args(Merge))}")


def merge_scales(probability: torch.Tensor, merge: str) -> torch.Tensor:
    """Merge S maps, each merged of equally many views already, as if all views were merged at once.

    Parameters
    ----------
    probability : Tensor of float32, shape (S, ...)
        What `merge_views` of the same merge gave at each scale; S at least 1.
    merge : {"mean", "gmean", "hmean", "logit_mean", "tsharpen", "max"}
        As for `merge_views`. "tsharpen" takes the plain mean: the roots are drawn already.

    Returns
    -------
    probability : Tensor of float32, shape (...)
        In [0, 1]; for S = 1 the map itself, to the bit. "logit_mean" takes probabilities nearer
        to 0 or 1 than a millionth for as near as that.

    Raises
    ------
    ValueError
        If `merge` is unknown.
    """
    if merge not in get_args(Merge):
        raise ValueError(f"merge '{merge}' is unknown; known: {', '.join(get_args(Merge))}")
    if len(probability) == 1:
        return probability[0]
    if merge == "gmean":
        return probability.log().mean(0).exp()
    if merge == "hmean":
        return 1 / (1 / probability).mean(0)
    if merge == "logit_mean":
        return probability.logit(LOGIT_LIMIT).mean(0).sigmoid()
    return probability.amax(0) if merge == "max" else probability.mean(0)
