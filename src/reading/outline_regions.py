"""Polygons with holes and of several parts as regions of pixels."""

import numpy as np
import shapely

from src.reading.regions import Region, joined, region_of
from src.reading.segmentations import read_segmentation

NO_RUNS = np.empty((0, 2), np.int64)
POLYGON = 3  # shapely's number of the type


def polygons_of(shape) -> list:
    """Return the polygons in a geometry of any type, those with an area alone."""
    parts = shapely.get_parts(shapely.get_parts([shape]))  # of a collection of collections too
    return [part for part in parts if shapely.get_type_id(part) == POLYGON and part.area > 0]


def made_valid(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mend geometries that the OGC's rules call invalid, such as outlines that cross themselves.

    Parameters
    ----------
    shapes : ndarray of geometries, shape (N,)

    Returns
    -------
    shapes : ndarray of geometries, shape (N,)
        Those that were valid as they are. What an outline goes round is filled.
    repaired : ndarray of bool, shape (N,)
    """
    repaired = ~shapely.is_valid(shapes)
    shapes = np.array(shapes, object)
    with np.errstate(all="ignore"):  # of sides so long or short that their squares are no numbers
        shapes[repaired] = shapely.make_valid(
            shapes[repaired], method="structure", keep_collapsed=False
        )
    return shapes, repaired


def outline_region(polygons: list, height: int, width: int) -> Region:
    """Rasterise polygons as the official COCO tools do, their holes cut out in the same way.

    Parameters
    ----------
    polygons : list of shapely Polygon
        In px from the upper left corner of the image; may reach over its edges. What lies in one of
        them and not in its holes is the region's.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    region : Region
        Without runs where no pixel is covered.

    Raises
    ------
    InputError
        With the reason alone, if an outline is too long.
    """
    found = [NO_RUNS]
    for polygon in polygons:
        outer = _runs([polygon.exterior], height, width)
        inner = _runs(list(polygon.interiors), height, width)
        found.append(joined(outer, inner) if inner.size else outer)
    runs = found[1] if len(found) == 2 else joined(np.concatenate(found), NO_RUNS)
    return region_of(runs, height)


def _runs(rings: list, height: int, width: int) -> np.ndarray:
    flat = [shapely.get_coordinates(ring)[:-1].ravel().tolist() for ring in rings]
    return read_segmentation(flat, height, width)[0].runs
