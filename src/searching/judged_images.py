"""One image judged under many combinations of post-processing values."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from src.matching.matching import match_regions, region_overlaps
from src.matching.unions import union_of
from src.objects.map_objects import find_labels
from src.objects.objects import grow_objects, sized_objects
from src.objects.params import PostprocessParams
from src.objects.rle import encode_instances
from src.searching.params import METRICS

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
    crowd: np.ndarray  # bool, for each
    objects: int  # without crowd regions
    union: np.ndarray  # (H, W) bool, of objects, without crowd
    judged: np.ndarray  # (H, W) bool, pixels outside crowd regions


class _Found(NamedTuple):
    """What one label map is worth."""

    scores: np.ndarray
    hits: np.ndarray
    value: float


def judge_image(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    annotations: list[dict],
    combinations: Sequence[PostprocessParams],
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
    combinations : sequence of PostprocessParams
        At least one, without `auto` and of a method with one label map.
    metric : {"ap50", "f1_50", "detection_accuracy", "dice_mean"}
        Of all objects, best first by mean probability, however many there are. They are matched as
        by COCO. An image's detection_accuracy is the mean of TP / (TP + FP + FN) over IoU 0.50,
        0.55 .. 0.95, its dice that of the unions without crowd pixels; either is 1 where there is
        nothing to find and nothing found.

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
    by_map: dict[tuple[bytes, int], _Found] = {}
    of_place: dict[int, _Found] = {}
    for index, instances, dilate in _label_maps(maps, empty_probability, combinations):
        key = hashlib.blake2b(instances.data, digest_size=16).digest(), dilate
        if key not in by_map:
            by_map[key] = _judge(grow_objects(instances, dilate), mask, truth, metric)
        of_place[index] = by_map[key]
    found = [of_place[index] for index in range(len(combinations))]
    return Judged(
        objects=truth.objects,
        detections=np.array([one.scores.size for one in found], np.int64),
        scores=np.concatenate([one.scores for one in found]),
        hits=np.concatenate([one.hits for one in found]),
        values=np.array([one.value for one in found]),
    )


def _label_maps(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    combinations: Sequence[PostprocessParams],
) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield place, label map before growing and growth of every combination, in any order."""
    labels, labels_from = np.empty(0), None
    instances, sizes_from = labels, None
    order = attrgetter(*STEPS)
    for index in sorted(range(len(combinations)), key=lambda i: order(combinations[i])):
        params = combinations[index]
        of_labels = params.model_copy(update=dict.fromkeys(SIZES, 0))
        sizes = {"min_area": params.min_area, "max_area": params.max_area}
        if of_labels != labels_from:
            labels, labels_from = find_labels(maps, empty_probability, params), of_labels
            sizes_from = None
        if sizes != sizes_from:
            instances, sizes_from = sized_objects(labels, **sizes, dilate=0), sizes
        yield index, instances, params.dilate


def _read_truth(annotations: list[dict], shape: tuple[int, int]) -> _Truth:
    annotations = sorted(annotations, key=lambda annotation: annotation.get("iscrowd", 0))
    rles = [annotation["segmentation"] for annotation in annotations]
    crowd = [bool(annotation.get("iscrowd", 0)) for annotation in annotations]
    unions = []
    for kind in (False, True):
        of_kind = [rle for rle, flag in zip(rles, crowd, strict=True) if flag == kind]
        union = coco_mask.decode(union_of(of_kind)) if of_kind else np.zeros(shape)
        unions.append(union.astype(bool))
    flags = np.array(crowd, bool)
    return _Truth(rles, flags, crowd.count(False), unions[0] & ~unions[1], ~unions[1])


def _judge(instances: np.ndarray, mask: np.ndarray, truth: _Truth, metric: str) -> _Found:
    none = np.empty(0), np.empty(0, np.int8)
    if metric == "dice_mean":
        return _Found(*none, _dice((instances > 0) & truth.judged, truth.union))
    areas = np.bincount(instances.ravel())
    means = np.bincount(instances.ravel(), weights=mask.ravel())[1:] / areas[1:] / 255
    best = np.argsort(-means, kind="stable")
    rles = encode_instances(instances).rles
    overlaps = region_overlaps([rles[place] for place in best], truth.rles, truth.crowd)
    matched = match_regions(overlaps, truth.crowd, IOUS[metric])
    hits = np.where(matched.ignored, -1, matched.hit).astype(np.int8)
    if metric == "detection_accuracy":
        accuracies = [_accuracy(one, truth.objects) for one in hits]
        return _Found(*none, float(np.mean(accuracies)))
    return _Found(means[best], hits[0], 0.0)


def _accuracy(hits: np.ndarray, objects: int) -> float:
    tp, fp = np.count_nonzero(hits == 1), np.count_nonzero(hits == 0)
    return tp / (objects + fp) if objects + fp else 1.0


def _dice(found: np.ndarray, union: np.ndarray) -> float:
    area = np.count_nonzero(found) + np.count_nonzero(union)
    return 2 * np.count_nonzero(found & union) / area if area else 1.0
