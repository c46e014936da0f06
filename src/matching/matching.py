"""COCO's matching of the detections of one image with its objects: greedy, by falling score."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

HIGHEST = 1 - 1e-10  # an IoU that is 1 but for rounding reaches any threshold


class Matched(NamedTuple):
    """What D detections are matched with at each of T thresholds."""

    region: np.ndarray  # (T, D) int64, column of the region, -1 if none
    hit: np.ndarray  # (T, D) bool, that region is an object that counts
    ignored: np.ndarray  # (T, D) bool, it is to be ignored: neither right nor wrong


def region_overlaps(
    detections: Sequence[Mapping[str, Any]], regions: Sequence[Mapping[str, Any]], crowd: np.ndarray
) -> np.ndarray:
    """Return how much each detection overlaps each region.

    Parameters
    ----------
    detections, regions : sequence of mapping
        D and G compressed RLEs of one image; either may be empty.
    crowd : ndarray of bool, shape (G,)
        Which regions are crowds.

    Returns
    -------
    overlaps : ndarray of float64, shape (D, G)
        The IoU with an object; with a crowd the part of the detection that lies inside it.

    Raises
    ------
    ValueError
        If the masks are of different sizes.
    """
    if not detections or not regions:
        return np.zeros((len(detections), len(regions)))
    flags = np.asarray(crowd).astype(np.uint8)
    masks = cast("Any", list(detections)), cast("Any", list(regions))  # it takes lists alone
    overlaps = np.asarray(coco_mask.iou(*masks, flags))
    if (overlaps < 0).any():  # so pycocotools marks masks that cannot be compared
        sizes = sorted({tuple(rle["size"]) for rle in (*detections, *regions)})
        raise ValueError(f"masks of one image must have one size, got {sizes}")
    return overlaps


def match_regions(
    overlaps: np.ndarray,
    crowd: np.ndarray,
    thresholds: Sequence[float] | NDArray[np.float64],
    ignored: np.ndarray | None = None,
) -> Matched:
    """Match detections, best first, each with the free region that it overlaps most.

    Of equal overlaps the last region wins. A region that is ignored is looked at only where no
    other is free and near enough. A crowd takes any number of detections.

    Parameters
    ----------
    overlaps : ndarray of float, shape (D, G)
        From `region_overlaps`, the detections ordered by falling score.
    crowd : ndarray of bool, shape (G,)
    thresholds : sequence or ndarray of float
        T least overlaps, each above 0.
    ignored : ndarray of bool, shape (G,), optional
        Regions that are neither to be found nor wrong to find, all crowds among them: these are
        the crowds alone if it is not given.

    Returns
    -------
    matched : Matched
        At each threshold by itself. What pycocotools' COCOeval makes of them, bit for bit.
    """
    crowd = np.asarray(crowd, bool)
    ignored = crowd if ignored is None else np.asarray(ignored, bool)
    least = np.minimum(thresholds, HIGHEST)
    order = np.argsort(ignored, kind="stable")
    candidates: list[list[tuple[int, float]]] = [[] for _ in overlaps]
    near = overlaps[:, order] >= least.min(initial=HIGHEST)
    for detection, place in np.argwhere(near).tolist():
        region = int(order[place])
        candidates[detection].append((region, float(overlaps[detection, region])))
    rows = [_match(candidates, crowd.tolist(), ignored.tolist(), one) for one in least.tolist()]
    region = np.array(rows, np.int64).reshape(len(least), len(overlaps))
    of_ignored = np.append(ignored, False)[region]  # -1 reads what is appended
    return Matched(region, (region >= 0) & ~of_ignored, of_ignored)


def _match(
    candidates: list[list[tuple[int, float]]],
    crowd: list[bool],
    ignored: list[bool],
    threshold: float,
) -> list[int]:
    """Return the region of each detection; of its candidates the ignored ones come last."""
    taken: set[int] = set()
    matches: list[int] = []
    for near in candidates:
        match, best = -1, threshold
        for region, overlap in near:
            if match >= 0 and ignored[region] and not ignored[match]:
                break
            if overlap >= best and region not in taken:
                match, best = region, overlap
        matches.append(match)
        if match >= 0 and not crowd[match]:
            taken.add(match)
    return matches
