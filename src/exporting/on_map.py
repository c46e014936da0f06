"""Outlines in px brought to the map."""

import numpy as np
import shapely

from src.image_files.geotransforms import to_map


def on_map(outlines: np.ndarray, place: tuple[float | str, ...]) -> np.ndarray:
    """Bring outlines in px to the map; outer rings run anticlockwise there.

    Parameters
    ----------
    outlines : ndarray of MultiPolygon
    place : tuple of 6 float and a str
        See `src.image_files.geotransforms`.
    """
    moved = shapely.transform(outlines, lambda points: to_map(points, place))
    return shapely.orient_polygons(moved, exterior_cw=False)
