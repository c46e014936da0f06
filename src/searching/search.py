"""What combinations of post-processing values do to a metric, for any set of images at once."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.formats.average_precision import average_precision
from src.formats.matching import match_regions, region_overlaps
from src.formats.rle import encode_instances
from src.objects.map_objects import find_labels
from src.objects.objects import grow_objects, sized_objects

METRICS = ("ap50", "f1_50", "detection_accuracy", "dice_mean")
MAX_DETECTIONS = 100  # judged per image, as COCO does
IOUS = {"ap50": [0.5], "f1_50": [0.5], "detection_accuracy": np.linspace(0.5, 0.95, 10).tolist()}
SIZES = ("min_area", "max_area", "dilate")  # what does not change how objects are told apart
STEPS = ("threshold", "max_hole", "min_area")  # what differs first is what costs most


class Judged(NamedTuple):
    """One image under C combinations, with D detections in all of them together.

    The detections are those of the first combination, best first, then those of the second, ...
    A metric that is a mean over images has no detections, any other has values of 0.
    """

    objects: int  # in the truth, without crowd regions
    detections: np.ndarray  # (C,) int64, number of them for each combination
    scores: np.ndarray  # (D,) float64 in [0, 1], mean probability
    hits: np.ndarray  # (D,) int8: 1 right, 0 wrong, -1 neither (matched with a crowd region)
    values: np.ndarray  # (C,) float64, the metric of the image


class _Truth(NamedTuple):
    rles: list[dict]  # objects first, then crowd regions
    crowd: list[bool]  # for each
    union: np.ndarray  # (H, W) bool, of objects, without crowd
    judged: np.ndarray  # (H, W) bool, pixels outside crowd regions


class _Found(NamedTuple):
    """What one label map is worth."""

    scores: np.ndarray
    hits: np.ndarray
    value: float


def combinations_of(grid: Mapping[str, list]) -> list[dict]:
    """Return all combinations of the values of each key, the last key changing fastest.

    An empty grid has the one combination that changes nothing.
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def judge_image(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    annotations: list[dict],
    settings: dict,
    combinations: list[dict],
    metric: str,
) -> Judged:
    """Find and judge the objects of one image under every combination.

    Objects are told apart once for combinations that differ in sizes alone, and label maps that
    are the same are judged once.

    Parameters
    ----------
    maps : mapping of str to ndarray of uint8, shape (H, W) or (H, W, 3)
        As for `src.objects.map_objects.find_objects`.
    empty_probability : float
        In [0, 1].
    annotations : list of dict
        The image's COCO records: segmentation (compressed RLE), iscrowd. May be empty.
    settings : dict
        Arguments of `src.objects.map_objects.find_objects`; those in a combination may be anything.
    combinations : list of dict
        Values that replace those in `settings`; at least one.
    metric : {"ap50", "f1_50", "detection_accuracy", "dice_mean"}
        All of the 100 objects of highest mean probability. Detections are matched as by COCO. An
        image's detection_accuracy is the mean of TP / (TP + FP + FN) over IoU 0.50, 0.55 .. 0.95,
        its dice that of the unions without crowd pixels; either is 1 where there is nothing to
        find and nothing found.

    Returns
    -------
    judged : Judged
        In the order of `combinations`.

    Raises
    ------
    InputError
        If a combination leaves more than 65,534 objects.
    ValueError
        If `metric` is unknown.
    """
    if metric not in METRICS:
        raise ValueError(f"metric '{metric}' is unknown; known: {', '.join(METRICS)}")
    mask = maps["mask"]
    truth = _read_truth(annotations, mask.shape)
    every = [settings | combination for combination in combinations]
    by_map: dict[tuple[bytes, int], _Found] = {}
    found: list[_Found | None] = [None] * len(every)
    for index, instances, dilate in _label_maps(maps, empty_probability, every):
        key = hashlib.blake2b(instances, digest_size=16).digest(), dilate
        if key not in by_map:
            by_map[key] = _judge(grow_objects(instances, dilate), mask, truth, metric)
        found[index] = by_map[key]
    return Judged(
        objects=truth.crowd.count(False),
        detections=np.array([one.scores.size for one in found], np.int64),
        scores=np.concatenate([one.scores for one in found]),
        hits=np.concatenate([one.hits for one in found]),
        values=np.array([one.value for one in found]),
    )


def metric_values(
    images: list[Judged], subsets: Mapping[str, np.ndarray], metric: str
) -> dict[str, np.ndarray]:
    """Return the metric of every combination on each set of images.

    Parameters
    ----------
    images : list of Judged
        At least one, judged by `metric` under the same C combinations. Of detections of equal score
        those of the first images come first, as with COCO if the images are ordered by id.
    subsets : mapping of str to ndarray of bool, shape (images,)
        Which images count, at least one in each set.
    metric : {"ap50", "f1_50", "detection_accuracy", "dice_mean"}
        ap50 (COCO's, from 101 points) and f1_50 pool the detections, the others are means over
        images.

    Returns
    -------
    values : dict of str to ndarray of float64, shape (C,)
        In [0, 1], by set; all NaN for ap50 of a set without an object.
    """
    if metric in ("detection_accuracy", "dice_mean"):
        values = np.stack([image.values for image in images])
        return {key: values[subset].mean(axis=0) for key, subset in subsets.items()}
    objects = np.array([image.objects for image in images])
    stops = np.stack([np.cumsum(image.detections) for image in images])
    values = {key: np.empty(stops.shape[1]) for key in subsets}
    for column in range(stops.shape[1]):
        starts = stops[:, column - 1] if column else np.zeros(len(images), np.int64)
        parts = [slice(*bounds) for bounds in zip(starts, stops[:, column], strict=True)]
        scores = np.concatenate([i.scores[part] for i, part in zip(images, parts, strict=True)])
        hits = np.concatenate([i.hits[part] for i, part in zip(images, parts, strict=True)])
        of_image = np.repeat(np.arange(len(images)), stops[:, column] - starts)
        order = np.argsort(-scores, kind="stable")
        hits, of_image = hits[order], of_image[order]
        for key, subset in subsets.items():
            pooled = _average_precision if metric == "ap50" else _f1
            values[key][column] = pooled(hits[subset[of_image]], objects[subset].sum())
    return values


def draw_images(folds: Sequence[int], most: int, seed: int) -> np.ndarray:
    """Draw images to search on.

    Parameters
    ----------
    folds : sequence of int
        Of each image.
    most : int
        Number of images drawn; 0, or at least as many as there are, takes all.
    seed : int
        The same draws the same.

    Returns
    -------
    places : ndarray of int64
        Rising.

    Raises
    ------
    InputError
        If no image of some fold is drawn: nothing could be chosen for the others on it.
    """
    folds = np.asarray(folds)
    if not 0 < most < len(folds):
        return np.arange(len(folds))
    places = np.sort(np.random.default_rng(seed).choice(len(folds), most, replace=False))
    missing = np.setdiff1d(folds, folds[places])
    if missing.size:
        raise InputError(
            f"params.yaml: search.max_images {most} leaves no image of fold {missing[0]}; raise it "
            "or set it to 0 for all"
        )
    return places


def sets_to_choose_on(folds: Sequence[int]) -> dict[str, np.ndarray]:
    """Return which images each choice is made on, bool (images,) by name.

    "all" holds all images, the name of a fold those of the other folds. With a single fold there
    are no others, and so "all" alone.
    """
    folds = np.asarray(folds)
    present = np.unique(folds)
    others = {str(fold): folds != fold for fold in present} if present.size > 1 else {}
    return {"all": np.ones(folds.shape, bool)} | others


def best_of(name: str, values: np.ndarray, metric: str) -> int:
    """Return the place of the highest value, the first of equal ones.

    `name` is that of the set in `sets_to_choose_on` and, like `metric`, for the message alone.

    Raises
    ------
    InputError
        If a value is not a number, the metric not being defined on that set.
    """
    if np.isnan(values).any():
        where = "all folds" if name == "all" else f"the folds other than {name}"
        raise InputError(
            f"params.yaml: search.metric {metric} is undefined: the images of {where} show no "
            "object; choose detection_accuracy or dice_mean"
        )
    return int(np.argmax(values))


def _label_maps(
    maps: Mapping[str, np.ndarray], empty_probability: float, every: list[dict]
) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield place, label map before growing and growth of every combination, in any order."""
    labels, labels_from = np.empty(0), None
    instances, sizes_from = labels, None
    for index in sorted(range(len(every)), key=lambda i: [every[i][key] for key in STEPS]):
        of_labels = {key: value for key, value in every[index].items() if key not in SIZES}
        sizes = {key: every[index][key] for key in SIZES[:2]}
        if of_labels != labels_from:
            labels, labels_from = find_labels(maps, empty_probability, **of_labels), of_labels
            sizes_from = None
        if sizes != sizes_from:
            instances, sizes_from = sized_objects(labels, **sizes, dilate=0), sizes
        yield index, instances, every[index]["dilate"]


def _read_truth(annotations: list[dict], shape: tuple[int, int]) -> _Truth:
    annotations = sorted(annotations, key=lambda annotation: annotation.get("iscrowd", 0))
    rles = [annotation["segmentation"] for annotation in annotations]
    crowd = [bool(annotation.get("iscrowd", 0)) for annotation in annotations]
    unions = []
    for kind in (False, True):
        of_kind = [rle for rle, flag in zip(rles, crowd, strict=True) if flag == kind]
        union = coco_mask.decode(coco_mask.merge(of_kind)) if of_kind else np.zeros(shape)
        unions.append(union.astype(bool))
    return _Truth(rles, crowd, unions[0] & ~unions[1], ~unions[1])


def _judge(instances: np.ndarray, mask: np.ndarray, truth: _Truth, metric: str) -> _Found:
    areas = np.bincount(instances.ravel())
    means = np.bincount(instances.ravel(), weights=mask.ravel())[1:] / areas[1:] / 255
    best = np.argsort(-means, kind="stable")[:MAX_DETECTIONS]
    none = np.empty(0), np.empty(0, np.int8)
    if metric == "dice_mean":
        judged = np.zeros(areas.size, bool)
        judged[best + 1] = True
        return _Found(*none, _dice(judged[instances] & truth.judged, truth.union))
    rles = encode_instances(instances).rles
    overlaps = region_overlaps([rles[place] for place in best], truth.rles, truth.crowd)
    matched = match_regions(overlaps, truth.crowd, IOUS[metric])
    hits = np.where(matched.ignored, -1, matched.hit).astype(np.int8)
    if metric == "detection_accuracy":
        objects = truth.crowd.count(False)
        return _Found(*none, float(np.mean([_accuracy(one, objects) for one in hits])))
    return _Found(means[best], hits[0], 0.0)


def _average_precision(hits: np.ndarray, objects: int) -> float:
    return average_precision(hits[hits >= 0] == 1, objects) if objects else float("nan")


def _f1(hits: np.ndarray, objects: int) -> float:
    tp, detections = np.count_nonzero(hits == 1), np.count_nonzero(hits >= 0)
    return 2 * tp / (detections + objects) if detections + objects else 1.0


def _accuracy(hits: np.ndarray, objects: int) -> float:
    tp, fp = np.count_nonzero(hits == 1), np.count_nonzero(hits == 0)
    return tp / (objects + fp) if objects + fp else 1.0


def _dice(found: np.ndarray, union: np.ndarray) -> float:
    area = np.count_nonzero(found) + np.count_nonzero(union)
    return 2 * np.count_nonzero(found & union) / area if area else 1.0
