"""Right, wrong and missed objects and the agreement of the masks, per image and together.

One convention for an IoU exactly at a threshold: it is a match (COCO's >=), but for panoptic
quality, which asks for more than 0.5 (Kirillov et al. 2019).
"""

from collections import defaultdict
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from src.formats.prepared import Annotation, ImageRecord, Rle
from src.judging.boundaries import Masks, agreement
from src.judging.coco_evaluation import Matches, Prediction
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


def score_images(
    images: list[ImageRecord],
    annotations: list[Annotation],
    predictions: list[Prediction],
    matches: Matches,
) -> list[dict[str, Any]]:
    """Count and score the objects of every image.

    Parameters
    ----------
    images, annotations : list of ImageRecord, of Annotation
    predictions : list of Prediction
        The list that was judged.
    matches : Matches
        What `src.judging.coco_evaluation` says of it. Detections it does not list count nowhere.

    Returns
    -------
    rows : list of dict
        Keys IMAGE_COLUMNS, one of each image, sorted by name. objects = tp + fn and detections =
        tp + fp at IoU 0.5: crowd regions and detections matched with one are not counted. dice,
        iou and boundary_iou compare the union of the detections with the union of the objects,
        crowd pixels left out of both; 1 if both are empty, 0 if one is. detection_accuracy is the
        mean of TP / (TP + FP + FN) over THRESHOLDS; 1 where nothing is to be found and nothing is,
        0 where one of them. tp_75, fp_75 are at IoU 0.75; tp_panoptic, fp_panoptic and sum_iou see
        `panoptic_counts`. tp_histogram, fp_histogram are matched by IoU and not by score: the pairs
        of `Matches`. They are those of the histogram of two label maps, but masks that overlap are
        compared whole.

    Raises
    ------
    ValueError
        If masks of one image are of different sizes.
    """
    images = sorted(images, key=lambda image: image["name"])
    of_image: defaultdict[int, tuple[list[Annotation], list[Annotation]]]
    of_image = defaultdict(lambda: ([], []))  # objects, crowd regions
    for annotation in annotations:
        of_image[annotation["image_id"]][bool(annotation["iscrowd"])].append(annotation)
    places = {image["id"]: place for place, image in enumerate(images)}
    row = np.array([places[image] for image in matches.image_id.tolist()], np.int64)
    detections: list[list[Prediction]] = [[] for _ in images]
    pairs: list[list[int]] = np.stack([row, matches.detection], axis=1).tolist()
    for place, number in pairs:
        detections[place].append(predictions[number])
    truth = [of_image[image["id"]] for image in images]
    objects = np.array([len(real) for real, _ in truth], np.int64)
    columns = _counts(row, matches, objects) | _agreements(detections, truth)
    columns |= _panoptic(row, matches, detections, [crowd for _, crowd in truth])
    columns["name"] = [image["name"] for image in images]
    columns["image_id"] = [image["id"] for image in images]
    ordered = (columns[name] for name in IMAGE_COLUMNS)
    return [dict(zip(IMAGE_COLUMNS, values, strict=True)) for values in zip(*ordered, strict=True)]


def _counts(row: np.ndarray, matches: Matches, objects: np.ndarray) -> dict[str, list[Any]]:
    """Count what is matched in each of I images; row (N,) is that of each detection."""

    def per_image(flags: np.ndarray) -> np.ndarray:
        return np.bincount(row[flags], minlength=len(objects))

    wrong_at = ~matches.tp_at & ~matches.ignored_at
    tp_at, fp_at = (
        np.stack([per_image(flags) for flags in at.T], axis=1) for at in (matches.tp_at, wrong_at)
    )
    counted_at = objects[:, None] + fp_at  # TP + FP + FN
    accuracies = np.where(counted_at > 0, tp_at / np.maximum(counted_at, 1), 1.0)
    tp, fp = tp_at[:, 0], fp_at[:, 0]
    fn = objects - tp
    paired = per_image(matches.paired)
    columns = {
        "objects": objects,
        "detections": tp + fp,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "f1_50": _ratio(2 * tp, 2 * tp + fp + fn),
        "detection_accuracy": np.mean(accuracies, axis=1),
        "tp_75": tp_at[:, 5],
        "fp_75": fp_at[:, 5],
        "tp_histogram": paired,
        "fp_histogram": per_image(~matches.ignored) - paired,
    }
    return {name: column.tolist() for name, column in columns.items()}


def _agreements(
    detections: list[list[Prediction]], truth: list[tuple[list[Annotation], list[Annotation]]]
) -> dict[str, list[float]]:
    """Compare the unions of each image."""
    masks = [
        Masks(*([one["segmentation"] for one in records] for records in (found, *real)))
        for found, real in zip(detections, truth, strict=True)
    ]
    pixels = agreement(masks)
    bands = pixels.predicted_band + pixels.truth_band - pixels.both_bands
    columns = {
        "dice": _ratio(2 * pixels.both, pixels.predicted + pixels.truth),
        "iou": _ratio(pixels.both, pixels.predicted + pixels.truth - pixels.both),
        "boundary_iou": _ratio(pixels.both_bands, bands),
    }
    return {name: column.tolist() for name, column in columns.items()}


def _panoptic(
    row: np.ndarray,
    matches: Matches,
    detections: list[list[Prediction]],
    crowds: list[list[Annotation]],
) -> dict[str, list[Any]]:
    order = np.argsort(row, kind="stable")
    marks = np.searchsorted(row[order], np.arange(len(crowds) + 1)).tolist()
    right, iou = (matches.tp & (matches.iou > 0.5))[order], matches.iou[order]
    counts: list[tuple[int, int, float]] = []
    for found, crowd, low, high in zip(detections, crowds, marks, marks[1:], strict=False):
        counts.append(panoptic_counts(right[low:high], iou[low:high], found, crowd))
    names = IMAGE_COLUMNS[-3:]
    return {name: [one[place] for one in counts] for place, name in enumerate(names)}


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; 1 where there is nothing to divide by: nothing to find, nothing found."""
    return np.divide(part, whole, out=np.ones(len(whole)), where=whole > 0)


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
    right: np.ndarray, iou: np.ndarray, detections: list[Prediction], crowd: list[Annotation]
) -> tuple[int, int, float]:
    """Count the matches of one image as panoptic quality does.

    A match has an IoU of more than 0.5. As long as neither objects nor detections overlap among
    themselves, it is the only one of both; where they do, it is COCO's, which goes by score.
    A detection without a match is left out if more than half of it lies in crowd regions of its
    category, all taken together (COCO: at least half in one of them).

    Parameters
    ----------
    right : ndarray of bool, shape (N,)
        Which of the judged detections have a match with such an IoU.
    iou : ndarray of float64, shape (N,)
        Of that match, where there is one.
    detections, crowd : list of Prediction, of Annotation
        These N, and the crowd regions of the image.

    Returns
    -------
    tp, fp : int
    sum_iou : float
        IoU of the tp matches, summed.
    """
    tp, sum_iou = int(np.count_nonzero(right)), float(iou[right].sum())
    of_category: defaultdict[int, list[Rle]] = defaultdict(list)
    for annotation in crowd:
        of_category[annotation["category_id"]].append(annotation["segmentation"])
    regions = {category: union_of(masks) for category, masks in of_category.items()}
    fp = len(right) - tp
    for detection, matched in zip(detections, right.tolist(), strict=True) if regions else ():
        region = regions.get(detection["category_id"])
        if not matched and region is not None:
            inside = coco_mask.iou([detection["segmentation"]], [region], [1])  # part of detection
            fp -= int(np.asarray(inside)[0, 0] > 0.5)
    return tp, fp, sum_iou
