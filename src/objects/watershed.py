"""Objects that touch, parted by flooding a map from seeds."""

from collections.abc import Mapping

import numpy as np
from skimage.segmentation import watershed

from src.base.errors import InputError
from src.objects.objects import connected_labels

SEED_HEADS = {"border": "border", "contact": "contact", "distance": "boundary_distance"}


def seed_map(maps: Mapping[str, np.ndarray], seeds: str) -> np.ndarray:
    """Return the map that is high in the middle of objects and low where they touch.

    Parameters
    ----------
    maps : mapping of str to ndarray of uint8, shape (H, W)
        Value * 255 of every head there is, the mask among them.
    seeds : {"mask", "border", "contact", "distance"}
        The probability of the mask; this times that of no border; of no contact; the head
        boundary_distance as it is.

    Returns
    -------
    seed_map : ndarray of uint8, shape (H, W)
        Value * 255.

    Raises
    ------
    InputError
        If the head that `seeds` asks for is not there.
    ValueError
        If `seeds` is unknown.
    """
    if seeds == "mask":
        return maps["mask"]
    if seeds not in SEED_HEADS:
        raise ValueError(f"seeds '{seeds}' are unknown; known: mask, {', '.join(SEED_HEADS)}")
    head = SEED_HEADS[seeds]
    if head not in maps:
        raise InputError(
            f"params.yaml: postprocess.seeds {seeds} needs the head {head}, but there are maps of "
            f"{', '.join(maps)} alone; train a network with loss.{head}_weight above 0 or choose "
            "other seeds"
        )
    if seeds == "distance":
        return maps[head]
    inside = maps["mask"].astype(np.uint16) * (255 - maps[head].astype(np.uint16))
    return ((inside + 127) // 255).astype(np.uint8)


def watershed_labels(
    region: np.ndarray,
    seed_map: np.ndarray,
    *,
    seed_threshold: float,
    seed_area: int,
    connectivity: int,
) -> np.ndarray:
    """Part a region into objects, each flooded from one seed downwards.

    A seed is a connected part of the region where `seed_map` is at least `seed_threshold`. Where
    the floods of two seeds meet is the boundary of their objects.

    Parameters
    ----------
    region : ndarray of bool, shape (H, W)
        What belongs to objects.
    seed_map : ndarray of uint8, shape (H, W)
        Value * 255, as of the function `seed_map`.
    seed_threshold : float
        In (0, 1].
    seed_area : int
        Seeds of fewer pixels are dropped.
    connectivity : {4, 8}
        Of seeds, floods and the region.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        0 outside the region and nowhere else; each connected part of the region without a seed is
        an object of its own, so that small objects do not vanish.
    """
    seeds = connected_labels(region & (seed_map >= seed_threshold * 255), connectivity)
    areas = np.bincount(seeds.ravel())
    large = areas >= seed_area
    large[0] = False  # no seed
    seeds = np.where(large, np.cumsum(large), 0).astype(np.int32)[seeds]
    parts = connected_labels(region, connectivity)
    where = np.flatnonzero(seeds)
    part, seed = parts.ravel()[where], seeds.ravel()[where]
    seed_of = np.zeros(int(parts.max()) + 1, np.int32)
    seed_of[part] = seed
    if (seed_of[part] == seed).all():  # no flood meets another
        labels = seed_of[parts]
    else:
        elevation = 255 - seed_map  # floods rise from the highest values of the map
        steps = 1 if connectivity == 4 else 2
        labels = watershed(elevation, seeds, mask=region, connectivity=steps).astype(np.int32)
    unseeded = connected_labels(region & (labels == 0), connectivity)
    return np.where(unseeded, unseeded + large.sum(), labels).astype(np.int32)
