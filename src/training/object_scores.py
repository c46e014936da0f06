"""How well objects are found in a crop, to choose an epoch by: cut at 0.5, connected, scored."""

from typing import NamedTuple

import cv2
import numpy as np

from src.label_maps.labels import IGNORE
from src.matching.average_precision import average_precision

THRESHOLDS = np.arange(10, 20) / 20  # 0.5, 0.55 .. 0.95
MOST = 100  # detections of a crop that its ranking holds, the best


class Found(NamedTuple):
    """What N regions and M objects of one crop have in common."""

    scores: np.ndarray  # (N,) float64, mean probability of each region, falling
    share: np.ndarray  # (P,) float64, IoU of P pairs of region and object that share a pixel
    region: np.ndarray  # (P,) int64, the region of each pair, rising
    object: np.ndarray  # (P,) int64, its object
    objects: int  # M


def found_objects(probability: np.ndarray, instances: np.ndarray) -> Found:
    """Compare the 4-connected regions of more than 0.5 with the objects of a crop.

    Parameters
    ----------
    probability : ndarray of float32, shape (H, W)
        Of the mask.
    instances : ndarray of int, shape (H, W)
        0 background, 65535 ignored, what belongs to nothing; any other value labels an object.
    """
    known = instances != IGNORE
    cut = ((probability > 0.5) & known).astype(np.uint8)
    count, regions = cv2.connectedComponents(cut, connectivity=4)
    areas = np.bincount(regions.ravel(), minlength=count)[1:]
    sums = np.bincount(regions.ravel(), weights=probability.ravel(), minlength=count)[1:]
    scores = sums / areas
    order = np.argsort(-scores, kind="stable")
    place = np.empty(count, np.int64)
    place[order + 1] = np.arange(count - 1)
    labels, truth = np.unique(np.where(known, instances, 0), return_inverse=True)
    truth = truth.reshape(instances.shape) + (labels[0] != 0)  # 0 is background, there or not
    of_object = np.bincount(truth.ravel())
    both = (regions > 0) & (truth > 0)
    pairs, shared = np.unique(
        np.stack([place[regions[both]], truth[both]]), axis=1, return_counts=True
    )
    region, number = pairs
    union = areas[order][region] + of_object[number] - shared
    return Found(scores[order], shared / union, region, number, len(of_object) - 1)


def detection_accuracy(found: Found) -> float:
    """Return the mean of TP / (TP + FP + FN) over THRESHOLDS; 1 where nothing is nor is found."""
    regions = len(found.scores)
    if not regions and not found.objects:
        return 1.0
    right = np.array([_hits(found, threshold).sum() for threshold in THRESHOLDS])
    return float(np.mean(right / (regions + found.objects - right)))


def ranked_hits(found: Found) -> np.ndarray:
    """Return score and whether it finds an object at IoU 0.5 of each region, (MOST, 2) of float64.

    Where there are fewer, scores are 0, which none has.
    """
    ranked = np.zeros((MOST, 2))
    count = min(MOST, len(found.scores))
    ranked[:count, 0] = found.scores[:count]
    ranked[:count, 1] = _hits(found, THRESHOLDS[0])[:count]
    return ranked


def precision_of(ranked: np.ndarray, objects: int) -> float:
    """Return the average precision at IoU 0.5 of the rankings of many crops together.

    Parameters
    ----------
    ranked : ndarray of float64, shape (crops, MOST, 2)
    objects : int
        In all of them; without any it is 0.
    """
    scores, hits = ranked.reshape(-1, 2).T
    order = np.argsort(-scores, kind="stable")[: np.count_nonzero(scores)]
    return average_precision(hits[order] > 0, objects) if objects else 0.0


def _hits(found: Found, threshold: float) -> np.ndarray:
    """Tell which regions find an object, each of which is found once, by the best of them."""
    hits = np.zeros(len(found.scores), bool)
    near = np.flatnonzero(found.share >= threshold)  # of a region or an object nearly always one
    _, first = np.unique(found.object[near], return_index=True)
    hits[found.region[near[first]]] = True
    return hits
