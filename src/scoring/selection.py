"""Choice among candidates that overlap: by non-maximum suppression or by their tree."""

import numpy as np
import shapely
from pycocotools import mask as coco_mask

from src.formats.prepared import Rle

# shapely has no types for what is used of it here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false


def suppress(
    groups: np.ndarray, rles: list[Rle], boxes: np.ndarray, scores: np.ndarray, iou: float
) -> np.ndarray:
    """Greedy non-maximum suppression by the IoU of masks, image by image.

    Candidates are looked at by falling score (of equals, the first row comes first); one is kept
    unless its IoU with a kept one is above `iou`. Masks are compared as run lengths, and only
    where boxes and areas leave room for such an IoU; the result is that of comparing all.

    Parameters
    ----------
    groups : ndarray, shape (N,)
        Image of each candidate, of any type that sorts; only candidates of one image compete.
    rles : list of Rle
        N of them.
    boxes : ndarray, shape (N, 4)
        XYWH in px, each the tight box of its mask.
    scores : ndarray, shape (N,)
        Any finite numbers.
    iou : float
        In [0, 1]; at 1 nothing goes, at 0 all kept candidates of an image are disjoint.

    Returns
    -------
    kept : ndarray of int64
        Rows kept, ascending; empty if there are no candidates.

    Raises
    ------
    ValueError
        If the lengths differ, a score is not finite or `iou` is out of range.
    """
    groups, scores = np.asarray(groups), np.asarray(scores, np.float64)
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(groups) == len(rles) == len(boxes) == len(scores):
        lengths = (len(groups), len(rles), len(boxes), len(scores))
        raise ValueError(f"groups, rles, boxes and scores differ in length: {lengths}")
    if not (np.isfinite(scores).all() and 0 <= iou <= 1):
        raise ValueError(f"scores must be finite and iou in [0, 1], got iou {iou}")
    if iou == 1 or not len(scores):
        return np.arange(len(scores))
    areas = np.array([coco_mask.area(rle) for rle in rles], np.float64)  # a list may hold 255
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    image = np.unique(groups, return_inverse=True)[1]
    order = np.lexsort((-scores, image))  # stable: of equal scores the first row stays first
    kept: list[np.ndarray] = []
    for rows in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        stays = _suppress_image([rles[row] for row in rows], corners[rows], areas[rows], iou)
        kept.append(rows[stays])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def best_disjoint(parent: np.ndarray, scores: np.ndarray, *, cost: float = 0.5) -> np.ndarray:
    """Choose candidates of a forest so that none contains another, by dynamic programming.

    The set chosen maximises the sum of max(score - cost, 0). With scores that are the chance of
    being right and a cost of one half, that is the expected number of right candidates less that
    of wrong ones, so one good candidate is not split into many poor ones, as a plain sum of scores
    would. Where no candidate of a subtree is above the cost, the sum has no opinion: there a
    candidate is kept if no other of its subtree scores higher, else its children are asked; such
    ends of a ranking cost no average precision, and a least score drops them. A tie goes to the
    containing candidate.

    Parameters
    ----------
    parent : ndarray of integers, shape (N,)
        Row of the candidate that directly contains this one, -1 for none; in any order.
    scores : ndarray of float, shape (N,)
        Chance of being right (or expected IoU), in [0, 1].
    cost : float
        What keeping any candidate costs.

    Returns
    -------
    kept : ndarray of int64
        Rows kept, ascending; of every tree at least one. Empty if there are no candidates.

    Raises
    ------
    ValueError
        If the lengths differ, a score is outside [0, 1], a parent is no row, or parents form a
        circle.
    """
    parent, scores = np.asarray(parent), np.asarray(scores, np.float64)
    count = len(scores)
    if len(parent) != count or np.any((parent < -1) | (parent >= count)):
        raise ValueError(f"each of {count} candidates needs a parent that is a row, or -1")
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("scores must be in [0, 1]; a sum of others says nothing")
    upward = _children_first(parent)
    above: list[int] = parent.tolist()
    score: list[float] = scores.tolist()
    below = [0.0] * count  # the best sum that the descendants reach
    highest = [-1.0] * count  # the best score of a descendant
    takes = [False] * count
    for row in upward:
        gain = max(score[row] - cost, 0.0)
        takes[row] = gain >= below[row] and (gain > 0 or score[row] >= highest[row])
        if above[row] >= 0:
            below[above[row]] += max(gain, below[row])
            highest[above[row]] = max(highest[above[row]], score[row], highest[row])
    covered = [False] * count  # it or a candidate that contains it is kept
    kept: list[int] = []
    for row in reversed(upward):
        inside = above[row] >= 0 and covered[above[row]]
        covered[row] = inside or takes[row]
        if takes[row] and not inside:
            kept.append(row)
    return np.sort(np.array(kept, np.int64))


def _suppress_image(
    rles: list[Rle], corners: np.ndarray, areas: np.ndarray, iou: float
) -> np.ndarray:
    """Tell which candidates of one image stay; they come by falling score."""
    # A tree, since among nested candidates there is one as wide as the image.
    boxes = shapely.box(*corners.T)
    tree = shapely.STRtree(boxes)
    stays = np.ones(len(rles), bool)
    for row in range(len(rles)):
        if not stays[row]:
            continue
        rivals = tree.query(boxes[row])
        rivals = rivals[(rivals > row) & stays[rivals]]
        rivals = rivals[_largest_iou(corners, areas, row, rivals) > iou]
        if rivals.size:
            found = coco_mask.iou([rles[rival] for rival in rivals], [rles[row]], [0])
            stays[rivals[np.asarray(found)[:, 0] > iou]] = False
    return stays


def _largest_iou(
    corners: np.ndarray, areas: np.ndarray, row: int, rivals: np.ndarray
) -> np.ndarray:
    """Bound the IoU of `row` with each rival from above, by their boxes and areas."""
    low = np.maximum(corners[rivals, :2], corners[row, :2])
    high = np.minimum(corners[rivals, 2:], corners[row, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    shared = np.minimum(shared, np.minimum(areas[rivals], areas[row]))
    return shared / np.maximum(areas[rivals] + areas[row] - shared, 1)


def _children_first(parent: np.ndarray) -> list[int]:
    """Order the rows of a forest so that each comes after all its children."""
    children = np.bincount(parent[parent >= 0], minlength=len(parent))
    ready = np.flatnonzero(children == 0).tolist()
    waits_for, above = children.tolist(), parent.tolist()
    order: list[int] = []
    while ready:
        row = ready.pop()
        order.append(row)
        if above[row] >= 0:
            waits_for[above[row]] -= 1
            if not waits_for[above[row]]:
                ready.append(above[row])
    if len(order) < len(parent):
        raise ValueError("parents form a circle")
    return order
