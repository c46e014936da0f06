"""Scores by which the objects of all images are ranked."""

import numpy as np

from src.scoring.params import RULES


def object_scores(mean_probability: np.ndarray, area: np.ndarray, score: str) -> np.ndarray:
    """Score objects by a fixed rule.

    Parameters
    ----------
    mean_probability : ndarray of float, shape (N,)
        In [0, 1].
    area : ndarray of int, shape (N,)
        In pixels.
    score : {"constant", "mean", "mean_sqrt_area"}
        1 for all; the mean probability; the mean probability times the square root of the area
        (the best rule of the open solution to the CrowdAI mapping challenge).

    Returns
    -------
    scores : ndarray of float64, shape (N,)
        Only their order matters; `mean_sqrt_area` is not limited to [0, 1].

    Raises
    ------
    ValueError
        If `score` is unknown.
    """
    if score == "constant":
        return np.ones(len(area))
    if score == "mean":
        return np.asarray(mean_probability, np.float64)
    if score == "mean_sqrt_area":
        return mean_probability * np.sqrt(area)
    raise ValueError(f"score '{score}' is unknown; known: {', '.join(RULES)}")


def ranked_by_image(images: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return all rows ordered by image, then by falling score, of equal scores the first.

    Parameters
    ----------
    images, scores : ndarray, shape (N,)
        The image of each object, of any type that sorts, and its score.

    Returns
    -------
    rows : ndarray of int64, shape (N,)
    """
    ids = np.unique(images, return_inverse=True)[1]
    return np.lexsort((-scores, ids))  # stable
