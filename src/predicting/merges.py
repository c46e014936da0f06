"""How the predictions of several views and scales of one image become one."""

import math

import torch
from torch.nn.functional import logsigmoid

from src.formats.merge_rules import refuse_unknown_merge

LOGIT_LIMIT = 2**-20  # of probabilities that are merged by logits: float32 has steps of 2**-24
OF_LOGITS = {
    "mean": lambda logits: logits.sigmoid().mean(0),
    "gmean": lambda logits: logsigmoid(logits).mean(0).exp(),
    # 1 / p is 1 + exp(-logit), so the mean is taken of exp(-logit)
    "hmean": lambda logits: (math.log(len(logits)) - torch.logsumexp(-logits, 0)).sigmoid(),
    "logit_mean": lambda logits: logits.mean(0).sigmoid(),
    "tsharpen": lambda logits: logits.sigmoid().sqrt().mean(0),
    "max": lambda logits: logits.amax(0).sigmoid(),
}
OF_SCALES = {
    "mean": lambda maps: maps.mean(0),
    "gmean": lambda maps: maps.log().mean(0).exp(),
    "hmean": lambda maps: 1 / (1 / maps).mean(0),
    "logit_mean": lambda maps: maps.logit(LOGIT_LIMIT).mean(0).sigmoid(),
    "tsharpen": lambda maps: maps.mean(0),  # the roots are drawn already
    "max": lambda maps: maps.amax(0),
}


def merge_views(logits: torch.Tensor, merge: str) -> torch.Tensor:
    """Merge the logits of V aligned views into one probability map.

    Parameters
    ----------
    logits : Tensor, shape (V, ...)
        V at least 1; any size, they never overflow.
    merge : str
        One of `src.formats.merge_rules`.

    Returns
    -------
    probability : Tensor of float32, shape (...)
        In [0, 1]; for V = 1 the sigmoid, whatever the merge, but for "tsharpen" its square root.

    Raises
    ------
    ValueError
        If `merge` is unknown.
    """
    refuse_unknown_merge(merge)
    return OF_LOGITS[merge](logits.float())


def merge_scales(probability: torch.Tensor, merge: str) -> torch.Tensor:
    """Merge S maps, each merged of equally many views already, as if all views were merged at once.

    Parameters
    ----------
    probability : Tensor of float32, shape (S, ...)
        What `merge_views` of the same merge gave at each scale; S at least 1.
    merge : str
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
    refuse_unknown_merge(merge)
    return probability[0] if len(probability) == 1 else OF_SCALES[merge](probability)
