"""Which images touch or overlap on the ground, and where they lie in the mosaic that they make."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely

from src.mosaics.families import components
from src.mosaics.runs import Area

Place = tuple[float | str, ...]


class Mosaic(NamedTuple):
    """Images that hang together on the ground, or one that does with no other."""

    members: list[int]  # their positions among all, ascending
    areas: list[Area]  # of each member, the pixels of the mosaic that it fills
    height: int  # px
    width: int
    place: Place | None  # on the map, as src.image_files.geotransforms has it


def find_mosaics(places: Sequence[Place | None], sizes: Sequence[tuple[int, int]]) -> list[Mosaic]:
    """Put images together that touch or overlap on the ground.

    Parameters
    ----------
    places : sequence of tuple or None
        On the map, as `src.image_files.geotransforms` has them.
    sizes : sequence of (int, int)
        Heights and widths of the same images, px.

    Returns
    -------
    mosaics : list of Mosaic
        By their first members; each image is in one. Only images of one coordinate system and one
        pixel size, upright on the map, are put together. An image comes to lie on the whole pixel
        of the first one's grid that is nearest, half a pixel off at most.
    """
    grids: dict[tuple, list[int]] = {}
    for number, place in enumerate(places):
        grids.setdefault(_grid(place) or (number,), []).append(number)
    mosaics = []
    for numbers in grids.values():
        corners = np.array([_offset(places[numbers[0]], places[number]) for number in numbers])
        shapes = np.array([sizes[number] for number in numbers]).reshape(-1, 2)
        for part in _touching(corners, shapes):
            members = [numbers[position] for position in part]
            mosaics.append(_mosaic(members, corners[part], shapes[part], places[members[0]]))
    return sorted(mosaics)


def _grid(place: Place | None) -> tuple | None:
    """Return coordinate system and pixel size, of an image upright on a known map."""
    if place is None or not place[-1] or place[2] or place[4]:
        return None
    return place[-1], f"{place[1]:.6g}", f"{place[5]:.6g}"


def _offset(one: Place | None, other: Place | None) -> tuple[int, int]:
    """Return row and column, in the first image, of the first pixel of the other."""
    if one is other or one is None or other is None:
        return 0, 0
    x0, xc, _, y0, _, yr = map(float, one[:6])
    x, _, _, y, _, _ = map(float, other[:6])
    return round((y - y0) / yr), round((x - x0) / xc)


def _touching(corners: np.ndarray, sizes: np.ndarray) -> list[list[int]]:
    """Part images, by (row, column) and (H, W), into those that hang together by edges."""
    if len(corners) == 1:
        return [[0]]
    low, high = corners, corners + sizes
    boxes = shapely.box(low[:, 1], low[:, 0], high[:, 1], high[:, 0])
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    apart = np.maximum(low[one] - high[other], low[other] - high[one])
    edge = apart.min(axis=1) < 0  # else they meet at a corner
    part = components(np.stack([one[edge], other[edge]], axis=1), len(boxes))
    return [np.flatnonzero(part == number).tolist() for number in range(part.max() + 1)]


def _mosaic(
    members: list[int], corners: np.ndarray, sizes: np.ndarray, place: Place | None
) -> Mosaic:
    """Lay images out from the most northern row and the most western column of them all."""
    if len(members) == 1:
        height, width = sizes[0].tolist()
        return Mosaic(members, [Area(0, height, 0, width)], height, width, place)
    top, left = corners.min(axis=0)
    first_row, first_column = (corners[0] - (top, left)).tolist()
    low = corners - (top, left)
    high = low + sizes
    areas = [Area(*ends) for ends in np.stack([low, high], axis=2).reshape(-1, 4).tolist()]
    height, width = high.max(axis=0).tolist()
    x0, xc, xr, y0, yc, yr = map(float, (place or ())[:6])
    place = (x0 - first_column * xc, xc, xr, y0 - first_row * yr, yc, yr, (place or ("",))[-1])
    return Mosaic(members, areas, height, width, place)
