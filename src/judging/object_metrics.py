"""Right, wrong and missed objects and the agreement of the masks, per image and together.

One convention for an IoU exactly at a threshold: it is a match (COCO's >=), but for panoptic
quality, which asks for more than 0.5 (Kirillov et al. 2019).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from src.formats.prepared import Annotation, ImageRecord, Rle
from src.judging.boundaries import boundary_iou
from src.judging.coco_evaluation import THRESHOLDS, Matches, Prediction
from src.matching.matching import region_overlaps
from src.matching.unions import union_of

IMAGE_COLUMNS = [
    "name",
    "image_id",
    "objects",
    "detections",
    "tp",
    "fp",
    "fn",
    "f1_50",
    "dice",
    "iou",
    "boundary_iou",
    "detection_accuracy",
    "tp_75",
    "fp_75",
    "tp_histogram",
    "fp_histogram",
    "tp_panoptic",
    "fp_panoptic",
    "sum_iou",
]


def by_image(
    images: list[ImageRecord],
    annotations: list[Annotation],
    predictions: list[Prediction],
    matches: Matches,
) -> list[tuple[ImageRecord, list[Annotation], list[Prediction], Matches]]:
    """Part what was judged by image, for `score_image`.

    Parameters
    ----------
    images, annotations : list of ImageRecord, of Annotation
    predictions : list of Prediction
        The list that was judged.
    matches : Matches
        What `src.judging.coco_evaluation` says of it. Detections it does not list count nowhere.

    Returns
    -------
    parts : list of tuple
        Arguments of `score_image` of every image, sorted by name.
    """
    of_image: defaultdict[int, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        of_image[annotation["image_id"]].append(annotation)
    order = np.argsort(matches.image_id, kind="stable")
    columns = [column[order] for column in matches]
    parts: list[tuple[ImageRecord, list[Annotation], list[Prediction], Matches]] = []
    for image in sorted(images, key=lambda image: image["name"]):
        low, high = np.searchsorted(columns[1], [image["id"], image["id"] + 1])
        found = Matches(*(column[low:high] for column in columns))
        detections = [predictions[int(place)] for place in found.detection]
        parts.append((image, of_image[image["id"]], detections, found))
    return parts


def score_image(
    image: ImageRecord,
    annotations: list[Annotation],
    detections: list[Prediction],
    matches: Matches,
) -> dict[str, Any]:
    """Count and score the objects of one image.

    Parameters
    ----------
    image : ImageRecord
    annotations, detections : list of Annotation, of Prediction
        Its annotations and its N judged detections.
    matches : Matches
        The N rows of these detections, in their order.

    Returns
    -------
    row : dict
        Keys IMAGE_COLUMNS. objects = tp + fn and detections = tp + fp at IoU 0.5: crowd regions
        and detections matched with one are not counted. dice, iou and boundary_iou compare the
        union of the detections with the union of the objects, crowd pixels left out of both.
        detection_accuracy is the mean of TP / (TP + FP + FN) over THRESHOLDS; 1 where nothing is
        to be found and nothing is, 0 where one of them.
        tp_75, fp_75 are at IoU 0.75; tp_panoptic, fp_panoptic and sum_iou see `panoptic_counts`.
        tp_histogram, fp_histogram are matched by IoU and not by score: the pairs of an object and
        a detection of at least 0.5, one to one, the largest first. They are those of the histogram
        of two label maps, but masks that overlap are compared whole.
    """
    objects = [annotation for annotation in annotations if not annotation["iscrowd"]]
    crowd = [annotation for annotation in annotations if annotation["iscrowd"]]
    tp_at = matches.tp_at.sum(axis=0)
    fp_at = (~matches.tp_at & ~matches.ignored_at).sum(axis=0)
    counted_at = len(objects) + fp_at  # TP + FP + FN
    tp, fp, fn = int(tp_at[0]), int(fp_at[0]), len(objects) - int(tp_at[0])
    accuracies = np.where(counted_at > 0, tp_at / np.maximum(counted_at, 1), 1.0)
    judged = [d for d, ignored in zip(detections, matches.ignored, strict=True) if not ignored]
    histogram = _one_to_one(objects, judged, THRESHOLDS[0])
    panoptic = panoptic_counts(matches, detections, crowd)
    unions = [_union(records) for records in (detections, objects, crowd)]
    areas = _areas(*unions)
    values = {
        "name": image["name"],
        "image_id": image["id"],
        "objects": tp + fn,
        "detections": tp + fp,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "f1_50": f1_score(tp, fp, fn),
        "dice": _dice(*areas),
        "iou": _iou(*areas),
        "boundary_iou": boundary_iou(*unions),
        "detection_accuracy": float(np.mean(accuracies)),
        "tp_75": int(tp_at[5]),
        "fp_75": int(fp_at[5]),
        "tp_histogram": histogram,
        "fp_histogram": len(judged) - histogram,
    }
    return values | dict(zip(IMAGE_COLUMNS[-3:], panoptic, strict=True))


def score_together(rows: list[dict[str, Any]]) -> dict[str, float | int | None]:
    """Score all images together: counts are summed before dividing, `*_mean` are means of images.

    Parameters
    ----------
    rows : list of dict
        From `score_image`.

    Returns
    -------
    scores : dict
        f1_50, precision_50 (None without a detection), recall_50 (None without an object),
        f1_histogram_50; dice_mean, iou_mean, boundary_iou_mean and detection_accuracy, means over
        images; detection_accuracy_50 and _75, TP / (TP + FP + FN) of all objects; pq, sq, rq, the
        panoptic quality (all of them None where there is neither truth nor a detection, sq
        without a match); and the counts images, objects, detections.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("no image to score")
    total = {key: sum(row[key] for row in rows) for key in IMAGE_COLUMNS[2:]}
    tp, fp, fn, objects = (total[key] for key in ("tp", "fp", "fn", "objects"))
    at_75, histogram, panoptic = (
        (total[f"tp_{kind}"], total[f"fp_{kind}"], objects - total[f"tp_{kind}"])
        for kind in ("75", "histogram", "panoptic")
    )
    return {
        "f1_50": f1_score(tp, fp, fn),
        "precision_50": precision(tp, fp),
        "recall_50": recall(tp, fn),
        "f1_histogram_50": f1_score(*histogram),
        "dice_mean": total["dice"] / len(rows),
        "iou_mean": total["iou"] / len(rows),
        "boundary_iou_mean": total["boundary_iou"] / len(rows),
        "detection_accuracy": total["detection_accuracy"] / len(rows),
        "detection_accuracy_50": detection_accuracy(tp, fp, fn),
        "detection_accuracy_75": detection_accuracy(*at_75),
        **panoptic_quality(*panoptic, total["sum_iou"]),
        "images": len(rows),
        "objects": objects,
        "detections": total["detections"],
    }


def f1_score(tp: int, fp: int, fn: int) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), in [0, 1].

    1 where there is neither truth nor a detection: nothing to find, nothing found.
    """
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def precision(tp: int, fp: int) -> float | None:
    """Return the fraction of detections that are right; None without a detection."""
    return tp / (tp + fp) if tp + fp else None


def recall(tp: int, fn: int) -> float | None:
    """Return the fraction of objects that are found; None without an object."""
    return tp / (tp + fn) if tp + fn else None


def detection_accuracy(tp: int, fp: int, fn: int) -> float:
    """Return TP / (TP + FP + FN), in [0, 1]; 1 where there is neither truth nor a detection."""
    return tp / (tp + fp + fn) if tp + fp + fn else 1.0


def panoptic_quality(tp: int, fp: int, fn: int, sum_iou: float) -> dict[str, float | None]:
    """Panoptic quality of one class (Kirillov et al. 2019): pq = sq * rq.

    Parameters
    ----------
    tp, fp, fn : int
        At an IoU of more than 0.5.
    sum_iou : float
        Of the tp matches.

    Returns
    -------
    quality : dict
        pq; sq, the mean IoU of the matches, None without a match; rq, the F1. pq and rq are None
        where there is neither truth nor a detection, as the class is then left out there.
    """
    counted = tp + fp + fn
    return {
        "pq": sum_iou / (tp + (fp + fn) / 2) if counted else None,
        "sq": sum_iou / tp if tp else None,
        "rq": f1_score(tp, fp, fn) if counted else None,
    }


def panoptic_counts(
    matches: Matches, detections: list[Prediction], crowd: list[Annotation]
) -> tuple[int, int, float]:
    """Count the matches of one image as panoptic quality does.

    A match has an IoU of more than 0.5. As long as neither objects nor detections overlap among
    themselves, it is the only one of both; where they do, it is COCO's, which goes by score.
    A detection without a match is left out if more than half of it lies in crowd regions of its
    category, all taken together (COCO: at least half in one of them).

    Parameters
    ----------
    matches : Matches
        The N judged detections of an image.
    detections, crowd : list of Prediction, of Annotation
        These N, and the crowd regions of the image.

    Returns
    -------
    tp, fp : int
    sum_iou : float
        IoU of the tp matches, summed.
    """
    matched = matches.tp & (matches.iou > 0.5)
    tp, sum_iou = int(matched.sum()), float(matches.iou[matched].sum())
    of_category: defaultdict[int, list[Annotation]] = defaultdict(list)
    for annotation in crowd:
        of_category[annotation["category_id"]].append(annotation)
    regions = {category: _union(records) for category, records in of_category.items()}
    fp = len(matched) - tp
    for detection, right in zip(detections, matched, strict=True):
        region = regions.get(detection["category_id"])
        if not right and region is not None:
            inside = coco_mask.iou([detection["segmentation"]], [region], [1])  # part of detection
            fp -= int(np.asarray(inside)[0, 0] > 0.5)
    return tp, fp, sum_iou


def _dice(both: int, predicted: int, truth: int) -> float:
    return 2 * both / (predicted + truth) if predicted + truth else 1.0


def _iou(both: int, predicted: int, truth: int) -> float:
    either = predicted + truth - both
    return both / either if either else 1.0


def _union(records: Sequence[Annotation | Prediction]) -> Rle | None:
    return union_of([record["segmentation"] for record in records]) if records else None


def _areas(predicted: Rle | None, truth: Rle | None, ignored: Rle | None) -> tuple[int, int, int]:
    """Pixels of the intersection and of either mask, outside the ignored ones."""
    both = None
    if predicted is not None and truth is not None:
        both = coco_mask.merge([predicted, truth], intersect=True)
    in_both, in_predicted, in_truth = (
        _area_outside(rle, ignored) for rle in (both, predicted, truth)
    )
    return in_both, in_predicted, in_truth


def _area_outside(rle: Rle | None, ignored: Rle | None) -> int:
    if rle is None:
        return 0
    area = int(coco_mask.area(rle))
    if ignored is None:
        return area
    return area - int(coco_mask.area(coco_mask.merge([rle, ignored], intersect=True)))


def _one_to_one(objects: list[Annotation], detections: list[Prediction], threshold: float) -> int:
    """Match within categories by an IoU of the threshold, the largest first, in order if equal."""
    truth, found = ([one["segmentation"] for one in of] for of in (objects, detections))
    overlaps = region_overlaps(truth, found, np.zeros(len(detections), bool))
    categories = [
        np.array([r["category_id"] for r in rs], np.int64) for rs in (objects, detections)
    ]
    rows, columns = overlaps.detection, overlaps.region
    near = (overlaps.share >= threshold) & (categories[0][rows] == categories[1][columns])
    rows, columns, iou = rows[near], columns[near], overlaps.share[near]
    if len(np.unique(rows)) == len(np.unique(columns)) == len(rows):
        return len(rows)
    taken_rows, taken_columns = set[int](), set[int]()
    for place in np.argsort(-iou, kind="stable"):
        row, column = int(rows[place]), int(columns[place])
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
    return len(taken_rows)
