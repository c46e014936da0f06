"""From a probability map to labelled objects.

Maps of several thresholds go through as one stack, (K, H, W): on small images a call costs more
than its work.
"""

from typing import cast

import cv2
import numpy as np

from src.base.errors import InputError

STRIP = 256  # rows
MAX_OBJECTS = 65534  # of one image: labels are uint16 and 65535 has a meaning of its own


def clean_foreground(
    foreground: np.ndarray,
    *,
    connectivity: int,
    white_speckle: int,
    black_speckle: int,
    max_hole: int,
    erode: int,
) -> np.ndarray:
    """Remove specks of either kind, then fill holes, then shrink.

    Parameters
    ----------
    foreground : ndarray of bool, shape (H, W) or (K, H, W)
        At least one pixel; each of K layers is cleaned by itself.
    connectivity : {4, 8}
        Of the foreground as objects; holes have the other one.
    white_speckle : int
        8-connected regions of foreground of at most that many pixels are removed.
    black_speckle : int
        8-connected regions of background of at most that many pixels become foreground, those at
        the image edge too; not where there is no foreground at all.
    max_hole : int
        Regions of background of at most that many pixels that do not touch the image edge become
        foreground.
    erode : int
        Pixels at a distance of at most that many from the background are removed; beyond the
        image edge there is no background.

    Returns
    -------
    cleaned : ndarray of bool, shape as given
        With 0 for each of the four numbers what was given.

    Raises
    ------
    ValueError
        If `connectivity` is neither 4 nor 8.
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity}")
    cleaned = np.array(foreground, bool, order="C", ndmin=3)
    if white_speckle:
        cleaned &= ~_small_regions(cleaned, white_speckle, connectivity=8)
    if black_speckle:
        small = _small_regions(~cleaned, black_speckle, connectivity=8)
        cleaned |= small & cleaned.any(axis=(1, 2), keepdims=True)
    if max_hole:
        cleaned |= _small_regions(~cleaned, max_hole, 12 - connectivity, at_edge=False)
    for layer in cleaned if erode else ():
        if not layer.all():
            inside = layer.view(np.uint8)
            layer[:] = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > erode
    return cleaned.reshape(foreground.shape)


def connected_labels(foreground: np.ndarray, connectivity: int) -> np.ndarray:
    """Return the connected regions of a bool map or of a stack of them.

    They are int32 of its shape: 0 background, 1..N; in a stack, (K, H, W), a label is of one layer.
    """
    if foreground.ndim == 3:
        return np.ascontiguousarray(_framed_labels(foreground, connectivity)[:, :-1])
    _, labels = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=connectivity)
    return labels


def _framed_labels(layers: np.ndarray, connectivity: int) -> np.ndarray:
    """Return the regions of a stack, int32 (K, H + 1, W), with a row of background after each."""
    depth, height, width = layers.shape
    framed = np.zeros((depth, height + 1, width), np.uint8)
    framed[:, :-1] = layers
    _, labels = cv2.connectedComponents(framed.reshape(-1, width), connectivity=connectivity)
    return labels.reshape(framed.shape)


def sized_objects(labels: np.ndarray, *, min_area: int, max_area: int, dilate: int) -> np.ndarray:
    """Drop labelled objects by their size, renumber and grow the others.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W) or (K, H, W)
        0 is background, any positive value one object, of one of K layers; not necessarily
        contiguous.
    min_area : int
        Objects of fewer pixels are dropped, counted before growing.
    max_area : int
        Objects of more pixels are dropped, counted before growing; 0 drops none.
    dilate : int
        Objects grow by up to that many pixels (Euclidean), each pixel going to the nearest one,
        so that they never overlap.

    Returns
    -------
    instances : ndarray of uint16, shape as given
        In each layer labels 1..N in row-major order of first pixels before growing; all 0 if no
        object is left.

    Raises
    ------
    InputError
        If more than 65,534 objects are left in a layer, which the labels cannot tell apart.
    """
    starts, areas = _runs(labels)
    of_run = labels.ravel()[starts]
    keep = areas >= max(min_area, 1)
    if max_area:
        keep &= areas <= max_area
    keep[0] = False  # the background
    first = np.zeros(areas.size, np.int64)
    first[of_run[::-1]] = starts[::-1]  # of equal labels the last assignment stays
    kept = np.flatnonzero(keep)
    kept = kept[np.argsort(first[kept])]
    height, width = labels.shape[-2:]
    layer = first[kept] // (height * width)
    counts = np.bincount(layer, minlength=1)
    if counts.max() > MAX_OBJECTS:
        raise InputError(
            f"params.yaml: postprocess.min_area {min_area}: leaves {counts.max()} objects in one "
            f"image, more than {MAX_OBJECTS}; raise it"
        )
    renumber = np.zeros(areas.size, np.uint16)
    renumber[kept] = np.arange(1, kept.size + 1) - (np.cumsum(counts) - counts)[layer]
    instances = np.repeat(renumber[of_run], np.diff(starts, append=labels.size))
    instances = instances.reshape(labels.shape)
    if labels.ndim == 2:
        return grow_objects(instances, dilate)
    for one in instances if dilate else ():
        one[:] = grow_objects(one, dilate)
    return instances


def grow_objects(instances: np.ndarray, dilate: int) -> np.ndarray:
    """Let objects grow by up to `dilate` pixels (Euclidean), each pixel going to the nearest one.

    Parameters
    ----------
    instances : ndarray of uint16, shape (H, W)
        0 is background, any other value one object.
    dilate : int
        Not negative.

    Returns
    -------
    grown : ndarray of uint16, shape (H, W)
        With the same labels; what was given if there is nothing to grow.
    """
    if not dilate or not instances.any():
        return instances
    from scipy.ndimage import distance_transform_edt  # not at the top: often nothing is to grow

    found = distance_transform_edt(instances == 0, return_distances=False, return_indices=True)
    nearest = cast("np.ndarray", found)  # (2, H, W) int32; its type depends on arguments
    grown, column = np.empty_like(instances), np.arange(instances.shape[1])
    for top in range(0, len(instances), STRIP):  # since distances of all take 40 bytes a pixel
        rows, columns = nearest[:, top : top + STRIP]
        down = rows - np.arange(top, top + len(rows))[:, None]
        near = down**2 + (columns - column) ** 2 <= dilate**2
        grown[top : top + STRIP] = np.where(near, instances[rows, columns], 0)
    return grown


def _small_regions(
    masks: np.ndarray, most: int, connectivity: int, *, at_edge: bool = True
) -> np.ndarray:
    """Regions of at most `most` pixels, bool (K, H, W); at the image edge only if asked."""
    regions = _framed_labels(masks, connectivity)
    starts, areas = _runs(regions)
    small = areas <= most
    small[0] = False  # what is not in the mask
    if not at_edge:
        for edge in (regions[:, 0], regions[:, -2], regions[..., 0], regions[..., -1]):
            small[edge] = False
    of_run = small[regions.ravel()[starts]]
    return np.repeat(of_run, np.diff(starts, append=regions.size)).reshape(regions.shape)[:, :-1]


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where runs of one label begin in the flat map, and the pixels of each label.

    Of objects there are far fewer runs than pixels, and NumPy counts and looks up with 8 bytes for
    each that it is given, which a large image has no memory for.
    """
    flat = labels.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    starts = np.concatenate([np.zeros(1, np.int64), changes + 1])
    lengths = np.diff(starts, append=flat.size)
    return starts, np.bincount(flat[starts], weights=lengths).astype(np.int64)
