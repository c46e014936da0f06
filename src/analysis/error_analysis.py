"""What was missed and what is wrong, of which kind, and what each kind costs in AP50.

Masks are compressed RLEs. The tables are dicts of columns, arrays of equal length. One category.
"""

from typing import NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from scipy.spatial import KDTree

from src.formats.average_precision import average_precision

OUTCOMES = ("found", "merged", "split", "poor_outline", "missed")  # of objects
KINDS = ("right", "merged", "split_part", "duplicate", "poor_outline", "spurious")  # of detections
FIXES = ("missed", "merged", "split", "poor_outline", "duplicate", "spurious", "score_order")
IOU = 0.5  # from which a detection finds an object
EDGE = 2  # px; a mask whose bounding box comes nearer to the image's edge touches it
SIDES = (7, 14, 20, 32, 48, 64, 96)  # px, square roots of areas
DISTANCES = (2, 4, 8, 16, 32)  # px to the nearest neighbour; 1 is side by side
SMALL = 14  # px, side of an object that counts as small beside a neighbour
NEAR = 8  # px to the neighbour that a small object is beside
ALONE = ("none",)  # bin of an object without a neighbour


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

    areas, found_areas = _areas(truth), _areas(masks)
    shared = _shared_pixels(masks, truth)
    iou = shared / np.maximum(found_areas[:, None] + areas - shared, 1)
    covers = 2 * shared > areas
    inside = (2 * shared > found_areas[:, None]) & ~tp[:, None]
    split = np.array([_is_split(*pair, masks) for pair in zip(truth, inside.T, strict=True)], bool)
    judged = _judge(finds, covers, inside, iou, split, iou_poor)

    distance, neighbour = nearest_neighbours(truth)
    boxes, found_boxes = _boxes(truth), _boxes(masks)
    return ImageErrors(
        objects={
            "truth_id": ids,
            "area": areas,
            **dict(zip(("x", "y", "width", "height"), boxes.T, strict=True)),
            "at_edge": _at_edge(boxes, height, width),
            "found": finds.any(axis=0),
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
            "at_edge": _at_edge(found_boxes, height, width),
            "iou": iou.max(axis=1, initial=0),
            "truth_id": _most_overlapped(iou, ids),
            "kind": judged.kind,
        },
    )


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
    boxes, overlap = _boxes(masks), _shared_pixels(masks, masks) > 0
    outlines = [_outline(mask, box) for mask, box in zip(masks, boxes, strict=True)]
    trees = [KDTree(points) if len(points) else None for points in outlines]
    distance, neighbour = np.full(len(masks), np.nan), np.full(len(masks), -1)
    gaps = _box_gaps(boxes)
    for place, points in enumerate(outlines):
        best = np.inf
        for other in np.argsort(gaps[place], kind="stable"):
            if gaps[place, other] >= best or not len(points):
                break
            if other == place or trees[other] is None:
                continue
            nearest = 0.0
            if not overlap[place, other]:
                nearest = trees[other].query(points, distance_upper_bound=best)[0].min()
            if nearest < best:
                best, distance[place], neighbour[place] = nearest, nearest, other
    return distance, neighbour


def average_precision_50(scores: np.ndarray, tp: np.ndarray, objects: int) -> float | None:
    """COCO's average precision at one IoU: the mean precision at 101 recalls.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
        Of the judged detections, ignored ones left out, ordered by image and position: equal
        scores keep that order.
    tp : ndarray of bool, shape (N,)
        Which of them find an object.
    objects : int
        Number of objects there are.

    Returns
    -------
    ap : float or None
        In [0, 1]; None without an object.
    """
    if not objects:
        return None
    return average_precision(tp[np.argsort(-scores, kind="stable")], objects)


def fix_each_kind(objects: dict[str, np.ndarray], detections: dict[str, np.ndarray]) -> list[dict]:
    """Tell what AP50 would be if one kind of error were undone and all else stayed.

    missed: every missed object is found, ranked before all detections.
    merged: the wrong detections that merge give way to the merged objects, each found with the
        score of the best detection that merges it.
    split: the parts give way to the objects, each found with the score of its best part.
    poor_outline: the best scored detection of each object of that outcome finds it; others that
        overlap the same object stay wrong.
    duplicate, spurious: those detections are gone.
    score_order: every right detection is ranked before every wrong one.

    Parameters
    ----------
    objects, detections : dict of columns
        Of all images, as `analyse_image` returns them, detections ordered by image and position.

    Returns
    -------
    rows : list of dict
        kind ("none" for the AP50 as it is, then FIXES), count (objects, or wrong detections for
        duplicate, spurious and score_order), ap50_if_fixed, regained (share of the loss
        1 - AP50; None where there is no loss). Without an object AP50 is None as well. The
        shares do not add up to 1.
    """
    kind, outcome, total = detections["kind"], objects["outcome"], len(objects["outcome"])
    scores, tp = detections["score"], kind == "right"
    score_of = dict(zip(detections["detection"].tolist(), scores.tolist(), strict=True))

    def blamed(name: str) -> np.ndarray:
        positions = objects["detection"][outcome == name].tolist()
        return np.array([score_of[position] for position in positions], np.float64)

    def fixed(gone: np.ndarray, added: np.ndarray) -> tuple:
        hits = np.append(tp[~gone], np.ones(added.size, bool))
        return np.append(scores[~gone], added), hits

    nothing, none = np.zeros(len(kind), bool), np.empty(0)
    missed = int((outcome == "missed").sum())
    outlined = np.isin(detections["detection"], objects["detection"][outcome == "poor_outline"])
    cases = {
        "none": (0, (scores, tp)),
        "missed": (missed, fixed(nothing, np.full(missed, np.inf))),
        "merged": (blamed("merged").size, fixed(kind == "merged", blamed("merged"))),
        "split": (blamed("split").size, fixed(kind == "split_part", blamed("split"))),
        "poor_outline": (blamed("poor_outline").size, (scores, tp | outlined)),
        "duplicate": ((kind == "duplicate").sum(), fixed(kind == "duplicate", none)),
        "spurious": ((kind == "spurious").sum(), fixed(kind == "spurious", none)),
        "score_order": ((~tp).sum(), (tp.astype(np.float64), tp)),
    }
    before, rows = average_precision_50(scores, tp, total), []
    for name, (count, table) in cases.items():
        ap50 = average_precision_50(*table, total)
        share = (ap50 - before) / (1 - before) if total and before < 1 else None
        row = {"kind": name, "count": int(count), "ap50_if_fixed": ap50, "regained": share}
        rows.append(row)
    return rows


def recall_by_bin(objects: dict[str, np.ndarray], groups: list[str]) -> list[dict]:
    """Share of the objects found, by what may make an object hard to find.

    Parameters
    ----------
    objects : dict of columns
        Of all images, as `analyse_image` returns them, and group (str).
    groups : list of str
        The groups to tell apart.

    Returns
    -------
    rows : list of dict
        question, bin, objects, found, recall (None without an object). Questions: size (SIDES
        of the square root of the area), neighbour_distance (DISTANCES), neighbour_size (SIDES),
        at_edge, small_object (sides below SMALL: whether the nearest neighbour is within NEAR
        and larger than they are), group.
    """
    side, distance = np.sqrt(objects["area"]), objects["neighbour_distance"]
    beside = (distance <= NEAR) & (objects["neighbour_area"] > objects["area"])
    small = np.select([side >= SMALL, beside], [-1, 1], 0)
    near = f"a larger neighbour within {NEAR} px"
    questions = {
        "size": _binned(side, SIDES),
        "neighbour_distance": _binned(distance, DISTANCES, ALONE),
        "neighbour_size": _binned(np.sqrt(objects["neighbour_area"]), SIDES, ALONE),
        "at_edge": _yes_or_no(objects["at_edge"]),
        "small_object": (small, ["none such", near]),
        "group": _grouped(objects["group"], groups),
    }
    return _rates(questions, objects["found"], ("objects", "found", "recall"))


def precision_by_bin(detections: dict[str, np.ndarray], groups: list[str]) -> list[dict]:
    """Share of the detections that are right, by the questions size, at_edge and group.

    Parameters
    ----------
    detections : dict of columns
        Of all images, as `analyse_image` returns them, and group (str).
    groups : list of str
        The groups to tell apart.

    Returns
    -------
    rows : list of dict
        question, bin, detections, right, precision (None without a detection).
    """
    questions = {
        "size": _binned(np.sqrt(detections["area"]), SIDES),
        "at_edge": _yes_or_no(detections["at_edge"]),
        "group": _grouped(detections["group"], groups),
    }
    right = detections["kind"] == "right"
    return _rates(questions, right, ("detections", "right", "precision"))


def worst_images(
    objects: dict[str, np.ndarray], detections: dict[str, np.ndarray], count: int
) -> list[dict]:
    """Name the images that hold the largest share of the errors, and of each kind of error.

    Parameters
    ----------
    objects, detections : dict of columns
        As `analyse_image` returns them, and name (str), of all images.
    count : int
        Images to name at most, of each kind.

    Returns
    -------
    rows : list of dict
        kind, place (from 1), name, errors (in that image), share (of the errors of that kind in
        all images). Kinds: all (objects not found and wrong detections), the outcomes merged,
        split, poor_outline and missed (objects), duplicate and spurious (detections). An image
        without such an error is not named; equal ones are ordered by name.
    """
    wrong, lost = detections["kind"] != "right", ~objects["found"]
    names = {"all": np.append(objects["name"][lost], detections["name"][wrong])}
    for kind in FIXES[:-1]:
        column, table = ("outcome", objects) if kind in OUTCOMES else ("kind", detections)
        names[kind] = table["name"][table[column] == kind]
    rows = []
    for kind, places in names.items():
        name, errors = np.unique(places.astype(str), return_counts=True)
        for place, index in enumerate(np.argsort(-errors, kind="stable")[:count], start=1):
            row = {"kind": kind, "place": place, "name": str(name[index])}
            number = int(errors[index])
            rows.append(row | {"errors": number, "share": number / len(places)})
    return rows


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
    poor_of = poor[:, None] & (target[:, None] == np.arange(len(found)))
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
    covered = coco_mask.merge([mask, coco_mask.merge(parts)], intersect=True)
    return bool(2 * int(coco_mask.area(covered)) > int(coco_mask.area(mask)))


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


def _shared_pixels(first: list[dict], second: list[dict]) -> np.ndarray:
    """Pixels that any two masks share, int64 (A, B)."""
    if not first or not second:
        return np.zeros((len(first), len(second)), np.int64)
    share = coco_mask.iou(first, second, [1] * len(second))  # of the first mask's pixels
    return np.rint(share * _areas(first)[:, None]).astype(np.int64)


def _areas(masks: list[dict]) -> np.ndarray:
    return coco_mask.area(masks).astype(np.int64) if masks else np.empty(0, np.int64)


def _boxes(masks: list[dict]) -> np.ndarray:
    """Bounding boxes XYWH, int64 (N, 4)."""
    return coco_mask.toBbox(masks).astype(np.int64) if masks else np.empty((0, 4), np.int64)


def _at_edge(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    far = boxes[:, :2] + boxes[:, 2:]
    return (boxes[:, :2] < EDGE).any(axis=1) | (far > (width - EDGE, height - EDGE)).any(axis=1)


def _box_gaps(boxes: np.ndarray) -> np.ndarray:
    """Distance between the nearest pixels of any two boxes, a lower bound of the masks'."""
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:] - 1
    apart = np.maximum(low - high.transpose(1, 0, 2), low.transpose(1, 0, 2) - high)
    return np.hypot(*np.moveaxis(np.maximum(apart, 0), -1, 0))


def _outline(mask: dict, box: np.ndarray) -> np.ndarray:
    """Pixels (x, y) of a mask with a 4-neighbour outside it, int64 (n, 2)."""
    x, y, width, height = box
    inside = np.ascontiguousarray(coco_mask.decode(mask)[y : y + height, x : x + width])
    if not inside.size:
        return np.empty((0, 2), np.int64)
    edge = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    core = cv2.erode(inside, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), **edge)
    return np.argwhere(inside > core)[:, ::-1] + (x, y)


def _binned(
    values: np.ndarray, edges: tuple[int, ...], last: tuple[str, ...] = ()
) -> tuple[np.ndarray, list[str]]:
    """Bin of every value and all labels; a bin holds its lower edge; NaN goes into the last."""
    between = [f"{low} to {high} px" for low, high in zip(edges, edges[1:], strict=False)]
    labels = [f"below {edges[0]} px", *between, f"from {edges[-1]} px", *last]
    known = np.digitize(np.nan_to_num(values), edges)
    return np.where(np.isnan(values), len(labels) - 1, known), labels


def _yes_or_no(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    return values.astype(np.int64), ["no", "yes"]


def _grouped(values: np.ndarray, groups: list[str]) -> tuple[np.ndarray, list[str]]:
    number = {group: place for place, group in enumerate(groups)}
    return np.array([number.get(value, -1) for value in values], np.int64), groups


def _rates(questions: dict, hits: np.ndarray, columns: tuple[str, str, str]) -> list[dict]:
    """Count all and hits in every bin (-1 is none) and divide."""
    rows = []
    for question, (bins, labels) in questions.items():
        all_of = np.bincount(bins[bins >= 0], minlength=len(labels))
        hits_of = np.bincount(bins[(bins >= 0) & hits], minlength=len(labels))
        for label, total, hit in zip(labels, all_of.tolist(), hits_of.tolist(), strict=True):
            numbers = (total, hit, hit / total if total else None)
            rows.append(
                {"question": question, "bin": label, **dict(zip(columns, numbers, strict=True))}
            )
    return rows
