"""How much better one experiment is than another, over images and over seeds of the training.

Both are computed on the same draws of groups of images, so what makes an image hard for both
cancels out: an interval is narrower than those of the two metrics suggest.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from src.judging.group_draws import LEAST_GROUPS, Sampled, interval


class Difference(NamedTuple):
    """How much better another experiment is than the base; None where that is undefined."""

    difference: float | None  # other minus base, the mean over seeds
    low: float | None  # of the 95 % interval
    high: float | None
    p: float | None  # of so large a difference either way, if there were none


def paired_difference(base: Sequence[Sampled], other: Sequence[Sampled]) -> Difference:
    """Tell how a metric differs between two experiments on the same images.

    With one seed the interval is that of the images, the networks held fixed. With several it is
    that of other images and other seeds: d +- t sqrt(V), where d is the mean difference of runs of
    the same seed, and V = V_groups + V_seeds. V_groups is the variance of d over draws of groups.
    V_seeds is that of the mean over seeds, of the differences on the images as they are, less what
    of it comes of these images: what seeds do otherwise on each group is in V_groups already, as
    large as draws of groups tell the seeds apart. Degrees of freedom by Satterthwaite (1946), of
    the two variances with G - 1 and S - 1.

    In simulations of 3 and 5 seeds and 16 and 40 groups 93 to 98 % of these intervals held the
    truth, the most where seeds did not matter; of those of a bootstrap that draws seeds and groups
    85 to 99 %, the fewest where seeds matter most (`python -m benchmarks.interval_coverage`).

    Parameters
    ----------
    base, other : sequence of Sampled
        One for each seed, in the same order, from `src.judging.bootstrap.resample` with the same
        images, resamples and seed of the draws.

    Returns
    -------
    difference : Difference
        Draws in which any is undefined are left out. With fewer than LEAST_GROUPS groups there is
        neither interval nor p.

    Raises
    ------
    ValueError
        If there is no seed, or not as many of each.
    """
    if not base or len(base) != len(other):
        raise ValueError(f"{len(base)} and {len(other)} seeds cannot be paired")
    groups = base[0].groups
    values = np.array([b.value - a.value for a, b in zip(base, other, strict=True)])
    drawn = np.array([b.samples - a.samples for a, b in zip(base, other, strict=True)])
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    value = float(values.mean())
    if math.isnan(value):
        return Difference(None, None, None, None)
    if groups < LEAST_GROUPS or not drawn.shape[1]:
        return Difference(value, None, None, None)
    variance, freedom = _variance(values, drawn, groups)
    p = _two_sided(value, variance, freedom)
    if len(values) == 1:
        low, high = interval(Sampled(value, drawn[0], groups), within=(-1.0, 1.0))
    else:
        reach = float(stdtrit(freedom, 0.975)) * math.sqrt(variance)
        low, high = max(value - reach, -1.0), min(value + reach, 1.0)
    return Difference(value, low, high, p)


def holm(chances: Sequence[float | None]) -> list[float | None]:
    """Correct the p of several comparisons with one base for their number (Holm 1979).

    Parameters
    ----------
    chances : sequence of float or None
        p of each; None is not counted.

    Returns
    -------
    corrected : list of float or None
        From the smallest p to the largest: times the number of those not smaller, at most 1 and at
        least that before. Below 0.05 all are sure together, with 5 % that any of them is not.
    """
    known = sorted((chance, place) for place, chance in enumerate(chances) if chance is not None)
    corrected: list[float | None] = [None] * len(chances)
    least = 0.0
    for rank, (chance, place) in enumerate(known):
        least = max(least, min(chance * (len(known) - rank), 1.0))
        corrected[place] = least
    return corrected


def _variance(values: np.ndarray, drawn: np.ndarray, groups: int) -> tuple[float, float]:
    """Return the variance of the mean over seeds, and its degrees of freedom.

    values (S,) are of the images as they are, drawn (S, R) of the draws.
    """
    seeds, of_population = len(values), groups / (groups - 1)
    by_groups = _spread(drawn.mean(axis=0)) * of_population
    if seeds == 1:
        return by_groups, groups - 1
    of_seeds = float(values.var(ddof=1)) / seeds
    apart = drawn - drawn.mean(axis=0)  # what a draw does to one seed and not to the others
    of_images = sum(map(_spread, apart)) * of_population / (seeds - 1) / seeds
    variance = by_groups + max(of_seeds - of_images, 0.0)
    bottom = by_groups**2 / (groups - 1) + of_seeds**2 / (seeds - 1)
    return variance, variance**2 / bottom if bottom > 0 else groups - 1


def _spread(samples: np.ndarray) -> float:
    return float(samples.var(ddof=1)) if len(samples) > 1 else 0.0


def _two_sided(value: float, variance: float, freedom: float) -> float:
    if variance == 0:
        return float(value == 0)
    return float(2 * stdtr(freedom, -abs(value) / math.sqrt(variance)))
