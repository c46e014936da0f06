"""The rules by which several predictions become one: their names, and what they do not apply to.

    mean         arithmetic mean of the probabilities
    gmean        geometric mean
    hmean        harmonic mean
    logit_mean   the probability of the mean logit
    tsharpen     mean of the square roots of the probabilities, which draws all of them upwards
                 (named as in the library ttach; it is not squared again)
    max          the largest

Networks answer in logits, in float32 and on a device; what is stored has steps of 1/255 and may be
weighted. So each has its own arithmetic, `src.predicting.merges` and
`src.formats.probability_maps`, and both hold to these rules.
"""

from typing import Literal, get_args

Merge = Literal["mean", "gmean", "hmean", "logit_mean", "tsharpen", "max"]
MERGES = get_args(Merge)
VALUES = ("boundary_distance", "embedding", "view_spread")  # maps that hold no probabilities


def merge_of(kind: str, merge: str) -> str:
    """Return the rule for one kind of map: what holds no probabilities is averaged always."""
    return "mean" if kind in VALUES else merge


def refuse_unknown_merge(merge: str) -> None:
    """Raise ValueError, with the known ones, if `merge` is no rule."""
    if merge not in MERGES:
        raise ValueError(f"merge '{merge}' is unknown; known: {', '.join(MERGES)}")
