"""COCO's matching of the detections of one image with its objects: greedy, by falling score."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

HIGHEST = 1 - 1e-10  # an IoU that is 1 but for rounding reaches any threshold
TABLE = 1 << 21  # pairs of masks that are compared at once
STRIP = 256  # detections that are compared at once where there are more, by their columns


class Overlaps(NamedTuple):
    """The P pairs of D detections and G regions of one image that share a pixel.

    They are ordered by detection, then by region. Pairs and not a table of D x G, which an image
    with tens of thousands of objects has no memory for.
    """

    detection: np.ndarray  # (P,) int64
    region: np.ndarray  # (P,) int64
    share: np.ndarray  # (P,) float64 in (0, 1], how much they overlap
    detections: int  # D
    regions: int  # G


class Matched(NamedTuple):
    """What D detections are matched with at each of T thresholds."""

    region: np.ndarray  # (T, D) int64, number of the region, -1 if none
    hit: np.ndarray  # (T, D) bool, that region is an object that counts
    ignored: np.ndarray  # (T, D) bool, it is to be ignored: neither right nor wrong
    share: np.ndarray  # (T, D) float64, how much it overlaps that region, 0 if none


def region_overlaps(
    detections: Sequence[Mapping[str, Any]], regions: Sequence[Mapping[str, Any]], crowd: np.ndarray
) -> Overlaps:
    """Find how much each detection overlaps each region.

    Parameters
    ----------
    detections, regions : sequence of mapping
        D and G compressed RLEs of one image; either may be empty.
    crowd : ndarray of bool, shape (G,)
        Which regions are crowds.

    Returns
    -------
    overlaps : Overlaps
        The IoU with an object; with a crowd the part of the detection that lies inside it.

    Raises
    ------
    ValueError
        If the masks are of different sizes.
    """
    sizes = {(rle["size"][0], rle["size"][1]) for rle in (*detections, *regions)}
    if len(sizes) > 1:
        raise ValueError(f"masks of one image must have one size, got {sorted(sizes)}")
    count = len(detections), len(regions)
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    if not all(count):
        return Overlaps(*nothing, *count)
    flags = np.asarray(crowd).astype(np.uint8)
    if count[0] * count[1] <= TABLE:
        detection, region, share = _table(list(detections), list(regions), flags)
        return Overlaps(detection, region, share, *count)
    boxes, other = (coco_mask.toBbox(cast("Any", list(of))) for of in (detections, regions))
    parts: list[tuple[np.ndarray, ...]] = [nothing]
    by_column = np.argsort(boxes[:, 0], kind="stable")
    for first in range(0, count[0], STRIP):
        some = by_column[first : first + STRIP]
        left, right = boxes[some, 0].min(), (boxes[some, 0] + boxes[some, 2]).max()
        near = np.flatnonzero((other[:, 0] < right) & (other[:, 0] + other[:, 2] > left))
        if len(near):
            masks = [detections[n] for n in some.tolist()], [regions[n] for n in near.tolist()]
            detection, region, share = _table(*masks, flags[near])
            parts.append((some[detection], near[region], share))
    detection, region, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((region, detection))
    return Overlaps(detection[order], region[order], share[order], *count)


def overlaps_of_images(
    detections: Sequence[Mapping[str, Any]],
    regions: Sequence[Mapping[str, Any]],
    crowd: np.ndarray,
    detection_image: np.ndarray,
    region_image: np.ndarray,
) -> Overlaps:
    """Find how much the detections of many images overlap the regions of the same image.

    Parameters
    ----------
    detections, regions, crowd
        As for `region_overlaps`, those of one image after those of the other.
    detection_image, region_image : ndarray of int64, shape (D,), (G,)
        Image of each, never falling.

    Returns
    -------
    overlaps : Overlaps
        As `region_overlaps` finds them in each image, numbered over all.

    Raises
    ------
    ValueError
        If masks of one image are of different sizes.
    """
    both = np.intersect1d(detection_image, region_image)
    marks = [
        np.searchsorted(of, both, side).tolist()
        for of in (detection_image, region_image)
        for side in ("left", "right")
    ]
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    parts: list[tuple[np.ndarray, ...]] = [nothing]
    for first, last, low, high in zip(*marks, strict=True):
        found = region_overlaps(detections[first:last], regions[low:high], crowd[low:high])
        parts.append((found.detection + first, found.region + low, found.share))
    detection, region, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Overlaps(detection, region, share, len(detections), len(regions))


def mask_areas(masks: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the pixels of each of N compressed RLEs, int64 (N,)."""
    # So many at a time, since pycocotools counts a list in 8 bits and refuses one of 256.
    parts = [list(masks[first : first + 255]) for first in range(0, len(masks), 255)]
    areas = [np.asarray(coco_mask.area(cast("Any", part)), np.int64) for part in parts]
    return np.concatenate([np.empty(0, np.int64), *areas])


def _table(
    detections: list[Any], regions: list[Any], flags: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.asarray(coco_mask.iou(detections, regions, flags))
    detection, region = np.nonzero(table)
    return detection, region, table[detection, region]


def largest_shares(overlaps: Overlaps, which: np.ndarray) -> np.ndarray:
    """Return how much each detection overlaps that one of some regions that it overlaps most.

    Parameters
    ----------
    overlaps : Overlaps
    which : ndarray of bool, shape (G,)

    Returns
    -------
    shares : ndarray of float64, shape (D,)
        0 where it overlaps none of them.
    """
    shares, kept = np.zeros(overlaps.detections), which[overlaps.region]
    np.maximum.at(shares, overlaps.detection[kept], overlaps.share[kept])
    return shares


def reordered(overlaps: Overlaps, order: np.ndarray) -> Overlaps:
    """Return the overlaps of the same detections in another order, int64 (D,)."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    detection = place[overlaps.detection]
    rows = np.argsort(detection, kind="stable")
    return overlaps._replace(
        detection=detection[rows], region=overlaps.region[rows], share=overlaps.share[rows]
    )


def match_regions(
    overlaps: Overlaps,
    crowd: np.ndarray,
    thresholds: Sequence[float] | NDArray[np.float64],
    ignored: np.ndarray | None = None,
) -> Matched:
    """Match detections, best first, each with the free region that it overlaps most.

    Of equal overlaps the last region wins. A region that is ignored is looked at only where no
    other is free and near enough. A crowd takes any number of detections.

    Parameters
    ----------
    overlaps : Overlaps
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
    near = np.flatnonzero(overlaps.share >= least.min(initial=HIGHEST))
    detection, region, share = (column[near] for column in overlaps[:3])
    shape = (len(least), overlaps.detections)
    regions, shares = np.full(shape, -1), np.zeros(shape)
    # Most pairs are both the only one of their detection and of their region: no choice to make.
    alone = np.bincount(detection, minlength=shape[1])[detection] == 1
    alone &= (np.bincount(region, minlength=overlaps.regions)[region] == 1) | crowd[region]
    reached = share[alone] >= least[:, None]
    regions[:, detection[alone]] = np.where(reached, region[alone], -1)
    shares[:, detection[alone]] = np.where(reached, share[alone], 0.0)
    if not alone.all():
        pairs = detection[~alone], region[~alone], share[~alone]
        places, *chosen = _contested(*pairs, crowd, ignored, least.tolist())
        regions[:, places], shares[:, places] = chosen
    of_ignored = np.append(ignored, False)[regions]  # -1 reads what is appended
    return Matched(regions, (regions >= 0) & ~of_ignored, of_ignored, shares)


def _contested(
    detection: np.ndarray,
    region: np.ndarray,
    share: np.ndarray,
    crowd: np.ndarray,
    ignored: np.ndarray,
    thresholds: list[float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the K detections of these pairs, and region and share of each, (T, K)."""
    order = np.lexsort((region, ignored[region], detection))
    places, numbers = np.unique(detection, return_inverse=True)
    candidates: list[list[tuple[int, float]]] = [[] for _ in places]
    pairs = zip(
        numbers[order].tolist(), region[order].tolist(), share[order].tolist(), strict=True
    )  # fmt: skip
    for place, number, overlap in pairs:
        candidates[place].append((number, overlap))
    flags = crowd.tolist(), ignored.tolist()
    rows = [_match(candidates, *flags, one) for one in thresholds]
    regions, shares = zip(*rows, strict=True)
    return places, np.array(regions, np.int64), np.array(shares, np.float64)


def _match(
    candidates: list[list[tuple[int, float]]],
    crowd: list[bool],
    ignored: list[bool],
    threshold: float,
) -> tuple[list[int], list[float]]:
    """Return region and share of each detection; of its candidates the ignored ones come last."""
    taken: set[int] = set()
    matches: list[int] = []
    shares: list[float] = []
    for near in candidates:
        match, best = -1, threshold
        for region, overlap in near:
            if match >= 0 and ignored[region] and not ignored[match]:
                break
            if overlap >= best and region not in taken:
                match, best = region, overlap
        matches.append(match)
        shares.append(best if match >= 0 else 0.0)
        if match >= 0 and not crowd[match]:
            taken.add(match)
    return matches, shares
