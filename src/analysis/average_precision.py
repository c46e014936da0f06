"""COCO's average precision at one IoU from ranked detections."""

import numpy as np

RECALLS = np.linspace(0, 1, 101)


def average_precision(hits: np.ndarray, objects: int) -> float:
    """Average the precision that COCO interpolates at 101 recalls.

    Parameters
    ----------
    hits : ndarray of bool, shape (N,)
        Which of the judged detections find an object, best first, ignored ones left out.
    objects : int
        Number of objects there are, at least 1.

    Returns
    -------
    ap : float
        In [0, 1]; 0 without a detection.
    """
    right, wrong = np.cumsum(hits), np.cumsum(~hits)
    precision = right / (right + wrong)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / objects, RECALLS)
    return float(np.append(best_from_here, 0.0)[places].mean())
