"""Probability maps as stored: one byte a pixel, exact at 0 and 1; and the mean of several."""

import numpy as np

MERGES = ("mean", "gmean", "logit_mean")
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


def decode_probability(encoded: np.ndarray) -> np.ndarray:
    """Return float32 probabilities in [0, 1] of stored uint8 maps."""
    return encoded.astype(np.float32) / 255


def merge_maps(maps: list[np.ndarray], merge: str) -> np.ndarray:
    """Merge stored maps of one image into one.

    Parameters
    ----------
    maps : list of ndarray of uint8, shape (H, W)
        At least one; a single map comes back unchanged, whatever the merge.
    merge : {"mean", "gmean", "logit_mean"}
        Arithmetic or geometric mean of the probabilities, or the probability of the mean logit
        (logits limited to those of 1/1024 and 1023/1024).

    Returns
    -------
    merged : ndarray of uint8, shape (H, W)

    Raises
    ------
    ValueError
        If there is no map, the shapes differ, or `merge` is unknown.
    """
    if not maps or len({one.shape for one in maps}) > 1:
        raise ValueError(f"need maps of one shape, got {[one.shape for one in maps]}")
    probability = np.stack([decode_probability(one) for one in maps]).astype(np.float64)
    if merge == "mean":
        merged = probability.mean(axis=0)
    elif merge == "gmean":
        merged = probability.prod(axis=0) ** (1 / len(maps))
    elif merge == "logit_mean":
        limited = probability.clip(LOGIT_LIMIT, 1 - LOGIT_LIMIT)
        mean = np.log(limited / (1 - limited)).mean(axis=0)
        merged = 1 / (1 + np.exp(-mean))
    else:
        raise ValueError(f"merge '{merge}' is unknown; known: {', '.join(MERGES)}")
    return encode_probability(merged)
