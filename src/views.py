"""The eight mirrored and turned views of an image, and how their predictions become one."""

import torch
from torch.nn.functional import logsigmoid

# (quarter turns, mirrored first): the dihedral group of the square, each view once
VIEWS = {
    "none": [(0, False)],
    "hflip": [(0, False), (0, True)],
    "d2": [(0, False), (0, True), (2, False), (2, True)],
    "d4": [(turns, mirrored) for turns in range(4) for mirrored in (False, True)],
}
MERGES = ("mean", "gmean", "logit_mean")


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
        V at least 1.
    merge : {"mean", "gmean", "logit_mean"}
        Arithmetic or geometric mean of the probabilities, or the probability of the mean logit.

    Returns
    -------
    probability : Tensor of float32, shape (...)
        In [0, 1]; for V = 1 the sigmoid, whatever the merge.

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
    if merge == "logit_mean":
        return logits.mean(0).sigmoid()
    raise ValueError(f"merge '{merge}' is unknown; known: {', '.join(MERGES)}")
