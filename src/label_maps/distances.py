"""What U-Net loss weights are made of: distances to the two nearest objects, object size."""

from typing import Annotated, cast

import cv2
import numpy as np
from pydantic import Field

from src.base.params import Auto, Params
from src.label_maps.labels import IGNORE

# scipy has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

QUARTERS = 4  # distances are stored in quarter pixels


class WeightMapParams(Params):
    max_distance: Annotated[int, Field(ge=1, le=63), Auto]


def weight_planes(instances: np.ndarray, max_distance: int) -> np.ndarray:
    """Measure, for every pixel, what the loss weights are made of.

    Parameters
    ----------
    instances : ndarray of uint16, shape (H, W)
        0 is background, 65535 ignored, any other value labels one object. Ignored pixels belong to
        no object: they have distances as the background has, and size 0.
    max_distance : int
        As for `two_nearest_distances`.

    Returns
    -------
    planes : ndarray of uint8, shape (H, W, 3)
        Distances to the nearest and to the second nearest object, see `encode_distances`;
        `sqrt_area`.
    """
    objects = np.where(instances == IGNORE, np.uint16(0), instances)
    distances = encode_distances(two_nearest_distances(objects, max_distance))
    return cv2.merge([*distances, sqrt_area(objects)])


def two_nearest_distances(instances: np.ndarray, max_distance: int) -> np.ndarray:
    """Distance of every pixel to its nearest and to its second nearest object.

    Exact in either of two ways, whichever transforms fewer pixels. Few objects: one transform
    each, on the bounding box padded by `max_distance`. Many: number them in binary and transform,
    for each bit, the union of the objects that have it and the union of the others. One of the two
    is at the nearest distance; the other excludes the nearest object, so it is never below the
    second nearest distance, and equals it for a bit in which the two nearest differ.

    Parameters
    ----------
    instances : ndarray of uint16, shape (H, W)
        0 is background, any other value labels one object.
    max_distance : int
        Distances are clipped here, in pixels; positive.

    Returns
    -------
    distances : ndarray of float32, shape (2, H, W)
        In pixels. The first plane is 0 inside objects; a plane whose object does not exist
        (none, or only one in the image) is `max_distance` everywhere.

    Raises
    ------
    ValueError
        If `instances` is not a 2-D unsigned integer array or `max_distance` is not positive.
    """
    if instances.ndim != 2 or instances.dtype.kind != "u":
        raise ValueError(f"instances must be 2-D unsigned, got {instances.dtype} {instances.shape}")
    if max_distance <= 0:
        raise ValueError(f"max_distance must be positive, got {max_distance}")
    boxes = padded_boxes(instances, max_distance)
    bits = max((len(boxes) - 1).bit_length(), 1)
    if 2 * bits * instances.size < sum(instances[box].size for box in boxes.values()):
        return _by_bit(instances, list(boxes), bits).clip(max=max_distance)
    distances = np.full((2, *instances.shape), max_distance, np.float32)
    for label, box in boxes.items():
        to_object = _distance_to(instances[box] == label)
        nearest, second = distances[0][box], distances[1][box]  # views: (h, w) each
        np.minimum(second, np.maximum(nearest, to_object), out=second)
        np.minimum(nearest, to_object, out=nearest)
    return distances


def encode_distances(distances: np.ndarray) -> np.ndarray:
    """Encode distances in pixels as quarter pixels: uint8, rounded, 63.75 px and beyond as 255."""
    return np.rint(np.minimum(distances, 255 / QUARTERS) * QUARTERS).astype(np.uint8)


def sqrt_area(instances: np.ndarray) -> np.ndarray:
    """Square root of the area of the object that each pixel belongs to.

    Parameters
    ----------
    instances : ndarray of unsigned integers, shape (H, W)
        0 is background, any other value labels one object, in one piece or several.

    Returns
    -------
    sizes : ndarray of uint8, shape (H, W)
        In pixels, rounded, 255 at most; 0 on the background and nowhere else.
    """
    areas = np.bincount(instances.ravel(), minlength=1)
    areas[0] = 0
    return np.take(np.rint(np.sqrt(areas)).clip(max=255).astype(np.uint8), instances)


def padded_boxes(instances: np.ndarray, padding: int) -> dict[int, tuple[slice, ...]]:
    """Find the bounding boxes of objects.

    Parameters
    ----------
    instances : ndarray of unsigned integers, shape (H, W)
        0 is background, any other value labels one object.
    padding : int
        How far the boxes reach beyond the objects, up to the image edge, in pixels.

    Returns
    -------
    boxes : dict of int to (slice, slice)
        Rows and columns by label, in the order of labels.
    """
    from scipy import ndimage  # not at the top: checking params and most trainings do without

    boxes: dict[int, tuple[slice, ...]] = {}
    found = cast("list[tuple[slice, ...] | None]", ndimage.find_objects(instances))
    for label, box in enumerate(found, start=1):
        if box is not None:  # labels need not be contiguous
            boxes[label] = tuple(
                slice(max(side.start - padding, 0), min(side.stop + padding, length))
                for side, length in zip(box, instances.shape, strict=True)
            )
    return boxes


def _by_bit(instances: np.ndarray, labels: list[int], bits: int) -> np.ndarray:
    """Return the two nearest distances, not clipped, from two transforms of the image per bit."""
    numbers = np.zeros(labels[-1] + 1, np.uint32)
    numbers[labels] = np.arange(len(labels))
    numbers = numbers[instances]
    is_object = instances > 0
    distances = np.full((2, *instances.shape), np.inf, np.float32)
    for bit in range(bits):
        has_bit = (numbers >> bit & 1).astype(bool)
        with_bit = _distance_to(is_object & has_bit)
        without = _distance_to(is_object & ~has_bit)
        np.minimum(distances[0], np.minimum(with_bit, without), out=distances[0])
        np.minimum(distances[1], np.maximum(with_bit, without), out=distances[1])
    return distances


def _distance_to(mask: np.ndarray) -> np.ndarray:
    """Return the exact distance of every pixel to the nearest pixel of a mask that has some."""
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
