"""Outlines of objects of a scene as valid polygons, in px."""

from typing import cast

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from src.mosaics.runs import Area, clip_runs, count_pixels, runs_area, runs_mask
from src.outlines.polygons import simplify_polygon, trace_polygons
from src.outlines.right_angles import square_polygon

LARGEST = 1 << 24  # px of a box that is drawn at once
MOST_CHANGED = 0.25  # share of its area that an object may lose or gain


def object_outline(
    runs: np.ndarray, height: int, *, simplify: float, right_angles: bool
) -> MultiPolygon:
    """Trace the outline of an object.

    Parameters
    ----------
    runs : ndarray of int64, shape (R, 2)
        At least one pixel; see `src.mosaics.runs`.
    height : int
        Of the scene, px.
    simplify : float
        px; 0 keeps every corner. Else steps of a pixel are cut off through the middles of their
        sides, which makes lines of the stairs of slanting edges, and the outline is simplified by
        so much (`src.outlines.polygons.simplify_polygon`).
    right_angles : bool
        Whether walls become square to each other, see `src.outlines.right_angles`.

    Returns
    -------
    outline : MultiPolygon
        Valid, in px from the upper left corner of the scene, y down; a polygon for each part (4
        neighbours). Not simplified where polygons of parts would cross each other, the area would
        change by more than `MOST_CHANGED`, or the object's box has more than `LARGEST` px.
    """
    area = runs_area(runs, height)
    if (area.bottom - area.top) * (area.right - area.left) > LARGEST:
        return _large_outline(runs, height, area)
    polygons = trace_polygons(runs_mask(runs, height, area))
    corner = np.array([area.left, area.top])
    if right_angles:
        shaped = [square_polygon(rings, simplify) for rings in polygons]
    else:
        shaped = [_slanted(rings, simplify) if simplify else rings for rings in polygons]
    outline = _multipolygon(shaped, corner)
    pixels = count_pixels(runs)
    if outline.is_valid and abs(outline.area - pixels) <= MOST_CHANGED * pixels:
        return outline
    return _multipolygon(polygons, corner)


def _slanted(rings: list[np.ndarray], simplify: float) -> list[np.ndarray]:
    """Simplify a polygon; in half pixels meanwhile, so that middles of sides are whole numbers."""
    halves = simplify_polygon([_middles(ring) for ring in rings], 2 * simplify)
    return [ring / 2 for ring in halves]


def _middles(ring: np.ndarray) -> np.ndarray:
    """Return the middles of the sides of a ring, and its corners but those of steps, in half px.

    A step is a side of one pixel at whose ends the ring turns to opposite sides.
    """
    side = np.roll(ring, -1, axis=0) - ring
    before = np.roll(side, 1, axis=0)
    turn = np.sign(before[:, 0] * side[:, 1] - before[:, 1] * side[:, 0])
    step = (np.abs(side).sum(axis=1) == 1) & (turn != np.roll(turn, -1))
    corner = ~step & ~np.roll(step, 1)
    points = np.stack([2 * ring, 2 * ring + side], axis=1)
    return points[np.stack([corner, np.full(len(ring), True)], axis=1)]


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
