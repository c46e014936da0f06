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

from src.errors import InputError

ANY_AREA = [0, 1e10]  # px
SMALL = [0, math.nextafter(14**2, 0)]  # px; COCO's bounds are inclusive: 14^2 itself is large
LARGE = [14**2, 1e10]  # px


class Matches(NamedTuple):
    """The N judged detections at IoU 0.5, in the order of the predictions."""

    detection: np.ndarray  # (N,) int64, position in the list of predictions
    image_id: np.ndarray  # (N,) int64
    score: np.ndarray  # (N,) float64
    tp: np.ndarray  # (N,) bool, matched with an object
    ignored: np.ndarray  # (N,) bool, matched with a crowd region: neither right nor wrong
    truth_id: np.ndarray  # (N,) int64, the matched annotation, -1 if none
    iou: np.ndarray  # (N,) float64, with the matched annotation, else the best with any object


class CocoResult(NamedTuple):
    """What COCO's evaluation says of a set of images."""

    metrics: dict[str, float | None]  # ap50, ar50, ap, their small and large parts; in [0, 1]
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
        polygons; `area` in px decides between small (below 14 x 14 px) and large.
    predictions : list of dict
        image_id, category_id, segmentation (compressed RLE) and score; see `check_predictions`.
        A detection's area is that of its mask.
    max_detections : int
        At least 1.

    Returns
    -------
    result : CocoResult
        A metric whose truth is empty (no object, or none in the size bin) is None.

    Raises
    ------
    ValueError
        If `images` is empty or `max_detections` is not positive.
    """
    if not images or max_detections < 1:
        raise ValueError(f"nothing to judge: {len(images)} images, {max_detections} detections")
    truth = [
        {**annotation, "id": number, "iscrowd": annotation.get("iscrowd", 0)}
        for number, annotation in enumerate(annotations, start=1)  # COCOeval reads id 0 as no match
    ]
    areas = [coco_mask.area(prediction["segmentation"]) for prediction in predictions]
    detections = [
        {**prediction, "id": number, "iscrowd": 0, "area": int(area)}
        for number, (prediction, area) in enumerate(zip(predictions, areas, strict=True), start=1)
    ]
    with redirect_stdout(io.StringIO()):
        indexes = [_index(images, records, categories) for records in (truth, detections)]
        evaluator = COCOeval(*indexes, "segm")
        evaluator.params.maxDets = [max_detections]
        evaluator.params.areaRng = [ANY_AREA, SMALL, LARGE]
        evaluator.evaluate()
        evaluator.accumulate()
    return CocoResult(
        metrics=_metrics(evaluator.eval["precision"], evaluator.eval["recall"]),
        precision=_precision_curve(evaluator.eval["precision"]),
        matches=_matches(evaluator, truth, [a["id"] for a in annotations]),
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


def _metrics(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    """Means of COCO's arrays (IoU, recall, category, area, maxDets) and (IoU, category, ...)."""
    return {
        "ap50": _mean(precision[0, :, :, 0]),
        "ar50": _mean(recall[0, :, 0]),
        "ap": _mean(precision[:, :, :, 0]),
        "ap50_small": _mean(precision[0, :, :, 1]),
        "ar50_small": _mean(recall[0, :, 1]),
        "ap50_large": _mean(precision[0, :, :, 2]),
        "ar50_large": _mean(recall[0, :, 2]),
    }


def _mean(values: np.ndarray) -> float | None:
    defined = values[values > -1]  # COCO marks with -1 what has no truth
    return float(np.mean(defined)) if defined.size else None


def _precision_curve(precision: np.ndarray) -> np.ndarray:
    curves = precision[0, :, :, 0, 0]  # (recall, category)
    curves = curves[:, (curves > -1).all(axis=0)]
    return curves.mean(axis=1) if curves.size else np.empty(0)


def _matches(evaluator: COCOeval, truth: list[dict], original_ids: list[int]) -> Matches:
    """Read what was matched at IoU 0.5 (the first threshold) among objects of any area."""
    objects = defaultdict(list)
    for annotation in truth:
        objects[annotation["image_id"], annotation["category_id"]].append(annotation)
    rows = []
    for entry in evaluator.evalImgs:
        if entry is not None and entry["aRng"] == ANY_AREA:
            key = entry["image_id"], entry["category_id"]
            rows += _rows(entry, objects[key], evaluator.ious[key], original_ids)
    columns = zip(*sorted(rows), strict=True) if rows else [()] * len(Matches._fields)
    types = (np.int64, np.int64, np.float64, bool, bool, np.int64, np.float64)
    return Matches(*(np.array(c, dtype) for c, dtype in zip(columns, types, strict=True)))


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
