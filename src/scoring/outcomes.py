"""What detections are worth whatever score they are cut at.

Matching goes by falling score, so that what is cut off changes nothing for what is left.
"""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from src.formats.prepared import Annotation, Rle
from src.matching.matching import match_regions, reordered
from src.matching.unions import union_of
from src.scoring.candidate_targets import HIT_IOU, overlaps_by_image
from src.scoring.params import MetricName

IOUS = {
    "f1_50": np.array([HIT_IOU]),
    "pq": np.array([HIT_IOU]),
    "detection_accuracy": np.linspace(0.5, 0.95, 10),
}


class Outcomes(NamedTuple):
    """N detections of I images at T least IoU, in any order, and what there is to find."""

    scores: np.ndarray  # (N,) float64
    image: np.ndarray  # (N,) int64, 0 .. I - 1
    gain: np.ndarray  # (N, T) float64 in [0, 1]: of a right one 1, for pq its IoU; else 0
    wrong: np.ndarray  # (N, T) bool; a detection of a crowd is neither right nor wrong
    objects: np.ndarray  # (I,) int64, without crowd regions


def detection_outcomes(
    names: np.ndarray,
    rles: list[Rle],
    scores: np.ndarray,
    truth: dict[str, list[Annotation]],
    images: list[str],
    metric: MetricName,
) -> Outcomes:
    """Match detections as `src.judging.object_metrics` does for a metric.

    Parameters
    ----------
    names : ndarray of str, shape (N,)
        The image of each detection.
    rles : list of Rle
        N of them.
    scores : ndarray of float, shape (N,)
        Of equal ones of an image the first is matched first.
    truth : dict
        From `src.scoring.candidate_targets.annotations_by_name`.
    images : list of str
        All that are judged, with detections or without, each once.
    metric : {"f1_50", "pq", "detection_accuracy"}
        f1_50 is judged at an IoU of 0.5, pq above 0.5, detection_accuracy at 0.50, 0.55 .. 0.95.

    Returns
    -------
    outcomes : Outcomes

    Raises
    ------
    ValueError
        If a detection and an object of its image are of different sizes.
    KeyError
        If a detection is of none of the images.
    """
    place = {name: number for number, name in enumerate(images)}
    gain = np.zeros((len(rles), len(IOUS[metric])))
    wrong = np.ones(gain.shape, bool)
    for rows, overlaps, crowd in overlaps_by_image(names, rles, truth):
        order = np.argsort(-scores[rows], kind="stable")
        rows = rows[order]
        matched = match_regions(reordered(overlaps, order), crowd, IOUS[metric])
        if metric == "pq":
            iou = matched.share[0]
            right = matched.hit[0] & (iou > HIT_IOU)
            gain[rows, 0] = iou * right
            in_crowd = _inside([rles[int(row)] for row in rows], truth[str(names[rows[0]])])
            wrong[rows, 0] = ~right & (in_crowd <= 0.5)
        else:
            gain[rows] = matched.hit.T
            wrong[rows] = ~(matched.hit | matched.ignored).T
    objects = [sum(not one["iscrowd"] for one in truth.get(name, [])) for name in images]
    image = np.array([place[name] for name in names.tolist()], np.int64)
    scores = np.asarray(scores, np.float64)
    return Outcomes(scores, image, gain, wrong, np.array(objects, np.int64))


def _inside(rles: list[Rle], annotations: list[Annotation]) -> np.ndarray:
    """Return which part of each mask lies in crowd regions, all taken together."""
    crowd = [one["segmentation"] for one in annotations if one["iscrowd"]]
    if not crowd:
        return np.zeros(len(rles))
    return np.asarray(coco_mask.iou(list(rles), [union_of(crowd)], [1]))[:, 0]
