"""COCO average precision and recall of instance masks, and who was matched with whom."""

import io
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from src.base.errors import InputError

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of IoU; bit for bit COCO's own
ANY_AREA = (0, 1e10)  # px
CHALLENGE_AREAS = {  # px; COCO's bounds are inclusive: 14^2 itself is large
    "small": (0, math.nextafter(14**2, 0)),
    "large": (14**2, 1e10),
}
COCO_AREAS = {  # px; COCO's own, so 32^2 and 96^2 are in two of them
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}


class Matches(NamedTuple):
    """The N judged detections, in the order of the predictions; at IoU 0.5 unless said."""

    detection: np.ndarray  # (N,) int64, position in the list of predictions
    image_id: np.ndarray  # (N,) int64
    score: np.ndarray  # (N,) float64
    tp: np.ndarray  # (N,) bool, matched with an object
    ignored: np.ndarray  # (N,) bool, matched with a crowd region: neither right nor wrong
    truth_id: np.ndarray  # (N,) int64, the matched annotation, -1 if none
    iou: np.ndarray  # (N,) float64, with the matched annotation, else the best with any object
    tp_at: np.ndarray  # (N, 10) bool, tp at each of THRESHOLDS; a detection may match another then
    ignored_at: np.ndarray  # (N, 10) bool, ignored at each of THRESHOLDS


class CocoResult(NamedTuple):
    """What COCO's evaluation says of a set of images."""

    metrics: dict[str, float | None]  # in [0, 1]; see `evaluate_detections`
    precision: np.ndarray  # (101,) float64 at recall 0, 0.01 .. 1 and IoU 0.5; (0,) if undefined
    matches: Matches


def evaluate_detections(
    images: list[dict],
    annotations: list[dict],
    categories: list[dict],
    predictions: list[dict],
    max_detections: int,
) -> CocoResult:
    """Judge predicted masks with COCO's evaluation, over every listed image.

    Images without truth, without a prediction or without either count. Crowd regions are
    ignored: a detection matched with one is neither right nor wrong. Only the `max_detections`
    best scored detections of an image and category are judged. Means are taken over the
    categories that have truth.

    Parameters
    ----------
    images, annotations, categories : list of dict
        COCO records; annotations of other images are left out. A segmentation is an RLE or
        polygons; `area` in px decides the size bins.
    predictions : list of dict
        image_id, category_id, segmentation (compressed RLE) and score; see `check_predictions`.
        A detection's area is that of its mask.
    max_detections : int
        At least 1.

    Returns
    -------
    result : CocoResult
        Its metrics: ap50, ar50, ap75 at one IoU and ap, ar as means over THRESHOLDS; ap50 and ar50
        of the objects of each of CHALLENGE_AREAS (ap50_small, ...), ap and ar of each of
        COCO_AREAS (ap_coco_small, ...). A metric whose truth is empty (no object, or none in the
        size bin) is None.

    Raises
    ------
    ValueError
        If `images` is empty or `max_detections` is not positive.
    """
    if not images or max_detections < 1:
        raise ValueError(f"nothing to judge: {len(images)} images, {max_detections} detections")
    truth, detections = _numbered(annotations), _numbered(predictions)
    for detection in detections:
        detection.update(area=int(coco_mask.area(detection["segmentation"])), iscrowd=0)
    with redirect_stdout(io.StringIO()):
        evaluator = COCOeval(*(_index(images, r, categories) for r in (truth, detections)), "segm")
        evaluator.params.maxDets = [max_detections]
        evaluator.params.areaRng = [ANY_AREA]
        evaluator.evaluate()
        evaluator.accumulate()
        precision, judged = evaluator.eval["precision"], evaluator.evalImgs
        metrics = _metrics(precision, evaluator.eval["recall"])
        metrics |= _metrics_of_bins(evaluator, [*truth, *detections])
    return CocoResult(
        metrics=metrics,
        precision=_precision_curve(precision),
        matches=_matches(judged, evaluator.ious, truth, [a["id"] for a in annotations]),
    )


def check_predictions(
    predictions: object, images: list[dict], categories: list[dict], origin: str
) -> None:
    """Refuse predictions that cannot be judged.

    Parameters
    ----------
    predictions : object
        What the predictions file holds.
    images, categories : list of dict
        The COCO records of the images that are judged (id, height, width) and their categories.
    origin : str
        The file, for the message.

    Raises
    ------
    InputError
        If it is no list of records with image_id, category_id, compressed RLE and finite score,
        or one names an image or category that is not judged, or has another size than its image.
    """
    if not isinstance(predictions, list):
        raise InputError(f"{origin}: not a list of predictions; write COCO results")
    sizes = {image["id"]: [image["height"], image["width"]] for image in images}
    known = {category["id"] for category in categories}
    for number, prediction in enumerate(predictions):
        problem = _problem(prediction, sizes, known)
        if problem:
            raise InputError(f"{origin}: prediction {number}: {problem}")


def _problem(prediction: object, sizes: dict, known: set) -> str:
    keys = ("image_id", "category_id", "segmentation", "score")
    if not isinstance(prediction, dict) or any(key not in prediction for key in keys):
        return f"has not all of {', '.join(keys)}; write COCO results"
    image, category, rle, score = (prediction[key] for key in keys)
    if not isinstance(image, int) or image not in sizes:
        return f"image_id {image} is not among the {len(sizes)} judged images; predict again"
    if category not in known:
        return f"category_id {category} is not in the truth ({sorted(known)}); predict again"
    if not isinstance(rle, dict) or not isinstance(rle.get("counts"), str | bytes):
        return "its segmentation is no compressed RLE; encode the mask"
    if list(rle.get("size", [])) != sizes[image]:
        return f"mask of {rle.get('size')} for an image of {sizes[image]} (height, width)"
    if not isinstance(score, int | float) or not math.isfinite(score):
        return f"score {score!r} is not a finite number"
    return ""


def _index(images: list[dict], annotations: list[dict], categories: list[dict]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations, "categories": categories}
    coco.createIndex()
    return coco


def _numbered(records: list[dict]) -> list[dict]:
    """Copy records; COCOeval reads an id of 0 as no match, so these count from 1."""
    return [
        {**record, "id": number, "iscrowd": record.get("iscrowd", 0)}
        for number, record in enumerate(records, start=1)
    ]


def _metrics(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    """Means of COCO's arrays, whose first axis is THRESHOLDS."""
    return {
        "ap50": _mean(precision[0]),
        "ar50": _mean(recall[0]),
        "ap": _mean(precision),
        "ar": _mean(recall),
        "ap75": _mean(precision[5]),
    }


def _metrics_of_bins(evaluator: COCOeval, records: list[dict]) -> dict[str, float | None]:
    """Judge the objects and detections (`records`) of each size bin, given those of any size.

    An image and category of which all is in the bin has been judged already. One of which nothing
    is in it is left out: all of it would be ignored. Only the others take COCOeval's time.
    """
    areas = defaultdict(list)
    for record in records:
        if not record["iscrowd"]:
            areas[record["image_id"], record["category_id"]].append(record["area"])
    judged, params = evaluator.evalImgs, evaluator.params
    keys = [(image, category) for category in params.catIds for image in params.imgIds]
    bins = [(f"50_{name}", area, 1) for name, area in CHALLENGE_AREAS.items()]
    bins += [(f"_coco_{name}", area, len(THRESHOLDS)) for name, area in COCO_AREAS.items()]
    metrics = {}
    for name, (low, high), thresholds in bins:
        params.iouThrs = THRESHOLDS[:thresholds]
        evaluator.evalImgs = []
        for key, entry in zip(keys, judged, strict=True):
            inside = [low <= area <= high for area in areas[key]]
            if inside and all(inside):
                entry = entry | {k: entry[k][:thresholds] for k in ("dtMatches", "dtIgnore")}
            elif any(inside):
                entry = evaluator.evaluateImg(*key, (low, high), params.maxDets[0])
            else:
                entry = None
            evaluator.evalImgs.append(entry)
        evaluator.accumulate()
        metrics[f"ap{name}"] = _mean(evaluator.eval["precision"])
        metrics[f"ar{name}"] = _mean(evaluator.eval["recall"])
    return metrics


def _mean(values: np.ndarray) -> float | None:
    defined = values[values > -1]  # COCO marks with -1 what has no truth
    return float(np.mean(defined)) if defined.size else None


def _precision_curve(precision: np.ndarray) -> np.ndarray:
    curves = precision[0, :, :, 0, 0]  # (recall, category)
    curves = curves[:, (curves > -1).all(axis=0)]
    return curves.mean(axis=1) if curves.size else np.empty(0)


def _matches(
    judged: list[dict | None], ious: dict, truth: list[dict], original_ids: list[int]
) -> Matches:
    """Read what was matched: at IoU 0.5 (the first threshold), and whether at the others."""
    objects = defaultdict(list)
    for annotation in truth:
        objects[annotation["image_id"], annotation["category_id"]].append(annotation)
    rows, tp_at, ignored_at = [], [np.empty((0, 10), bool)], [np.empty((0, 10), bool)]
    for entry in judged:
        if entry is not None:
            key = entry["image_id"], entry["category_id"]
            rows += _rows(entry, objects[key], ious[key], original_ids)
            ignored_at.append(entry["dtIgnore"].T)
            tp_at.append((entry["dtMatches"].T > 0) & ~ignored_at[-1])
    columns = zip(*rows, strict=True) if rows else [()] * 7
    types = (np.int64, np.int64, np.float64, bool, bool, np.int64, np.float64)
    columns = [np.array(c, dtype) for c, dtype in zip(columns, types, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    columns += [np.concatenate(tp_at), np.concatenate(ignored_at)]
    return Matches(*(column[order] for column in columns))


def _rows(
    entry: dict, objects: list[dict], ious: np.ndarray, original_ids: list[int]
) -> Iterator[tuple]:
    """Yield a row of `Matches` per detection of one image and category; ious is (D, G)."""
    column = {annotation["id"]: place for place, annotation in enumerate(objects)}
    real = [place for place, annotation in enumerate(objects) if not annotation["iscrowd"]]
    for place, detection in enumerate(entry["dtIds"]):
        matched = int(entry["dtMatches"][0, place])  # an id of ours, counted from 1
        ignored = bool(entry["dtIgnore"][0, place])
        if matched:
            iou = ious[place, column[matched]]
        else:
            iou = max((ious[place, other] for other in real), default=0.0)
        truth_id = original_ids[matched - 1] if matched else -1
        tp = matched > 0 and not ignored
        score = entry["dtScores"][place]
        yield detection - 1, entry["image_id"], score, tp, ignored, truth_id, iou
