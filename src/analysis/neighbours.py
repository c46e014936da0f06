"""The nearest neighbour of every object of an image."""

from collections.abc import Iterator

import cv2
import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from src.analysis.overlaps import mask_boxes
from src.matching.matching import region_overlaps
from src.objects.rle import crop_mask

PAIRS = 1 << 16  # of pixels of two outlines, up to which comparing all is faster than a tree
FEW = 16  # neighbours that are sorted at first, and by how many times more each time


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
    boxes = mask_boxes(masks)
    pairs = region_overlaps(masks, masks, np.zeros(len(masks), bool))
    overlapping = set(zip(pairs.detection.tolist(), pairs.region.tolist(), strict=True))
    outlines = [_outline(mask) for mask in masks]
    trees: dict[int, KDTree] = {}
    distance, neighbour = np.full(len(masks), np.nan), np.full(len(masks), -1)
    for place, points in enumerate(outlines):
        if not len(points):
            continue
        best, gaps = np.inf, _box_gaps(boxes, place)
        for other in _nearest_first(gaps):
            if gaps[other] >= best:
                break
            if other == place or not len(outlines[other]):
                continue
            nearest = 0.0
            if (place, other) not in overlapping:
                nearest = _distance(points, other, outlines, trees)
            if nearest < best:
                best, distance[place], neighbour[place] = nearest, nearest, other
    return distance, neighbour


def _distance(
    points: np.ndarray, other: int, outlines: list[np.ndarray], trees: dict[int, KDTree]
) -> float:
    """Distance of the nearest pixels of an outline and another; keeps the tree if one was made."""
    if len(points) * len(outlines[other]) <= PAIRS:
        return float(np.sqrt(cdist(points, outlines[other], "sqeuclidean").min()))
    if other not in trees:
        trees[other] = KDTree(outlines[other])
    return float(trees[other].query(points)[0].min())


def _box_gaps(boxes: np.ndarray, place: int) -> np.ndarray:
    """Distance between the nearest pixels of a box and each, a lower bound of the masks'."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1
    apart = np.maximum(low - high[place], low[place] - high)
    return np.hypot(*np.maximum(apart, 0).T)


def _nearest_first(gaps: np.ndarray) -> Iterator[int]:
    """Give positions by growing gap, in their order if equal, and sort no more than are taken."""
    first, count = 0, FEW
    while first < len(gaps):
        count = min(count, len(gaps))
        # All as near as the last of so many, so that those of one gap are never parted.
        near = np.flatnonzero(gaps <= np.partition(gaps, count - 1)[count - 1])
        near = near[np.argsort(gaps[near], kind="stable")]
        yield from near[first:].tolist()
        first, count = len(near), count * FEW


def _outline(mask: dict) -> np.ndarray:
    """Pixels (x, y) of a mask with a 4-neighbour outside it, int64 (n, 2)."""
    inside, x, y = crop_mask(mask)
    if not inside.size:
        return np.empty((0, 2), np.int64)
    inside = inside.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    core = cv2.erode(inside, cross, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.argwhere(inside > core)[:, ::-1] + (x, y)
