"""COCO average precision and recall of instance masks, and who was matched with whom."""

import math
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import numpy as np

from src.base.errors import InputError
from src.formats.prepared import Annotation, Category, ImageRecord, Rle
from src.matching.average_precision import interpolated_precisions
from src.matching.matching import (
    Matched,
    Overlaps,
    largest_shares,
    mask_areas,
    match_regions,
    overlaps_of_images,
)

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of IoU; bit for bit COCO's own
ANY_AREA = (0, 1e10)  # px
CHALLENGE_AREAS: dict[
    str, tuple[float, float]
] = {  # px; COCO's bounds are inclusive: 14^2 itself is large
    "small": (0, math.nextafter(14**2, 0)),
    "large": (14**2, 1e10),
}
COCO_AREAS: dict[
    str, tuple[float, float]
] = {  # px; COCO's own, so 32^2 and 96^2 are in two of them
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}


class Prediction(TypedDict):
    """A detection in a file of predictions, which are COCO results."""

    image_id: int
    category_id: int
    segmentation: Rle
    score: float
    accepted: NotRequired[bool]  # its score reaches the operating point; so does one untold


class Matches(NamedTuple):
    """The N judged detections, in the order of the predictions; at IoU 0.5 unless said.

    Detections are matched by falling score, so what becomes of the best ones does not depend on
    those below: the accepted rows alone are what judging the accepted detections alone gives.
    Pairs are of an object and an accepted detection that is not ignored, with an IoU of at least
    0.5, one to one, the largest first; of equal ones that of the first object, then of the first
    detection.
    """

    detection: np.ndarray  # (N,) int64, position in the list of predictions
    image_id: np.ndarray  # (N,) int64
    score: np.ndarray  # (N,) float64
    tp: np.ndarray  # (N,) bool, matched with an object
    ignored: np.ndarray  # (N,) bool, matched with a crowd region: neither right nor wrong
    truth_id: np.ndarray  # (N,) int64, the matched annotation, -1 if none
    iou: np.ndarray  # (N,) float64, with the matched annotation, else the best with any object
    ranked: np.ndarray  # (N,) bool, among the best that precision and recall look at
    accepted: np.ndarray  # (N,) bool, its score reaches the operating point
    tp_at: np.ndarray  # (N, 10) bool, tp at each of THRESHOLDS; a detection may match another then
    ignored_at: np.ndarray  # (N, 10) bool, ignored at each of THRESHOLDS
    paired: np.ndarray  # (N,) bool, accepted and paired with an object whatever the scores are


class _Judged(NamedTuple):
    """The D best scored detections of each image and one category, and the G regions.

    They are those that are ranked and those that are accepted, whichever are more, by image, best
    first. Of several images, whose pairs stand side by side, since no mask overlaps another's.
    """

    detections: np.ndarray  # (D,) int64, positions in the list of predictions
    images: np.ndarray  # (D,) int64
    ranked: np.ndarray  # (D,) bool, precision and recall look at it
    accepted: np.ndarray  # (D,) bool
    scores: np.ndarray  # (D,) float64
    areas: np.ndarray  # (D,) int64, px of the masks
    regions: np.ndarray  # (G,) int64, positions in the list of annotations
    region_areas: np.ndarray  # (G,) float64, px, as annotated
    crowd: np.ndarray  # (G,) bool
    overlaps: Overlaps
    matched: Matched  # at THRESHOLDS, of objects of any area


class _Ranked(NamedTuple):
    """What a set of areas makes of the ranked detections of one category, best first."""

    hit: np.ndarray  # (T, D) bool
    ignored: np.ndarray  # (T, D) bool
    objects: int  # to be found


class _Found(NamedTuple):
    """N predictions, as columns."""

    images: np.ndarray  # (N,) int64
    categories: np.ndarray  # (N,) int64
    scores: np.ndarray  # (N,) float64
    accepted: np.ndarray  # (N,) bool


class CocoResult(NamedTuple):
    """What COCO's evaluation says of a set of images."""

    metrics: dict[str, float | None]  # in [0, 1]; see `evaluate_detections`
    precision: np.ndarray  # (101,) float64 at recall 0, 0.01 .. 1 and IoU 0.5; (0,) if undefined
    matches: Matches


def evaluate_detections(
    images: list[ImageRecord],
    annotations: list[Annotation],
    categories: list[Category],
    predictions: list[Prediction],
    max_detections: int,
) -> CocoResult:
    """Judge predicted masks as pycocotools' COCOeval does, over every listed image.

    Images without truth, without a prediction or without either count. Crowd regions are
    ignored: a detection matched with one is neither right nor wrong. Metrics and precision judge
    the whole ranking, accepted or not, and of it only the `max_detections` best scored detections
    of an image and category, which is COCO's rule. `matches` holds these and all accepted ones.
    Means are taken over the categories that have truth.

    Parameters
    ----------
    images, annotations, categories : list of ImageRecord, of Annotation, of Category
        Annotations of other images are left out; `area` decides the size bins.
    predictions : list of Prediction
        See `check_predictions`. A detection's area is that of its mask.
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
        If `images` is empty, `max_detections` is not positive, or masks of an image are of
        different sizes.
    """
    if not images or max_detections < 1:
        raise ValueError(f"nothing to judge: {len(images)} images, {max_detections} detections")
    judged = _judge(images, annotations, categories, predictions, max_detections)
    precision, recall = _accumulate(judged, ANY_AREA, len(THRESHOLDS))
    metrics = {
        "ap50": _mean(precision[0]),
        "ar50": _mean(recall[0]),
        "ap": _mean(precision),
        "ar": _mean(recall),
        "ap75": _mean(precision[5]),
    }
    bins: list[tuple[str, tuple[float, float], int]]
    bins = [(f"50_{name}", areas, 1) for name, areas in CHALLENGE_AREAS.items()]
    bins += [(f"_coco_{name}", areas, len(THRESHOLDS)) for name, areas in COCO_AREAS.items()]
    for name, areas, thresholds in bins:
        of_precision, of_recall = _accumulate(judged, areas, thresholds)
        metrics |= {f"ap{name}": _mean(of_precision), f"ar{name}": _mean(of_recall)}
    curve = precision[0].mean(axis=1) if precision.size else np.empty(0)
    return CocoResult(metrics, curve, _matches(judged, annotations))


def accepted_alone(matches: Matches) -> Matches:
    """Leave out what is judged for its place in the ranking only, below the operating point."""
    return Matches(*(column[matches.accepted] for column in matches))


def check_predictions(
    predictions: object, images: list[ImageRecord], categories: list[Category], origin: str
) -> list[Prediction]:
    """Return predictions if they can be judged.

    Parameters
    ----------
    predictions : object
        What the predictions file holds.
    images, categories : list of ImageRecord, of Category
        The images that are judged and what their objects are.
    origin : str
        The file, for the message.

    Returns
    -------
    predictions : list of Prediction
        What was given.

    Raises
    ------
    InputError
        If it is no list of records with image_id, category_id, compressed RLE and finite score,
        or one names an image or category that is not judged, or has another size than its image,
        or is accepted while a better one of the same image and category is not.
    """
    if not isinstance(predictions, list):
        raise InputError(f"{origin}: not a list of predictions; write COCO results")
    sizes = {image["id"]: [image["height"], image["width"]] for image in images}
    known = {category["id"] for category in categories}
    for number, prediction in enumerate(cast("list[object]", predictions)):
        problem = _problem(prediction, sizes, known)
        if problem:
            raise InputError(f"{origin}: prediction {number}: {problem}")
    checked = cast("list[Prediction]", predictions)
    _require_best_accepted(checked, origin)
    return checked


def _require_best_accepted(predictions: list[Prediction], origin: str) -> None:
    best: dict[tuple[int, int], float] = {}  # of image and category, of those not accepted
    for one in predictions:
        if not one.get("accepted", True):
            part = one["image_id"], one["category_id"]
            best[part] = max(one["score"], best.get(part, -math.inf))
    for number, one in enumerate(predictions) if best else ():
        better = best.get((one["image_id"], one["category_id"]), -math.inf)
        if better > one["score"] and one.get("accepted", True):
            raise InputError(
                f"{origin}: prediction {number}: accepted with score {one['score']} where one of "
                f"{better} in the same image is not; accept by score, or run rescore again"
            )


def _problem(prediction: object, sizes: dict[int, list[int]], known: set[int]) -> str:
    keys = ("image_id", "category_id", "segmentation", "score")
    if not isinstance(prediction, dict) or any(key not in prediction for key in keys):
        return f"has not all of {', '.join(keys)}; write COCO results"
    image, category, rle, score = (cast("dict[str, Any]", prediction)[key] for key in keys)
    if not isinstance(image, int) or image not in sizes:
        return f"image_id {image} is not among the {len(sizes)} judged images; predict again"
    if category not in known:
        return f"category_id {category} is not in the truth ({sorted(known)}); predict again"
    mask = cast("dict[str, Any]", rle) if isinstance(rle, dict) else {}
    if not isinstance(mask.get("counts"), str | bytes):
        return "its segmentation is no compressed RLE; encode the mask"
    if list(mask.get("size", [])) != sizes[image]:
        return f"mask of {mask.get('size')} for an image of {sizes[image]} (height, width)"
    if not isinstance(score, int | float) or not math.isfinite(score):
        return f"score {score!r} is not a finite number"
    accepted = cast("dict[str, Any]", prediction).get("accepted", True)
    if not isinstance(accepted, bool):
        return f"accepted is {accepted!r}; write true or false, or leave it out"
    return ""


def _judge(
    images: list[ImageRecord],
    annotations: list[Annotation],
    categories: list[Category],
    predictions: list[Prediction],
    max_detections: int,
) -> list[_Judged]:
    """Match the detections of every category, by rising id."""
    ids = np.unique([image["id"] for image in images])
    found = _Found(
        images=np.array([one["image_id"] for one in predictions], np.int64),
        categories=np.array([one["category_id"] for one in predictions], np.int64),
        scores=np.array([one["score"] for one in predictions], np.float64),
        accepted=np.array([one.get("accepted", True) for one in predictions], bool),
    )
    of_image = np.array([one["image_id"] for one in annotations], np.int64)
    of_category = np.array([one["category_id"] for one in annotations], np.int64)
    judged: list[_Judged] = []
    for category in sorted({category["id"] for category in categories}):
        regions = np.flatnonzero((of_category == category) & np.isin(of_image, ids))
        regions = regions[np.argsort(of_image[regions], kind="stable")]
        places = np.flatnonzero((found.categories == category) & np.isin(found.images, ids))
        detections, ranked = _best(places, found, max_detections)
        masks = [predictions[place]["segmentation"] for place in _whole(detections)]
        truth = [annotations[place] for place in _whole(regions)]
        crowd = np.array([annotation.get("iscrowd", 0) for annotation in truth], bool)
        truth_masks = [one["segmentation"] for one in truth]
        parts = found.images[detections], of_image[regions]
        overlaps = overlaps_of_images(masks, truth_masks, crowd, *parts)
        judged.append(
            _Judged(
                detections=detections,
                images=parts[0],
                ranked=ranked,
                accepted=found.accepted[detections],
                scores=found.scores[detections],
                areas=mask_areas(masks),
                regions=regions,
                region_areas=np.array([annotation["area"] for annotation in truth], np.float64),
                crowd=crowd,
                overlaps=overlaps,
                matched=match_regions(overlaps, crowd, THRESHOLDS),
            )
        )
    return judged


def _whole(places: np.ndarray) -> list[int]:
    return places.tolist()


def _best(places: np.ndarray, found: _Found, max_detections: int) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the detections that are judged, by image, best first; and which are ranked.

    Of equal scores the accepted go first, others keep their order.
    """
    keys = ~found.accepted[places], -found.scores[places], found.images[places]
    places = places[np.lexsort(keys)]
    first = np.searchsorted(found.images[places], found.images[places])
    rank = np.arange(len(places)) - first
    ranked = rank < max_detections
    judged = ranked | found.accepted[places]
    return places[judged], ranked[judged]


def _of_areas(judged: _Judged, areas: tuple[float, float], thresholds: int) -> _Ranked:
    """Leave out of the ranking what is not of these areas, at the first of THRESHOLDS.

    Objects outside are to be ignored, and so are detections outside that find nothing. Where no
    object is outside, the matches are those of any area.
    """
    low, high = areas
    outside = (judged.region_areas < low) | (judged.region_areas > high)
    ignored, matched = judged.crowd | outside, judged.matched
    if (outside & ~judged.crowd).any():
        levels = THRESHOLDS[:thresholds]
        matched = match_regions(judged.overlaps, judged.crowd, levels, ignored)
    strange = (judged.areas < low) | (judged.areas > high)
    left_out = matched.ignored | ((matched.region < 0) & strange)
    order = np.flatnonzero(judged.ranked)
    order = order[np.argsort(-judged.scores[order], kind="stable")]
    hit, left_out = (of[:thresholds, order] for of in (matched.hit, left_out))
    return _Ranked(hit, left_out, int(np.count_nonzero(~ignored)))


def _accumulate(
    judged: list[_Judged], areas: tuple[float, float], thresholds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision (T, 101, K) and recall (T, K) of the K categories that have an object."""
    precisions: list[list[np.ndarray]] = []
    recalls: list[np.ndarray] = []
    for ranked in (_of_areas(of_category, areas, thresholds) for of_category in judged):
        if ranked.objects:
            hits = [h[~left] for h, left in zip(ranked.hit, ranked.ignored, strict=True)]
            precisions.append([interpolated_precisions(one, ranked.objects) for one in hits])
            recalls.append(ranked.hit.sum(axis=1) / ranked.objects)
    if not precisions:
        return np.empty((thresholds, 101, 0)), np.empty((thresholds, 0))
    return np.stack(precisions, axis=-1), np.stack(recalls, axis=-1)


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if values.size else None


def _matches(judged: list[_Judged], annotations: list[Annotation]) -> Matches:
    """Tell what became of each detection: at IoU 0.5 (the first threshold), and at the others."""
    ids = np.array([annotation["id"] for annotation in annotations] + [-1], np.int64)
    whole, number, truth = np.empty(0, np.int64), np.empty(0), np.empty((0, 10), bool)
    no = truth[:, 0]
    parts = [Matches(whole, whole, number, no, no, whole, number, no, no, truth, truth, no)]
    for one in judged:
        region = one.matched.region[0]
        hit, ignored = one.matched.hit.T, one.matched.ignored.T
        best = largest_shares(one.overlaps, ~one.crowd)
        parts.append(
            Matches(
                detection=one.detections,
                image_id=one.images,
                score=one.scores,
                tp=hit[:, 0],
                ignored=ignored[:, 0],
                truth_id=ids[np.append(one.regions, -1)[region]],
                iou=np.where(region >= 0, one.matched.share[0], best),
                ranked=one.ranked,
                accepted=one.accepted,
                tp_at=hit,
                ignored_at=ignored,
                paired=_paired(one),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Matches(*(column[order] for column in columns))


def _paired(judged: _Judged) -> np.ndarray:
    """Tell which detections are paired with an object by IoU alone, bool (D,); see `Matches`."""
    detection, region, share = judged.overlaps[:3]
    pairs = judged.accepted & ~judged.matched.ignored[0]
    near = (share >= THRESHOLDS[0]) & ~judged.crowd[region] & pairs[detection]
    detection, region, share = detection[near], region[near], share[near]
    order = np.lexsort((judged.detections[detection], region, -share))
    paired = np.zeros(len(judged.detections), bool)
    free = np.ones(len(judged.crowd), bool)
    both = [len(np.unique(column)) for column in (detection, region)]
    if both == [len(detection)] * 2:
        paired[detection] = True
        return paired
    for place, number in zip(detection[order].tolist(), region[order].tolist(), strict=True):
        if free[number] and not paired[place]:
            paired[place], free[number] = True, False
    return paired
