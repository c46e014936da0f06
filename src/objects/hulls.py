"""Convex hulls of what a network sees a little of, where it is unsure."""

import cv2
import numpy as np

from src.objects.params import PostprocessParams


def hull_unsure(probability: np.ndarray, params: PostprocessParams) -> np.ndarray:
    """Fill the hull of the faint foreground where the largest uncertain region is.

    For objects that are known to be convex where the network is unsure, as the roofs and antennae
    in the winning entry of the Carvana challenge (2017), with its released code: uncertain is more
    than 30 and less than 210 of 255, the upper half is looked at, the largest region is to have
    more than 40,000 px, and in its box and 50 px around the hull of the largest region of more than
    55 of 255 is filled. Its erosion by `(55, 55)` is none by a square of 55 px: OpenCV takes that
    for a kernel of two rows and one column, so that ten times of it ask for ten uncertain pixels
    above (`hull_erode`). There uncertainty and foreground are those of one of the maps that are
    averaged; here both are of the map that is given.

    Parameters
    ----------
    probability : ndarray of uint8, shape (H, W)
        Probability * 255.
    params : PostprocessParams
        `hull_low`, `hull_high`: a pixel is uncertain if its probability is above the one and below
        the other. `hull_erode`: and if the probabilities of so many pixels above it are, too; what
        lies beyond the edge counts as uncertain. `hull_rows`: only in the upper round(rows * H)
        rows. `hull_min_area`: the largest region (neighbours touch at a side or a corner, what it
        encloses counts) must be larger, in square pixels, measured through the centres of its
        pixels: n by m pixels are (n - 1) * (m - 1). `hull_margin`: px around its bounding box, in
        which, below those rows too, the largest region of a probability above `hull_threshold` is
        looked for.

    Returns
    -------
    changed : ndarray of uint8, shape (H, W)
        A copy with 255 in the filled hull; equal to `probability` where nothing is so uncertain, or
        no foreground is near.
    """
    changed = probability.copy()
    low, high = params.hull_low * 255, params.hull_high * 255
    unsure = ((changed > low) & (changed < high)).astype(np.uint8)
    if params.hull_erode:
        column = np.ones((params.hull_erode + 1, 1), np.uint8)
        unsure = cv2.erode(unsure, column, anchor=(0, params.hull_erode))
    largest = _largest(unsure[: round(params.hull_rows * len(unsure))])
    if largest is None or cv2.contourArea(largest) <= params.hull_min_area:
        return changed
    left, top, width, height = cv2.boundingRect(largest)
    margin = params.hull_margin
    box = (
        slice(max(top - margin, 0), top + height + margin),
        slice(max(left - margin, 0), left + width + margin),
    )
    faint = _largest((changed[box] > params.hull_threshold * 255).astype(np.uint8))
    if faint is not None:
        cv2.fillConvexPoly(changed[box], cv2.convexHull(faint), 255)
    return changed


def _largest(mask: np.ndarray) -> np.ndarray | None:
    """Return the outer contour of most area in a mask, None if all have none or there is none."""
    if not mask.size:
        return None
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    return None if largest is None or not cv2.contourArea(largest) else largest
