"""How sure a number is: its values on images drawn anew, whole groups at a time.

Images of one group (the same ground, the same car) are alike, so they are drawn together; drawing
single images would call a number surer than it is.
"""

from typing import NamedTuple

import numpy as np


class Sampled(NamedTuple):
    """A metric of the images as they are, and of R sets of as many groups drawn from theirs."""

    value: float  # NaN where undefined
    samples: np.ndarray  # (R,) float64, NaN where undefined
    groups: int  # that were drawn from


def group_weights(groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw as many groups as there are, with replacement, again and again.

    Parameters
    ----------
    groups : (I,) int ndarray
        Group of each image, numbered 0 .. G - 1.
    resamples : int
        Number R of sets that are drawn.
    seed : int
        Same groups, resamples and seed, same weights.

    Returns
    -------
    weights : (R, G) uint16 ndarray
        How often each group is in each set; every row adds up to G.

    Raises
    ------
    ValueError
        If there is no image, or `resamples` is not positive.
    """
    if not len(groups) or resamples < 1:
        raise ValueError(f"nothing to draw: {len(groups)} images, {resamples} resamples")
    count = int(np.max(groups)) + 1
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, count), np.uint16)
    for row in weights:
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    return weights


def interval(sampled: Sampled) -> tuple[float, float] | tuple[None, None]:
    """Bounds between which 95 % of the samples are, undefined ones left out.

    Returns
    -------
    low, high : float
        The percentiles 2.5 and 97.5; few groups make them too narrow. Both None where no sample
        is defined, and for a single group: all draws are then the same, which tells nothing.
    """
    defined = sampled.samples[~np.isnan(sampled.samples)]
    if sampled.groups < 2 or not len(defined):
        return None, None
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)
