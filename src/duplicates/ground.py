"""Images that show the same ground, by where they lie on the map."""

import numpy as np
import shapely

from src.image_files.geotransforms import to_map


def find_overlaps(
    names: list[str], sizes: np.ndarray, places: dict[str, tuple], overlap: float
) -> np.ndarray:
    """Find images whose footprints on the map overlap.

    Parameters
    ----------
    names : list of str
        Of the images.
    sizes : ndarray of int, shape (N, 2)
        Their (H, W), in px.
    places : dict of str to tuple of 6 float and a str
        By name, as `src.image_files.geotransforms` reads them; an image without one lies nowhere.
        Only images of one coordinate system are compared; one that is not named is one of its own.
    overlap : float
        Share of the smaller footprint, in [0, 1), that must be exceeded.

    Returns
    -------
    pairs : ndarray of int64, shape (P, 2)
        Numbers of images, the lower first, sorted; P may be 0.
    """
    systems: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        if name in places:
            systems.setdefault(places[name][-1], []).append(number)
    pairs = [np.empty((0, 2), np.int64)]
    for numbers in map(np.array, systems.values()):
        corners = [_corners(sizes[number], places[names[number]]) for number in numbers]
        footprints = np.asarray(shapely.polygons(corners))
        pairs.append(numbers[_overlapping(footprints, overlap)])
    pairs = np.concatenate(pairs)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _corners(size: np.ndarray, place: tuple) -> np.ndarray:
    height, width = size
    return to_map(np.array([[0, 0], [width, 0], [width, height], [0, height]]), place)


def _overlapping(footprints: np.ndarray, overlap: float) -> np.ndarray:
    """Pair footprints that share more than `overlap` of the smaller: int64 (P, 2)."""
    one, other = shapely.STRtree(footprints).query(footprints, predicate="intersects")
    one, other = one[one < other], other[one < other]
    areas = shapely.area(footprints)
    shared = shapely.area(shapely.intersection(footprints[one], footprints[other]))
    enough = shared > overlap * np.minimum(areas[one], areas[other])
    return np.stack([one[enough], other[enough]], axis=1)
