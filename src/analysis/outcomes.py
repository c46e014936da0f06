"""What became of every object of an image, and what is wrong with every detection.

Masks are compressed RLEs. The tables are dicts of columns, arrays of equal length. One category.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from pycocotools import mask as coco_mask

from src.analysis.neighbours import nearest_neighbours
from src.analysis.overlaps import at_edge, mask_areas, mask_boxes, shared_pixels

OUTCOMES = ("found", "merged", "split", "poor_outline", "missed")  # of objects
KINDS = ("right", "merged", "split_part", "duplicate", "poor_outline", "spurious")  # of detections
IOU = 0.5  # from which a detection finds an object


class ImageErrors(NamedTuple):
    """The N real objects and the D judged, not ignored detections of one image, as columns."""

    objects: dict[str, np.ndarray]
    detections: dict[str, np.ndarray]


def analyse_image(
    objects: list[dict],
    detections: list[dict],
    height: int,
    width: int,
    iou_poor: float,
) -> ImageErrors:
    """Tell what became of every object and what is wrong with every detection of one image.

    Of a missed object and of a wrong detection several things may be true; the first one holds.
    An object that is not found is
    merged: one detection covers more than half of it and more than half of another object, or
        has found another object though it fits this one as well (IoU from 0.5);
    split: at least two wrong detections have each more than half of their area inside it, and
        together cover more than half of it;
    poor_outline: a wrong detection of that kind overlaps no other object as much;
    missed: nothing of the above.
    A detection that finds no object is
    merged: it covers more than half of each of several objects;
    split_part: it is one of the detections that a split object is split into;
    duplicate: its IoU is at least 0.5 with an object, which another detection has found;
    poor_outline: its IoU with an object is at least `iou_poor`;
    spurious: nothing of the above.

    Parameters
    ----------
    objects : list of dict
        id, segmentation and area in px of the real objects (no crowd regions).
    detections : list of dict
        detection (position in the list of predictions), score, tp, truth_id and segmentation of
        those that were judged and not ignored.
    height, width : int
        Of the image, px.
    iou_poor : float
        In (0, 0.5).

    Returns
    -------
    errors : ImageErrors
        objects: truth_id, area, x, y, width, height (bounding box, px), at_edge, found (bool),
        best_iou (0 without a detection), outcome (OUTCOMES), detection (the one that found it,
        merges it, is its largest-scored part or has its poor outline; -1 if missed),
        neighbour_distance and neighbour_area (see `nearest_neighbours`; NaN without another).
        detections: detection, score, area, at_edge, iou (best with any object), truth_id (of
        that object, -1 if it overlaps none), kind (KINDS).

    Raises
    ------
    ValueError
        If `iou_poor` is not in (0, 0.5), or a true positive names no object of the image.
    """
    if not 0 < iou_poor < IOU:
        raise ValueError(f"iou_poor must lie in (0, {IOU}), got {iou_poor}")
    ids = np.array([o["id"] for o in objects], np.int64)
    truth = [o["segmentation"] for o in objects]
    masks = [d["segmentation"] for d in detections]
    tp = np.array([d["tp"] for d in detections], bool)
    scores = np.array([d["score"] for d in detections], np.float64)
    positions = np.array([d["detection"] for d in detections], np.int64)
    finds = _finds([d["truth_id"] for d in detections], tp, ids)

    areas, found_areas = mask_areas(truth), mask_areas(masks)
    shared = shared_pixels(masks, truth)
    iou = shared / np.maximum(found_areas[:, None] + areas - shared, 1)
    covers = 2 * shared > areas
    inside = (2 * shared > found_areas[:, None]) & ~tp[:, None]
    split = np.array([_is_split(*pair, masks) for pair in zip(truth, inside.T, strict=True)], bool)
    judged = _judge(finds, covers, inside, iou, split, iou_poor)

    distance, neighbour = nearest_neighbours(truth)
    boxes, found_boxes = mask_boxes(truth), mask_boxes(masks)
    return ImageErrors(
        objects={
            "truth_id": ids,
            "area": areas,
            **dict(zip(("x", "y", "width", "height"), boxes.T, strict=True)),
            "at_edge": at_edge(boxes, height, width),
            "found": np.any(finds, axis=0),
            "best_iou": iou.max(axis=0, initial=0),
            "outcome": judged.outcome,
            "detection": _best_scored(judged.blamed, scores, positions),
            "neighbour_distance": distance,
            "neighbour_area": np.where(neighbour < 0, np.nan, np.append(areas, 0)[neighbour]),
        },
        detections={
            "detection": positions,
            "score": scores,
            "area": found_areas,
            "at_edge": at_edge(found_boxes, height, width),
            "iou": iou.max(axis=1, initial=0),
            "truth_id": _most_overlapped(iou, ids),
            "kind": judged.kind,
        },
    )


class _Judged(NamedTuple):
    outcome: np.ndarray  # (N,) str, of OUTCOMES
    kind: np.ndarray  # (D,) str, of KINDS
    blamed: np.ndarray  # (D, N) bool, the detections that made the outcome


def _judge(
    finds: np.ndarray,
    covers: np.ndarray,
    inside: np.ndarray,
    iou: np.ndarray,
    split: np.ndarray,
    iou_poor: float,
) -> _Judged:
    """Name outcomes and kinds in the order of precedence; see `analyse_image`.

    finds, covers and inside are bool (D, N): the detection finds the object, covers most of it,
    is wrong and lies mostly inside it; iou is (D, N), split bool (N,).
    """
    found, right = finds.any(axis=0), finds.any(axis=1)
    merging = covers.sum(axis=1) >= 2
    merges = (covers & merging[:, None]) | (iou >= IOU)  # of an object that is not found
    merged = ~found & merges.any(axis=0)
    split = split & ~found & ~merged
    part = ~right & inside[:, split].any(axis=1)
    best, target = iou.max(axis=1, initial=0), _largest(iou, axis=1)
    poor = ~(right | merging | part) & (best >= iou_poor)
    poor_of = poor[:, None] & (target[:, None] == np.arange(finds.shape[1]))
    conditions = [found, merged, split, poor_of.any(axis=0)]
    kinds = [right, merging, part, best >= IOU, poor]  # from IOU its object is found already
    return _Judged(
        outcome=np.select(conditions, OUTCOMES[:-1], OUTCOMES[-1]),
        kind=np.select(kinds, KINDS[:-1], KINDS[-1]),
        blamed=np.select(conditions, [finds, merges, inside, poor_of], False),
    )


def _finds(truth_ids: list[int], tp: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Which detection finds which object, bool (D, N)."""
    finds = tp[:, None] & (np.array(truth_ids, np.int64)[:, None] == ids)
    if (finds.sum(axis=1) < tp).any():
        strange = truth_ids[int(np.argmax(finds.sum(axis=1) < tp))]
        raise ValueError(f"a detection has found object {strange}, which is not in the image")
    return finds


def _is_split(mask: dict, is_part: np.ndarray, found: list[dict]) -> bool:
    """Tell whether at least two detections together cover more than half of an object."""
    parts = [found[place] for place in np.flatnonzero(is_part)]
    if len(parts) < 2:
        return False
    together = coco_mask.merge(cast("Any", parts))
    covered: Any = coco_mask.merge(cast("Any", [mask, together]), intersect=True)
    shared, whole = mask_areas([covered, mask])
    return bool(2 * shared > whole)


def _best_scored(blamed: np.ndarray, scores: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """For each column of bool (D, N) the position of its best scored detection, -1 if none."""
    ranked = np.where(blamed, scores[:, None], -np.inf)
    return np.where(blamed.any(axis=0), np.append(positions, -1)[_largest(ranked, axis=0)], -1)


def _most_overlapped(iou: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Id of the object that each detection overlaps most, -1 where it overlaps none."""
    return np.where(iou.any(axis=1), np.append(ids, -1)[_largest(iou, axis=1)], -1)


def _largest(values: np.ndarray, axis: int) -> np.ndarray:
    """Position of the first largest value along an axis, -1 where the axis is empty."""
    if values.shape[axis]:
        return values.argmax(axis=axis)
    return np.full(values.shape[1 - axis], -1)
