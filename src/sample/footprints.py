"""Building outlines as polygons: cut at a tile's edge, turned, rasterised, written for COCO."""

from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

FORMS = ("polygon", "rle", "counts")  # a list of polygons, compressed RLE, uncompressed RLE


class Footprint(NamedTuple):
    """The ground one building covers; x to the right, y down, pixel i spans [i, i + 1]."""

    parts: list[np.ndarray]  # outer polygons, each float64 (N, 2)
    holes: list[np.ndarray]  # polygons inside them, each float64 (N, 2)


def polygon_area(points: np.ndarray) -> float:
    """Return the area of a simple polygon (N, 2), whichever way round it runs."""
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def cut_footprint(
    footprint: Footprint, left: float, top: float, size: float, min_area: float
) -> Footprint | None:
    """Cut a footprint out for a square tile.

    Parameters
    ----------
    footprint : Footprint
        In the coordinates of the scene.
    left, top : float
        Upper left corner of the tile, px.
    size : float
        Side of the tile, px.
    min_area : float
        A part smaller than this is left out, px; it is compared before holes are subtracted.

    Returns
    -------
    footprint : Footprint or None
        In the coordinates of the tile, in several parts if the edge cuts the building in pieces;
        None if nothing of at least `min_area` is inside.
    """
    parts = [p for outer in footprint.parts for p in _clip(outer - (left, top), size)]
    parts = [part for part in parts if polygon_area(part) >= min_area]
    holes = [h for hole in footprint.holes for h in _clip(hole - (left, top), size)]
    return Footprint(parts, holes) if parts else None


def turn_footprint(footprint: Footprint, size: float, view: int) -> Footprint:
    """Turn a footprint in a square tile as `turn_image` turns the tile."""

    def turn(points):
        x, y = points.T
        if view >= 4:
            x = size - x
        for _ in range(view % 4):
            x, y = y, size - x
        return np.stack([x, y], axis=1)

    return Footprint([turn(p) for p in footprint.parts], [turn(h) for h in footprint.holes])


def turn_image(image: np.ndarray, view: int) -> np.ndarray:
    """Return one of the eight views of an image: `view` quarter turns, mirrored first from 4 on."""
    mirrored = image[:, ::-1] if view >= 4 else image
    return np.ascontiguousarray(np.rot90(mirrored, view % 4))


def rasterise(footprint: Footprint, height: int, width: int) -> np.ndarray:
    """Return the mask, bool (H, W), of a footprint as COCO's tools fill polygons."""

    def fill(polygons):
        if not polygons:
            return np.zeros((height, width), bool)
        rles = coco_mask.frPyObjects([p.ravel().tolist() for p in polygons], height, width)
        return coco_mask.decode(coco_mask.merge(rles)).astype(bool)

    return fill(footprint.parts) & ~fill(footprint.holes)


def annotate(footprint: Footprint, height: int, width: int, form: str) -> dict:
    """Return the `segmentation`, `area` and `bbox` of a COCO annotation.

    Parameters
    ----------
    footprint : Footprint
        Inside the image.
    height, width : int
        Of the image, px.
    form : {"polygon", "rle", "counts"}
        List of polygons (rounded to hundredths of a pixel), compressed or uncompressed RLE.

    Returns
    -------
    annotation : dict
        Area (px) and bbox (XYWH, px) of the polygons, or of the RLE's pixels.

    Raises
    ------
    ValueError
        If the form is unknown, or polygons are asked for a footprint with holes: COCO's lists of
        polygons know none.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form '{form}'; known: {', '.join(FORMS)}")
    if form == "polygon":
        return _annotate_polygons(footprint)
    mask = rasterise(footprint, height, width)
    rle: Any = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    counts = _counts(mask) if form == "counts" else rle["counts"].decode()
    return {
        "segmentation": {"size": [height, width], "counts": counts},
        "area": float(mask.sum()),
        "bbox": coco_mask.toBbox(rle).tolist(),
    }


def _annotate_polygons(footprint: Footprint) -> dict:
    if footprint.holes:
        raise ValueError("a list of polygons cannot hold a footprint with holes")
    parts = [np.round(part, 2) for part in footprint.parts]
    corners = np.concatenate(parts)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return {
        "segmentation": [part.ravel().tolist() for part in parts],
        "area": round(sum(polygon_area(part) for part in parts), 2),
        "bbox": [round(value, 2) for value in (*low.tolist(), *(high - low).tolist())],
    }


def _counts(mask: np.ndarray) -> list[int]:
    column = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(column, prepend=False))
    return np.diff(edges, prepend=0, append=column.size).tolist()


def _clip(points: np.ndarray, size: float) -> list[np.ndarray]:
    """Cut a simple polygon to the square [0, size]^2, side by side."""
    pieces = [points]
    for axis, sign, limit in ((0, 1, 0.0), (0, -1, size), (1, 1, 0.0), (1, -1, size)):
        pieces = [q for p in pieces for q in _keep_side(p, axis, sign, limit)]
    return pieces


def _keep_side(points: np.ndarray, axis: int, sign: int, limit: float) -> list[np.ndarray]:
    """Keep of a simple polygon the pieces where sign * (coordinate - limit) >= 0.

    The outline crosses the line an even number of times. Sorted along the line, crossings 0 and 1,
    2 and 3, ... bound the stretches inside the polygon: each run of kept corners ends where one
    such stretch begins, and goes on from its other end.
    """
    inside = sign * (points[:, axis] - limit) >= 0
    if inside.all() or not inside.any():
        return [points] if inside.all() else []
    entry = int(np.flatnonzero(inside & ~np.roll(inside, 1))[0])
    points, inside = np.roll(points, -entry, axis=0), np.roll(inside, -entry)
    runs = []  # (crossing in, kept corners, crossing out)
    for start in np.flatnonzero(inside & ~np.roll(inside, 1)):
        stop = start + int(np.argmin(np.append(inside[start:], False)))
        way_in = _crossing(points[start - 1], points[start], axis, limit)
        way_out = _crossing(points[stop - 1], points[stop % len(points)], axis, limit)
        runs.append((way_in, points[start:stop], way_out))
    places = [run[0][1 - axis] for run in runs] + [run[2][1 - axis] for run in runs]
    order = np.argsort(places, kind="stable").tolist()
    partner = {
        a: b for i in range(0, len(order), 2) for a, b in (order[i : i + 2], order[i : i + 2][::-1])
    }
    pieces, todo = [], set(range(len(runs)))
    while todo:
        current, corners = min(todo), []
        while current in todo:
            todo.remove(current)
            way_in, kept, way_out = runs[current]
            corners += [way_in, *kept, way_out]
            current = partner[current + len(runs)]  # a way out leads to a way in
        pieces.append(np.array(corners))
    return pieces


def _crossing(a: np.ndarray, b: np.ndarray, axis: int, limit: float) -> np.ndarray:
    point = a + (b - a) * (limit - a[axis]) / (b[axis] - a[axis])
    point[axis] = limit
    return point
