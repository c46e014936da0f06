"""What became of every object of an image, and what is wrong with every detection.

Masks are compressed RLEs. The tables are dicts of columns, arrays of equal length. One category.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from pycocotools import mask as coco_mask
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from src.analysis.neighbours import nearest_neighbours
from src.analysis.overlaps import at_edge, mask_boxes, shared_pixels
from src.matching.matching import mask_areas, region_overlaps

OUTCOMES = ("found", "merged", "split", "poor_outline", "missed")  # of objects
KINDS = ("right", "merged", "split_part", "duplicate", "poor_outline", "spurious")  # of detections
IOU = 0.5  # from which a detection finds an object
TABLE = 1 << 21  # pairs of an object and a detection that are looked at together
NAMES = f"U{max(map(len, (*OUTCOMES, *KINDS)))}"


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
    truth_ids = np.array([d["truth_id"] for d in detections], np.int64)
    strange = truth_ids[tp & ~np.isin(truth_ids, ids)]
    if len(strange):
        raise ValueError(f"a detection has found object {strange[0]}, which is not in the image")

    outcome, kind = np.full(len(ids), OUTCOMES[-1], NAMES), np.full(len(tp), KINDS[-1], NAMES)
    found, detection, best_iou = np.zeros(len(ids), bool), np.full(len(ids), -1), np.zeros(len(ids))
    iou, truth_id = np.zeros(len(tp)), np.full(len(tp), -1)
    for these, those in _parts(truth, masks, ids, np.where(tp, truth_ids, -1)):
        finds = tp[those, None] & (truth_ids[those, None] == ids[these])
        some, other = [truth[n] for n in these.tolist()], [masks[n] for n in those.tolist()]
        judged, table = _judge_part(some, other, finds, iou_poor)
        outcome[these], kind[those] = judged.outcome, judged.kind
        found[these], best_iou[these] = finds.any(axis=0), table.max(axis=0, initial=0)
        detection[these] = _best_scored(judged.blamed, scores[those], positions[those])
        iou[those] = table.max(axis=1, initial=0)
        truth_id[those] = _most_overlapped(table, ids[these])

    distance, neighbour = nearest_neighbours(truth)
    areas, boxes, found_boxes = mask_areas(truth), mask_boxes(truth), mask_boxes(masks)
    return ImageErrors(
        objects={
            "truth_id": ids,
            "area": areas,
            **dict(zip(("x", "y", "width", "height"), boxes.T, strict=True)),
            "at_edge": at_edge(boxes, height, width),
            "found": found,
            "best_iou": best_iou,
            "outcome": outcome,
            "detection": detection,
            "neighbour_distance": distance,
            "neighbour_area": np.where(neighbour < 0, np.nan, np.append(areas, 0)[neighbour]),
        },
        detections={
            "detection": positions,
            "score": scores,
            "area": mask_areas(masks),
            "at_edge": at_edge(found_boxes, height, width),
            "iou": iou,
            "truth_id": truth_id,
            "kind": kind,
        },
    )


def _parts(
    truth: list[dict], masks: list[dict], ids: np.ndarray, finds: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the objects and the detections that hang together by pixels in common, int64 each.

    All of them where a table of them is small; what hangs together with nothing comes at the end,
    objects and detections by themselves. `finds` is the id of the object that a detection finds.
    """
    count = len(truth), len(masks)
    if count[0] * count[1] <= TABLE:
        yield np.arange(count[0]), np.arange(count[1])
        return
    pairs = region_overlaps(masks, truth, np.zeros(count[0], bool))
    finder = np.flatnonzero(np.isin(finds, ids))
    order = np.argsort(ids, kind="stable")
    sought = order[np.searchsorted(ids, finds[finder], sorter=order)]
    row = np.concatenate([pairs.region, sought])
    column = count[0] + np.concatenate([pairs.detection, finder])
    graph = coo_array((np.ones(len(row), bool), (row, column)), shape=(sum(count), sum(count)))
    part = connected_components(graph, directed=False)[1]
    members = np.argsort(part, kind="stable")
    groups = np.split(members, np.flatnonzero(np.diff(part[members])) + 1)
    for group in groups:
        if len(group) > 1:
            yield group[group < count[0]], group[group >= count[0]] - count[0]
    alone = np.array([group[0] for group in groups if len(group) == 1], np.int64)
    nothing = np.empty(0, np.int64)
    yield alone[alone < count[0]], nothing
    yield nothing, alone[alone >= count[0]] - count[0]


def _judge_part(
    truth: list[dict], masks: list[dict], finds: np.ndarray, iou_poor: float
) -> tuple["_Judged", np.ndarray]:
    """Judge N objects and D detections; return the IoU of both, (D, N), too."""
    areas, found_areas = mask_areas(truth), mask_areas(masks)
    shared = shared_pixels(masks, truth)
    iou = shared / np.maximum(found_areas[:, None] + areas - shared, 1)
    covers = 2 * shared > areas
    wrong = np.logical_not(finds.any(axis=1))
    inside = (2 * shared > found_areas[:, None]) & wrong[:, None]
    split = np.array([_is_split(*pair, masks) for pair in zip(truth, inside.T, strict=True)], bool)
    return _judge(finds, covers, inside, iou, split, iou_poor), iou


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
