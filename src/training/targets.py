"""The uint8 planes that training losses read: the target, distances, what further heads learn."""

import cv2
import numpy as np

from src.label_maps.labels import IGNORE, IGNORED
from src.training.inside_distances import inside_distances


def plane_names(heads: list[str], *, soft: bool = False, ids: bool = False) -> tuple[str, ...]:
    """Name the planes of a training image, in their order.

    Parameters
    ----------
    heads : list of str
        Of the network: mask, border, contact, boundary_distance, embedding, empty.
    soft : bool
        Whether the mask learns a probability.
    ids : bool
        Whether objects are told apart, for the head "embedding" or a score of objects.

    Returns
    -------
    names : tuple of str
        target: 0 background, 1 object, 255 ignored. d1, d2: distances to the two nearest objects
        in quarter pixels. sqrt_area: of the object, in pixels. Where they are needed, inside and
        inside_relative: see `src.training.inside_distances`; id_low, id_high: bytes of the instance
        label. soft: the probability of the mask * 255.
    """
    names = ["target", "d1", "d2", "sqrt_area"]
    if "border" in heads or "boundary_distance" in heads:
        names += ["inside", "inside_relative"]
    if ids or "embedding" in heads:
        names += ["id_low", "id_high"]
    return tuple([*names, "soft"] if soft else names)


def training_planes(
    instances: np.ndarray,
    weights: np.ndarray,
    soft: np.ndarray | None,
    names: tuple[str, ...],
) -> np.ndarray:
    """Make the planes of a whole image.

    Parameters
    ----------
    instances : ndarray of uint16, shape (H, W)
        0 background, 1..N objects, 65535 ignored.
    weights : ndarray of uint8, shape (H, W, 3)
        As `src.label_maps.distances.weight_planes` returns them: d1, d2, sqrt_area.
    soft : ndarray of uint8, shape (H, W) or (H, W, 1), or None
        The probability of the mask * 255; None makes it of the target, 0 or 255.
    names : tuple of str
        Of `plane_names`.

    Returns
    -------
    planes : ndarray of uint8, shape (H, W, len(names))
    """
    target = training_target(instances)
    planes = [target, weights]
    if "inside" in names:
        planes += list(inside_distances(instances))
    if "id_low" in names:
        planes += [(instances & 255).astype(np.uint8), (instances >> 8).astype(np.uint8)]
    if "soft" in names:
        planes.append((target == 1) * np.uint8(255) if soft is None else soft)
    return cv2.merge(planes)


def training_target(instances: np.ndarray) -> np.ndarray:
    """Turn instances, uint16 (H, W), into 0 background, 1 object, 255 ignored, uint8 (H, W)."""
    target = (instances > 0).astype(np.uint8)
    target[instances == IGNORE] = IGNORED
    return target
