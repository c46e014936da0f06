"""From scored candidates to the detections of each image."""

import numpy as np

from src.scoring.scores import best_of_each
from src.scoring.selection import best_disjoint, suppress

SELECTIONS = ("none", "nms", "tree")


def choose_detections(
    names: np.ndarray,
    rles: list[dict],
    boxes: np.ndarray,
    parents: np.ndarray,
    scores: np.ndarray,
    *,
    selection: str,
    nms_iou: float,
    min_score: float,
    max_detections: int,
) -> np.ndarray:
    """Drop candidates of low score, choose among those that overlap, keep the best of each image.

    Parameters
    ----------
    names : ndarray of str, shape (N,)
        The image of each candidate.
    rles : list of dict
        Compressed RLEs.
    boxes : ndarray of int, shape (N, 4)
        XYWH in px.
    parents : ndarray of int, shape (N,)
        Row of the smallest candidate that contains it, -1 without one.
    scores : ndarray of float, shape (N,)
        In [0, 1] if selection is tree.
    selection : {"none", "nms", "tree"}
        All stay; `selection.suppress`; `selection.best_disjoint`, to which a candidate of low score
        is worth nothing.
    nms_iou : float
        Of nms, in [0, 1].
    min_score : float
        A candidate below it is dropped before the selection.
    max_detections : int
        At least 1.

    Returns
    -------
    kept : ndarray of int64
        Rows ordered by image, then by falling score, of equal scores the first.

    Raises
    ------
    ValueError
        If the selection is unknown.
    """
    kept = np.flatnonzero(scores >= min_score)
    if selection == "nms":
        left = [rles[row] for row in kept]
        kept = kept[suppress(names[kept], left, boxes[kept], scores[kept], nms_iou)]
    elif selection == "tree":
        worth = np.where(scores >= min_score, scores, 0)
        kept = np.intersect1d(kept, best_disjoint(parents, worth))
    elif selection != "none":
        raise ValueError(f"selection '{selection}' is unknown; known: {', '.join(SELECTIONS)}")
    return kept[best_of_each(names[kept], scores[kept], max_detections)]
