"""Training images made of several: four in a mosaic, or with objects of another pasted in."""

import numpy as np

from src.base.errors import InputError
from src.label_maps.labels import IGNORE


def mosaic(
    parts: list[tuple[np.ndarray, np.ndarray]], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Put random crops of four images side by side and one below the other.

    After the mosaic of YOLOv4 (Bochkovskiy et al. 2020), with quarters of equal size.

    Parameters
    ----------
    parts : list of four (image, instances)
        uint8 (H, W, C) and uint16 (H, W), in reading order of the quarters. Where one is smaller
        than its quarter, the image repeats its edge and the instances are ignored.
    size : int
        Height and width of the mosaic in pixels; at least 2.
    rng : numpy.random.Generator
        Draws where each crop lies.

    Returns
    -------
    image : ndarray of uint8, shape (size, size, C)
    instances : ndarray of uint16, shape (size, size)
        The objects are numbered 1..N through all quarters; 65535 stays ignored.

    Raises
    ------
    InputError
        If there are more objects than uint16 labels.
    """
    image = np.empty((size, size, parts[0][0].shape[2]), parts[0][0].dtype)
    instances = np.empty((size, size), np.uint16)
    first, second = slice(0, size // 2), slice(size // 2, size)
    quarters = [(first, first), (first, second), (second, first), (second, second)]
    used = 0
    for quarter, part in zip(quarters, parts, strict=True):
        image[quarter], labels = _random_crop(*part, instances[quarter].shape, rng)
        instances[quarter], used = _numbered_from(labels, used)
    return image, instances


def paste_objects(
    image: np.ndarray,
    instances: np.ndarray,
    other_image: np.ndarray,
    other_instances: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Paste objects of another image, with their pixels, over an image.

    After "Simple Copy-Paste" (Ghiasi et al. 2021): each object is taken with probability 1/2, all
    of them with one random shift, which keeps the middle of the other image inside this one. What
    they cover is cut. Nothing is pasted where either is ignored.

    Parameters
    ----------
    image, instances : uint8 (H, W, C) and uint16 (H, W)
        Pasted over; not changed.
    other_image, other_instances : uint8 (h, w, C) and uint16 (h, w)
        Pasted from; any size.
    rng : numpy.random.Generator
        Draws the shift and the objects.

    Returns
    -------
    image, instances : as given
        The objects are numbered 1..N, those pasted last; 65535 stays ignored.

    Raises
    ------
    InputError
        If there are more objects than uint16 labels.
    """
    here, there = zip(
        *map(_random_overlap, instances.shape, other_instances.shape, [rng, rng]), strict=True
    )
    labels = np.where(other_instances == IGNORE, 0, other_instances)
    taken = rng.random(int(labels.max()) + 1) < 0.5
    taken[0] = False
    labels = labels[there]
    pasted = taken[labels] & (instances[here] != IGNORE)
    image, instances = image.copy(), instances.copy()
    image[here][pasted] = other_image[there][pasted]
    instances[here][pasted] = 0  # what is covered whole must not keep a number
    instances, used = _numbered_from(instances, 0)
    instances[here][pasted] = _numbered_from(labels[pasted], used)[0]
    return image, instances


def _random_crop(image, instances, shape, rng):
    """Cut both to a shape at a random place, padded at the end where they are smaller."""
    missing = [(0, max(0, want - have)) for want, have in zip(shape, instances.shape, strict=True)]
    image = np.pad(image, [*missing, (0, 0)], mode="edge")
    instances = np.pad(instances, missing, constant_values=IGNORE)
    starts = [
        rng.integers(have - want + 1) for have, want in zip(instances.shape, shape, strict=True)
    ]
    box = tuple(slice(start, start + want) for start, want in zip(starts, shape, strict=True))
    return image[box], instances[box]


def _random_overlap(length: int, other: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Shift the other side so that its middle lies on this one; return what overlaps of each."""
    start = rng.integers(length) - other // 2
    overlap = slice(max(start, 0), min(start + other, length))
    return overlap, slice(overlap.start - start, overlap.stop - start)


def _numbered_from(instances: np.ndarray, used: int) -> tuple[np.ndarray, int]:
    """Give the objects the numbers from `used` + 1 on; return them with the last number."""
    objects = np.where(instances == IGNORE, 0, instances)
    present = np.bincount(objects.ravel(), minlength=1) > 0
    present[0] = False
    last = used + int(present.sum())
    if last >= IGNORE:
        raise InputError(
            f"params.yaml: augment.mosaic and copy_paste: {last} objects in one mixed image, more "
            f"than {IGNORE - 1} cannot be numbered, set both to 0"
        )
    numbers = np.where(present, used + np.cumsum(present), 0).astype(np.uint16)
    return np.where(instances == IGNORE, np.uint16(IGNORE), numbers[objects]), last
