"""Probability maps as stored, one byte a pixel, exact at 0 and 1; several merged or compared."""

import numpy as np

from src.maps.merge_rules import refuse_unknown_merge

LOGIT_LIMIT = 1 / 1024  # below half a step, so that all-0 and all-1 stay exact


def encode_probability(probability: np.ndarray) -> np.ndarray:
    """Round probabilities in [0, 1], any float dtype and shape, to uint8 steps of 1/255.

    Raises
    ------
    ValueError
        If a value is outside [0, 1] or not a number.
    """
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return np.rint(probability * 255).astype(np.uint8)


def encode_spread(spread: np.ndarray) -> np.ndarray:
    """Round standard deviations of probabilities, which are in [0, 0.5], to uint8 steps of 1/510.

    Raises
    ------
    ValueError
        If a value is outside [0, 0.5] or not a number.
    """
    return encode_probability(2 * spread)


def decode_probability(encoded: np.ndarray) -> np.ndarray:
    """Return float32 probabilities in [0, 1] of stored uint8 maps."""
    return encoded.astype(np.float32) / 255


def merge_maps(
    maps: list[np.ndarray], merge: str, weights: list[float] | None = None
) -> np.ndarray:
    """Merge stored maps of one image into one.

    Parameters
    ----------
    maps : list of ndarray of uint8, shape (H, W) or (H, W, 3)
        At least one.
    merge, weights
        As for `merge_probabilities`.

    Returns
    -------
    merged : ndarray of uint8, shape as theirs
        A single map comes back unchanged, whatever the merge but "tsharpen".

    Raises
    ------
    ValueError
        If there is no map, the shapes differ, or as `merge_probabilities` raises.
    """
    if not maps or len({one.shape for one in maps}) > 1:
        raise ValueError(f"need maps of one shape, got {[one.shape for one in maps]}")
    probability = np.stack([decode_probability(one) for one in maps])
    merged = merge_probabilities(probability, merge, weights)
    return encode_probability(merged.clip(0, 1))  # rounding may have passed 1


def spread_of_maps(groups: list[list[np.ndarray]]) -> np.ndarray:
    """Measure how far groups of stored maps of one image disagree.

    Parameters
    ----------
    groups : list of list of ndarray of uint8, shape (H, W)
        One or more groups of one or more maps, all of one shape.

    Returns
    -------
    spread : ndarray of uint8, shape (H, W)
        Standard deviation over the groups, that of all and not that of a sample, each group being
        the plain mean of its maps; as `encode_spread` stores it, 510 times the probability.

    Raises
    ------
    ValueError
        If there is no group, one without maps, or the shapes differ.
    """
    if not groups or not all(groups) or len({one.shape for maps in groups for one in maps}) > 1:
        raise ValueError(
            f"need groups of maps of one shape, got {[[m.shape for m in maps] for maps in groups]}"
        )
    spread = np.std([np.mean(maps, axis=0) for maps in groups], axis=0)
    return np.rint(2 * spread).astype(np.uint8)  # whole steps: exact to the last half


def merge_probabilities(
    probability: np.ndarray, merge: str, weights: list[float] | None = None
) -> np.ndarray:
    """Merge N arrays of probabilities into one.

    Parameters
    ----------
    probability : ndarray of float, shape (N, ...)
        In [0, 1]; N at least 1.
    merge : str
        One of `src.maps.merge_rules`. The geometric and the harmonic mean are 0 where one of
        the arrays is; logits are limited to those of 1/1024 and 1023/1024.
    weights : list of float, shape (N,), optional
        Not negative, not all 0; a weight of 2 is the array given twice, a weight of 0 leaves it
        out. Only their ratios count; "max" only sees which are 0. All alike by default.

    Returns
    -------
    merged : ndarray of float64, shape (...)
        In [0, 1] but for rounding.

    Raises
    ------
    ValueError
        If the weights are another number, negative or all 0, or `merge` is unknown.
    """
    refuse_unknown_merge(merge)
    count = len(probability)
    given = np.ones(count) if weights is None else np.array(weights, np.float64)
    if given.shape != (count,) or not (given >= 0).all() or not given.any():
        raise ValueError(f"need {count} weights, none negative and not all 0, got {given.tolist()}")
    return WEIGHTED[merge](probability[given > 0].astype(np.float64), given[given > 0])


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.average(values, axis=0, weights=weights)


def _gmean(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    shares = weights / weights.sum()
    powers = (one**share for one, share in zip(probability, shares, strict=True))
    return np.prod(list(powers), axis=0)


def _hmean(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # 1 / 0 is infinite, and 1 / infinite is 0
        return 1 / _mean(1 / probability, weights)


def _logit_mean(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    limited = probability.clip(LOGIT_LIMIT, 1 - LOGIT_LIMIT)
    return 1 / (1 + np.exp(-_mean(np.log(limited / (1 - limited)), weights)))


def _tsharpen(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _mean(np.sqrt(probability), weights)


def _max(probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return probability.max(axis=0)


WEIGHTED = {
    "mean": _mean,
    "gmean": _gmean,
    "hmean": _hmean,
    "logit_mean": _logit_mean,
    "tsharpen": _tsharpen,
    "max": _max,
}
