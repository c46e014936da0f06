"""Agreement of the outlines of two unions of masks."""

import math
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from src.formats.prepared import Rle

WIDTH = 0.02  # of the band along an outline, as a part of the image's diagonal


def boundary_width(height: int, width: int) -> int:
    """Return the width in px of the band inside an outline: 2 % of the diagonal, at least 1."""
    return max(1, round(WIDTH * math.sqrt(height**2 + width**2)))


def boundary_iou(predicted: Rle | None, truth: Rle | None, ignored: Rle | None) -> float:
    """Boundary IoU (Cheng et al. 2021) of two masks: the IoU of the bands along their outlines.

    A mask's band is the mask without its erosion by `boundary_width` steps in the eight
    directions. What lies beyond the image's edge is background, so an object cut off there has a
    band along the edge too. Only the part of the image that holds a mask is worked on.

    Parameters
    ----------
    predicted, truth, ignored : Rle or None
        Of one size, None for an empty mask. Pixels of `ignored` are left out of both bands; the
        bands are those of the whole masks, so no outline arises where `ignored` ends.

    Returns
    -------
    iou : float
        In [0, 1]; 1 if both bands are empty, 0 if one is.

    Raises
    ------
    ValueError
        If the masks are of different sizes.
    """
    present = [rle for rle in (predicted, truth, ignored) if rle is not None]
    sizes = {tuple(rle["size"]) for rle in present}
    if len(sizes) > 1:
        raise ValueError(f"masks of one image must have one size, got {sorted(sizes)}")
    if predicted is None and truth is None:
        return 1.0
    steps = boundary_width(*present[0]["size"])
    part = _part_with_masks([rle for rle in (predicted, truth) if rle is not None])
    if part is None:
        return 1.0
    outside = None if ignored is None else ~_decode(ignored, part)
    bands: list[NDArray[np.uint8]] = []
    for rle in (predicted, truth):
        if rle is not None:
            band = _band(_decode(rle, part), steps)
            bands.append(band if outside is None else band & outside)
    sums = [cv2.countNonZero(band) for band in bands]
    both = cv2.countNonZero(bands[0] & bands[1]) if len(bands) == 2 else 0
    either = sum(sums) - both
    return both / either if either else 1.0


def _part_with_masks(rles: list[Rle]) -> tuple[slice, slice] | None:
    """Return the smallest box that holds all masks as slices of a (W, H) array; None if empty."""
    boxes = coco_mask.toBbox(cast("Any", rles)).astype(int)  # a list is not in its types
    boxes = boxes[boxes[:, 2] > 0]
    if not len(boxes):
        return None
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    return slice(left, right), slice(top, bottom)


def _decode(rle: Rle, part: tuple[slice, slice]) -> NDArray[np.uint8]:
    """Return a part of a mask, uint8 0 or 255, transposed, since an RLE runs down the columns."""
    mask = coco_mask.decode(rle).T[part]
    return np.ascontiguousarray(mask) * np.uint8(255)


def _band(mask: NDArray[np.uint8], steps: int) -> NDArray[np.uint8]:
    square = np.ones((2 * steps + 1, 2 * steps + 1), np.uint8)
    eroded = cv2.erode(mask, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & np.bitwise_not(eroded)
