"""From a probability map to labelled objects."""

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from src.errors import InputError


def label_objects(
    probability: np.ndarray,
    *,
    threshold: float,
    connectivity: int,
    max_hole: int,
    min_area: int,
    dilate: int,
) -> np.ndarray:
    """Threshold, fill holes, label, drop small objects, grow the others.

    Parameters
    ----------
    probability : ndarray of uint8, shape (H, W)
        Probability * 255.
    threshold : float
        In (0, 1); a pixel is foreground if its probability is at least this.
    connectivity : {4, 8}
        Of the foreground; the background has the other one.
    max_hole : int
        Background regions of at most that many pixels that do not touch the image edge are
        filled; 0 fills none.
    min_area : int
        Objects of fewer pixels are dropped, counted after filling and before growing.
    dilate : int
        Objects grow by up to that many pixels (Euclidean), each pixel going to the nearest one,
        so that they never overlap.

    Returns
    -------
    instances : ndarray of uint16, shape (H, W)
        Labels 1..N in row-major order of first pixels; all 0 if nothing is found.

    Raises
    ------
    InputError
        If there are more than 65,534 objects, which the labels cannot tell apart.
    ValueError
        If `connectivity` is neither 4 nor 8.
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity}")
    foreground = (probability >= threshold * 255).astype(np.uint8)
    if max_hole:
        foreground = _fill_holes(foreground, max_hole, connectivity=12 - connectivity)
    count, labels = cv2.connectedComponents(foreground, connectivity=connectivity)
    areas = np.bincount(labels.ravel(), minlength=count)
    keep = areas >= min_area
    keep[0] = False  # the background
    if keep.sum() > 65534:
        raise InputError(
            f"params.yaml: postprocess.min_area {min_area}: leaves {keep.sum()} objects in one "
            "image, more than 65534; raise it"
        )
    renumber = np.where(keep, np.cumsum(keep), 0).astype(np.uint16)
    instances = renumber[labels]
    return _grow(instances, dilate) if dilate else instances


def _fill_holes(foreground: np.ndarray, max_hole: int, connectivity: int) -> np.ndarray:
    _, regions = cv2.connectedComponents(1 - foreground, connectivity=connectivity)
    small = np.bincount(regions.ravel()) <= max_hole
    small[0] = False  # label 0 is the foreground here
    for edge in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        small[edge] = False
    return foreground | small[regions].astype(np.uint8)


def _grow(instances: np.ndarray, distance: int) -> np.ndarray:
    if not instances.any():
        return instances
    away, nearest = distance_transform_edt(instances == 0, return_indices=True)
    return np.where(away <= distance, instances[tuple(nearest)], 0).astype(np.uint16)


def object_probabilities(
    probability: np.ndarray, instances: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and maximal probability of every object, in one pass each.

    Parameters
    ----------
    probability : ndarray of uint8, shape (H, W)
        Probability * 255.
    instances : ndarray of uint16, shape (H, W)
        Labels 1..`count`, every one of them present.
    count : int
        Number of objects, 0 or more.

    Returns
    -------
    mean, largest : ndarray of float64, shape (count,)
        In [0, 1].
    """
    labels, values = instances.ravel(), probability.ravel()
    areas = np.bincount(labels, minlength=count + 1)[1:]
    sums = np.bincount(labels, weights=values, minlength=count + 1)[1:]
    largest = np.zeros(count + 1, np.uint8)
    np.maximum.at(largest, labels, values)
    return sums / areas / 255, largest[1:] / 255
