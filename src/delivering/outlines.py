"""Outlines of objects of a scene as valid polygons, in px and on the map."""

from typing import cast

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from src.exporting.polygons import simplify_polygon, trace_polygons
from src.exporting.right_angles import square_polygon
from src.image_files.geotransforms import to_map
from src.scenes.runs import Area, clip_runs, runs_area, runs_mask

LARGEST = 1 << 24  # px of a box that is drawn at once


def object_outline(
    runs: np.ndarray, height: int, *, simplify: float, right_angles: bool
) -> MultiPolygon:
    """Trace the outline of an object.

    Parameters
    ----------
    runs : ndarray of int64, shape (R, 2)
        At least one pixel; see `src.scenes.runs`.
    height : int
        Of the scene, px.
    simplify : float
        px, as for `src.exporting.polygons.simplify_polygon`.
    right_angles : bool
        Whether walls become square to each other, see `src.exporting.right_angles`.

    Returns
    -------
    outline : MultiPolygon
        Valid, in px from the upper left corner of the scene, y down; a polygon for each part (4
        neighbours). Where polygons of simplified parts would cross each other the outline is not
        simplified; nor is it where the object's box has more than `LARGEST` px.
    """
    area = runs_area(runs, height)
    if (area.bottom - area.top) * (area.right - area.left) > LARGEST:
        return _large_outline(runs, height, area)
    polygons = trace_polygons(runs_mask(runs, height, area))
    corner = np.array([area.left, area.top])
    if simplify or right_angles:
        shape = square_polygon if right_angles else simplify_polygon
        outline = _multipolygon([shape(rings, simplify) for rings in polygons], corner)
        if outline.is_valid:
            return outline
    return _multipolygon(polygons, corner)


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


def _multipolygon(polygons: list[list[np.ndarray]], corner: np.ndarray) -> MultiPolygon:
    parts = [[ring + corner for ring in rings] for rings in polygons]
    return MultiPolygon([Polygon(rings[0], rings[1:]) for rings in parts])


def _large_outline(runs: np.ndarray, height: int, area: Area) -> MultiPolygon:
    """Trace an object strip by strip and unite the polygons, which is exact: all is in whole px."""
    step = max(LARGEST // (area.right - area.left), 1)
    parts: list[Polygon] = []
    for top in range(area.top, area.bottom, step):
        strip = clip_runs(runs, height, area._replace(top=top, bottom=min(top + step, area.bottom)))
        if len(strip):
            inside = runs_area(strip, height)
            polygons = trace_polygons(runs_mask(strip, height, inside))
            corner = np.array([inside.left, inside.top])
            parts += list(_multipolygon(polygons, corner).geoms)
    united: BaseGeometry = shapely.union_all(parts)
    geometries = united.geoms if isinstance(united, MultiPolygon) else [united]
    return MultiPolygon(cast("list[Polygon]", list(geometries)))
