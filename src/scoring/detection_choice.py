"""From scored candidates to the detections of each image."""

import numpy as np

from src.formats.prepared import Rle
from src.scoring.params import RescoreParams
from src.scoring.scores import ranked_by_image
from src.scoring.selection import best_disjoint, suppress


def choose_detections(
    names: np.ndarray,
    rles: list[Rle],
    boxes: np.ndarray,
    parents: np.ndarray,
    parts: np.ndarray,
    scores: np.ndarray,
    params: RescoreParams,
) -> np.ndarray:
    """Drop candidates of low score, choose among those that overlap, and rank what is left.

    Parameters
    ----------
    names : ndarray of str, shape (N,)
        The image of each candidate.
    rles : list of Rle
        N of them.
    boxes : ndarray of int, shape (N, 4)
        XYWH in px.
    parents : ndarray of int, shape (N,)
        Row of the smallest candidate that contains it, -1 without one.
    parts : ndarray of bool, shape (N,)
        Which are parts of a candidate of the same threshold. They are not nested in candidates of
        higher ones, so the tree is made of the others alone.
    scores : ndarray of float, shape (N,)
        In [0, 1] if selection is tree.
    params : RescoreParams
        Candidates below `min_score` are dropped before the `selection`: none, all stay; nms,
        `selection.suppress` at `nms_iou`; tree, `selection.best_disjoint`, to which a candidate of
        low score is worth nothing.

    Returns
    -------
    kept : ndarray of int64
        Rows ordered by image, then by falling score, of equal scores the first.
    """
    kept = np.flatnonzero(scores >= params.min_score)
    if params.selection == "nms":
        left = [rles[row] for row in kept]
        kept = kept[suppress(names[kept], left, boxes[kept], scores[kept], params.nms_iou)]
    elif params.selection == "tree":
        worth = np.where((scores >= params.min_score) & ~parts, scores, 0)
        kept = np.intersect1d(kept[~parts[kept]], best_disjoint(parents, worth))
    return kept[ranked_by_image(names[kept], scores[kept])]
