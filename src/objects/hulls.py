"""Convex hulls of what a network is unsure about."""

import cv2
import numpy as np


def hull_uncertain(
    probability: np.ndarray, *, low: float, high: float, rows: float, min_area: float
) -> np.ndarray:
    """Make the convex hull of every large uncertain region certain.

    For objects that are known to be convex where the network is unsure, as the roofs and antennae
    in the winning entry of the Carvana challenge (2017): there 30 to 210 of 255 in the upper half,
    regions of 40,000 pixels at least.

    Parameters
    ----------
    probability : ndarray of uint8, shape (H, W)
        Probability * 255.
    low, high : float
        In [0, 1]; a pixel is uncertain if its probability is neither below `low` nor above `high`.
        Where `low` is above `high` none is.
    rows : float
        In [0, 1]; only the upper round(rows * H) rows are looked at and changed.
    min_area : float
        Least area in square pixels within the outer contour of a region (neighbours touch at a
        side or a corner), measured through the centres of its pixels: n by m pixels are
        (n - 1) * (m - 1).

    Returns
    -------
    changed : ndarray of uint8, shape (H, W)
        A copy with 255 on the filled hulls; equal to `probability` where there is no such region.
    """
    changed = probability.copy()
    upper = changed[: round(rows * len(changed))]
    if not upper.size:
        return changed
    uncertain = ((upper >= low * 255) & (upper <= high * 255)).astype(np.uint8)
    contours, _ = cv2.findContours(uncertain, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        if cv2.contourArea(contour) >= min_area:
            cv2.fillConvexPoly(upper, cv2.convexHull(contour), 255)
    return changed
