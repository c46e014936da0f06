"""Objects painted into one label map, the training target."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from src.formats.labels import IGNORE
from src.preparing.params import PrepareMasksParams
from src.reading.regions import MAX_OBJECTS, Region

BLOCK = 2**20  # px renumbered at a time


class InstanceMap(NamedTuple):
    """What `draw_instances` makes of one image."""

    instances: np.ndarray  # (H, W) uint16: 0 background, 1..objects, 65535 ignore
    objects: int  # labels in the map
    ignored: int  # regions painted as ignore
    hidden: int  # objects wholly covered by smaller ones, which have no label


def draw_instances(
    regions: Sequence[Region],
    crowd: Sequence[bool],
    height: int,
    width: int,
    params: PrepareMasksParams,
) -> InstanceMap:
    """Paint the regions of one image into a label map.

    Crowd regions come first and are ignored. Objects follow in order of decreasing area (ties in
    the order given), so that the smaller one lies on top. An edge object has no pixel inside the
    image less a frame of `edge_width`; where nothing is left inside the frame every object is
    one. Time and memory go with the bounding boxes, not with image size times objects.

    Parameters
    ----------
    regions : sequence of Region
        At most 65534, all inside the image; those without pixels leave no trace.
    crowd : sequence of bool
        For each region whether it is a crowd, not an object.
    height, width : int
        Of the image, in pixels; at least 1.
    params : PrepareMasksParams
        Edge objects are painted 65535 (`edge_objects` ignore), left out (drop), or treated as any
        other object (keep); with an `edge_width` of 0 there are none. Objects of more than
        `small_area` pixels are eroded with a disc of the radius `erode`; one that would vanish
        stays whole, the image edge does not erode, and ignored regions stay. What is visible of
        the others grows by a disc of the radius `dilate`, onto background only, in the order of
        painting.

    Returns
    -------
    drawn : InstanceMap
        Labels are contiguous, in the order of `regions`. Without regions the map is all 0.

    Raises
    ------
    ValueError
        If there are more than 65534 regions, as many flags are not given, or a size is not
        positive.
    """
    if len(regions) > MAX_OBJECTS or len(regions) != len(crowd):
        raise ValueError(f"{len(regions)} regions, {len(crowd)} flags; at most {MAX_OBJECTS} each")
    if min(height, width) < 1:
        raise ValueError(f"sizes must be positive: {height}x{width}")
    instances = np.zeros((height, width), np.uint16)
    crowds = [region for region, flag in zip(regions, crowd, strict=True) if flag and region.area]
    for region in crowds:
        _window(instances, region)[_crop(region, height)] = IGNORE
    order = [i for i, region in enumerate(regions) if region.area and not crowd[i]]
    order.sort(key=lambda index: -regions[index].area)
    painted, ignored = [], len(crowds)
    for index in order:
        region = regions[index]
        mask = _crop(region, height)
        label = index + 1
        if params.edge_objects != "keep" and _is_edge(
            region, mask, height, width, params.edge_width
        ):
            if params.edge_objects == "drop":
                continue
            label, ignored = IGNORE, ignored + 1
        elif params.erode and region.area > params.small_area:
            mask = _eroded(region, mask, height, width, params.erode)
        _window(instances, region)[mask] = label
        if label != IGNORE:
            painted.append(index)
    if params.dilate:
        for index in painted:
            if regions[index].area <= params.small_area:
                _grow(instances, regions[index], index + 1, params.dilate)
    objects = _make_contiguous(instances)
    return InstanceMap(instances, objects, ignored, len(painted) - objects)


def _window(instances: np.ndarray, region: Region) -> np.ndarray:
    """View of the map on the region's bounding box."""
    x, y, w, h = region.bbox
    return instances[y : y + h, x : x + w]


def _crop(region: Region, height: int) -> np.ndarray:
    """Mask, bool (h, w), of the region on its bounding box."""
    x, y, w, h = region.bbox
    first, last = region.runs[:, 0], region.runs[:, 1] - 1
    steps = np.zeros(h * w + 1, np.int8)
    steps[(first // height - x) * h + first % height - y] = 1
    steps[(last // height - x) * h + last % height - y + 1] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(bool).reshape(w, h).T


def _is_edge(region: Region, mask: np.ndarray, height: int, width: int, edge_width: int) -> bool:
    """Tell whether no pixel of the region is farther than `edge_width` from the image's rim."""
    x, y, _, _ = region.bbox
    rows = slice(max(edge_width - y, 0), max(height - edge_width - y, 0))
    columns = slice(max(edge_width - x, 0), max(width - edge_width - x, 0))
    return not mask[rows, columns].any()


def _eroded(region: Region, mask: np.ndarray, height: int, width: int, radius: int) -> np.ndarray:
    """Eroded mask on the same bounding box, or the mask itself if nothing would be left."""
    x, y, w, h = region.bbox
    # One row of background on each side that is not the image's: farther rows cannot matter.
    rows, columns = (int(y > 0), int(y + h < height)), (int(x > 0), int(x + w < width))
    padded = np.pad(mask, (rows, columns)).astype(np.uint8, order="C")
    eroded = cv2.erode(padded, _disc(radius))[rows[0] : rows[0] + h, columns[0] : columns[0] + w]
    return eroded.astype(bool) if eroded.any() else mask


def _grow(instances: np.ndarray, region: Region, label: int, radius: int) -> None:
    """Dilate what is visible of an object, onto background only."""
    x, y, w, h = region.bbox
    top, left = max(y - radius, 0), max(x - radius, 0)
    window = instances[top : y + h + radius, left : x + w + radius]
    grown = cv2.dilate((window == label).astype(np.uint8), _disc(radius))
    window[(grown > 0) & (window == 0)] = label


def _disc(radius: int) -> np.ndarray:
    row, column = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (row**2 + column**2 <= radius**2).astype(np.uint8)


def _make_contiguous(instances: np.ndarray) -> int:
    """Renumber the labels in place to 1..N in the same order; return N."""
    height, width = instances.shape
    rows = max(BLOCK // width, 1)  # at a time: an index array is four times the size of the map
    blocks = [instances[top : top + rows] for top in range(0, height, rows)]
    present = np.zeros(IGNORE + 1, bool)
    for block in blocks:
        present[block] = True
    labels = np.flatnonzero(present[1:IGNORE]) + 1
    if labels.size and labels[-1] != labels.size:
        renumbered = np.zeros(IGNORE + 1, np.uint16)
        renumbered[labels] = np.arange(1, labels.size + 1)
        renumbered[IGNORE] = IGNORE
        for block in blocks:
            block[:] = renumbered[block]
    return int(labels.size)
