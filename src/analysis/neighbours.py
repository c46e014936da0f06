"""The nearest neighbour of every object of an image."""

import cv2
import numpy as np
from scipy.spatial import KDTree

from src.analysis.overlaps import mask_boxes, shared_pixels
from src.objects.rle import crop_mask


def nearest_neighbours(masks: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every object to the nearest other one, and which that is.

    Exact at any distance: outlines are compared, nearest bounding boxes first, until no other
    box is near enough.

    Parameters
    ----------
    masks : list of dict
        N compressed RLEs of one size; they may overlap.

    Returns
    -------
    distance : ndarray of float64, shape (N,)
        Between the centres of the nearest pixels, in px: 1 for objects side by side, 0 where
        they overlap; NaN where there is no other object, or the mask is empty.
    neighbour : ndarray of int64, shape (N,)
        Position of the other one, -1 where there is none.
    """
    boxes, overlap = mask_boxes(masks), shared_pixels(masks, masks) > 0
    outlines = [_outline(mask) for mask in masks]
    trees = [KDTree(points) if len(points) else None for points in outlines]
    distance, neighbour = np.full(len(masks), np.nan), np.full(len(masks), -1)
    gaps = _box_gaps(boxes)
    for place, points in enumerate(outlines):
        best = np.inf
        for other in map(int, np.argsort(gaps[place], kind="stable")):
            if gaps[place, other] >= best or not len(points):
                break
            tree = trees[other]
            if other == place or tree is None:
                continue
            nearest = 0.0
            if not overlap[place, other]:
                nearest = tree.query(points, distance_upper_bound=best)[0].min()
            if nearest < best:
                best, distance[place], neighbour[place] = nearest, nearest, other
    return distance, neighbour


def _box_gaps(boxes: np.ndarray) -> np.ndarray:
    """Distance between the nearest pixels of any two boxes, a lower bound of the masks'."""
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:] - 1
    apart = np.maximum(low - high.transpose(1, 0, 2), low.transpose(1, 0, 2) - high)
    return np.hypot(*np.moveaxis(np.maximum(apart, 0), -1, 0))


def _outline(mask: dict) -> np.ndarray:
    """Pixels (x, y) of a mask with a 4-neighbour outside it, int64 (n, 2)."""
    inside, x, y = crop_mask(mask)
    if not inside.size:
        return np.empty((0, 2), np.int64)
    inside = inside.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(inside, cross, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.argwhere(inside > core)[:, ::-1] + (x, y)
