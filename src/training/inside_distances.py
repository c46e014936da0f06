"""How deep inside its object each pixel lies, for the border and boundary-distance heads."""

import cv2
import numpy as np

from src.label_maps.distances import encode_distances, padded_boxes
from src.label_maps.labels import IGNORE

CALL = 500  # px that could be transformed in the time that one more object costs
NOWHERE = 2**30  # squared distance where no other pixel exists


def inside_distances(instances: np.ndarray) -> np.ndarray:
    """Distance of each object's pixels to the nearest pixel that is not of the same object.

    Exact in either of two ways, whichever takes less work. Few objects: one transform each, on the
    bounding box grown by a pixel, which holds the nearest other pixel of all that are within. Many:
    number them in binary; two objects differ in some bit, so the distance is the smallest, over
    the bits, to what is not an object of the same bit.

    Parameters
    ----------
    instances : ndarray of uint16, shape (H, W)
        0 is background, 65535 ignored, any other value labels one object. Touching objects bound
        each other; the edge of the image bounds none.

    Returns
    -------
    planes : ndarray of uint8, shape (2, H, W)
        The distance in quarter pixels, rounded, 255 (63.75 px) and beyond as 255; and 255 times
        the distance relative to the largest one in the object, rounded. Both are positive on
        objects and 0 elsewhere; an object that is the whole image has 255 everywhere.

    Raises
    ------
    ValueError
        If `instances` is not a 2-D uint16 array.
    """
    if instances.ndim != 2 or instances.dtype != np.uint16:
        raise ValueError(f"instances must be 2-D uint16, got {instances.dtype} {instances.shape}")
    objects = np.where(instances == IGNORE, np.uint16(0), instances)
    boxes = padded_boxes(objects, 1)
    bits = max((len(boxes) - 1).bit_length(), 1)
    work = sum(objects[box].size + CALL for box in boxes.values())
    if 2 * bits * objects.size < work:
        squared = _by_bit(objects, list(boxes), bits)
    else:
        squared = np.zeros(objects.shape, np.int64)
        for label, box in boxes.items():
            is_object = objects[box] == label
            np.copyto(squared[box], _squared_distance(is_object), where=is_object)
    largest = np.ones(objects.max(initial=0) + 1, np.int64)
    np.maximum.at(largest, objects, squared)
    relative = np.rint(255 * np.sqrt(squared / largest[objects])).astype(np.uint8)
    return np.stack([encode_distances(np.sqrt(squared)), np.maximum(relative, objects > 0)])


def _by_bit(objects: np.ndarray, labels: list[int], bits: int) -> np.ndarray:
    """Return the squared distances from two transforms of the image per bit."""
    numbers = np.zeros(labels[-1] + 1, np.uint32)
    numbers[labels] = np.arange(len(labels))
    numbers = numbers[objects]
    is_object = objects > 0
    squared = np.where(is_object, NOWHERE, 0)
    for bit in range(bits):
        has_bit = (numbers >> bit & 1).astype(bool)
        for alike in (is_object & has_bit, is_object & ~has_bit):
            np.minimum(squared, _squared_distance(alike), out=squared, where=alike)
    return squared


def _squared_distance(mask: np.ndarray) -> np.ndarray:
    """Return the exact squared distance of every pixel to the nearest one outside the mask."""
    if mask.all():
        return np.full(mask.shape, NOWHERE)
    distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(distance.astype(np.float64) ** 2).astype(np.int64)
