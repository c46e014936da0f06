"""How well candidates overlap real objects, and which of them hit one."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from src.formats.prepared import Annotation, Rle
from src.matching import matching
from src.matching.matching import largest_shares, match_regions, region_overlaps, reordered

HIT_IOU = 0.5


class Overlaps(NamedTuple):
    """How N candidates overlap the truth of their images."""

    iou: np.ndarray  # (N,) float64, the best IoU with an object, in [0, 1]; 0 without one
    ignored: np.ndarray  # (N,) bool, shows a crowd region and so says nothing about its worth


class Hits(NamedTuple):
    """What COCO's greedy matching at IoU 0.5 makes of N candidates."""

    hit: np.ndarray  # (N,) bool, matched with an object
    ignored: np.ndarray  # (N,) bool, matched with a crowd region: neither right nor wrong


def annotations_by_name(coco: dict[str, Any]) -> dict[str, list[Annotation]]:
    """Group annotations by the name of their image.

    Parameters
    ----------
    coco : dict
        From `src.formats.prepared.read_truth`.

    Returns
    -------
    annotations : dict
        The annotations of each image in the order of the file; an image without any has no entry.
    """
    names: dict[int, str] = {image["id"]: image["name"] for image in coco["images"]}
    grouped: defaultdict[str, list[Annotation]] = defaultdict(list)
    for annotation in coco["annotations"]:
        grouped[names[annotation["image_id"]]].append(annotation)
    return dict(grouped)


def best_overlaps(
    names: np.ndarray, rles: list[Rle], truth: dict[str, list[Annotation]]
) -> Overlaps:
    """Find the best IoU of each candidate with any object; several may have the same object.

    Parameters
    ----------
    names : ndarray of str, shape (N,)
        The image of each candidate.
    rles : list of Rle
        N of them.
    truth : dict
        From `annotations_by_name`.

    Returns
    -------
    overlaps : Overlaps
        Ignored are candidates that lie with more than half of their pixels in one crowd region
        and have an IoU below 0.5 with every object.

    Raises
    ------
    ValueError
        If a candidate and an object of its image are of different sizes.
    """
    iou, inside = np.zeros((2, len(rles)))
    for rows, overlaps, crowd in overlaps_by_image(names, rles, truth):
        iou[rows] = largest_shares(overlaps, ~crowd)
        inside[rows] = largest_shares(overlaps, crowd)
    return Overlaps(iou, (inside > 0.5) & (iou < HIT_IOU))


def find_hits(
    names: np.ndarray, rles: list[Rle], scores: np.ndarray, truth: dict[str, list[Annotation]]
) -> Hits:
    """Match candidates with objects as COCO's evaluation does at IoU 0.5, objects of any area.

    See `src.matching.matching.match_regions`; of equal scores the first candidate chooses first.

    Parameters
    ----------
    names : ndarray of str, shape (N,)
        The image of each candidate.
    rles : list of Rle
        N of them.
    scores : ndarray of float, shape (N,)
        Only their order matters.
    truth : dict
        From `annotations_by_name`.

    Returns
    -------
    hits : Hits
        In the order of the candidates.

    Raises
    ------
    ValueError
        If a candidate and an object of its image are of different sizes.
    """
    hit, ignored = np.zeros((2, len(rles)), bool)
    for rows, overlaps, crowd in overlaps_by_image(names, rles, truth):
        order = np.argsort(-scores[rows], kind="stable")
        matched = match_regions(reordered(overlaps, order), crowd, [HIT_IOU])
        hit[rows[order]], ignored[rows[order]] = matched.hit[0], matched.ignored[0]
    return Hits(hit, ignored)


def overlaps_by_image(
    names: np.ndarray, rles: list[Rle], truth: dict[str, list[Annotation]]
) -> Iterator[tuple[np.ndarray, matching.Overlaps, np.ndarray]]:
    """Yield rows of an image, their overlaps with its G regions, and which of these are crowds.

    Images without a region are left out.
    """
    images, ids = np.unique(names, return_inverse=True)
    rows = np.split(np.argsort(ids, kind="stable"), np.cumsum(np.bincount(ids))[:-1])
    with_truth = [(r, truth[n]) for n, r in zip(images, rows, strict=False) if n in truth]
    for rows, annotations in tqdm(with_truth, "match candidates", unit="image", delay=2):
        crowd = np.array([annotation["iscrowd"] for annotation in annotations], bool)
        regions = [annotation["segmentation"] for annotation in annotations]
        yield rows, region_overlaps([rles[int(row)] for row in rows], regions, crowd), crowd
