"""COCO's average precision at one IoU from ranked detections."""

import numpy as np

RECALLS = np.linspace(0, 1, 101)  # bit for bit COCO's own


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
    return float(interpolated_precisions(hits, objects).mean())


def interpolated_precisions(hits: np.ndarray, objects: int) -> np.ndarray:
    """Return the best precision from each of RECALLS on, as COCO does.

    Parameters
    ----------
    hits, objects
        As in `average_precision`.

    Returns
    -------
    precisions : ndarray of float64, shape (101,)
        In [0, 1] and never rising; 0 at recalls that are not reached. (COCO's own are 2e-16 less
        where only the first detection is right: it adds as much to every divisor.)
    """
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / objects, RECALLS)
    return np.append(best_from_here, 0.0)[places]
