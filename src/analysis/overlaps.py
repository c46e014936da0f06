"""Pixels and boxes of the masks of an image, and pixels that two of them share."""

from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from src.matching.matching import mask_areas, region_overlaps

EDGE = 2  # px; a mask whose bounding box comes nearer to the image's edge touches it


def shared_pixels(first: list[dict], second: list[dict]) -> np.ndarray:
    """Count the pixels that any two masks share.

    Parameters
    ----------
    first, second : list of dict
        A and B compressed RLEs of one size; either list may be empty.

    Returns
    -------
    shared : ndarray of int64, shape (A, B)

    Raises
    ------
    ValueError
        If the masks are of different sizes.
    """
    found = region_overlaps(first, second, np.ones(len(second), bool))  # of the first's pixels
    shared = np.zeros((len(first), len(second)), np.int64)
    pixels = np.rint(found.share * mask_areas(first)[found.detection])
    shared[found.detection, found.region] = pixels
    return shared


def mask_boxes(masks: list[dict]) -> np.ndarray:
    """Return the bounding boxes XYWH of N compressed RLEs, int64 (N, 4); 0 of an empty mask."""
    if not masks:
        return np.empty((0, 4), np.int64)
    return coco_mask.toBbox(cast("Any", masks)).astype(np.int64)


def at_edge(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Tell which boxes (N, 4) come within EDGE px of the edge of their image, bool (N,)."""
    far = boxes[:, :2] + boxes[:, 2:]
    near = (boxes[:, :2] < EDGE) | (far > (width - EDGE, height - EDGE))
    return np.any(near, axis=1)
