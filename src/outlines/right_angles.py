"""Outlines of buildings turned into ones with right angles."""

from typing import NamedTuple

import numpy as np

from src.outlines.polygons import fill_polygons, is_valid, simplify_polygon

LEAST_TOLERANCE = 2.0  # px; closer than that the steps between pixels hide how a wall runs
LEAST_IOU = 0.8
PIXEL_VARIANCE = 1 / 12  # px^2, about what a straight edge has after rounding to pixels


class Walls(NamedTuple):
    """The n walls of a ring, alternately along the first and the second axis."""

    along: np.ndarray  # (n,) int64, axis that the wall runs along: 0 or 1
    place: np.ndarray  # (n,) float64, px, where it lies on the other axis
    length: np.ndarray  # (n,) float64, px, the weight of its place


def square_polygon(rings: list[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Replace a polygon by one whose walls all run along its main direction or square to it.

    The outline falls into pieces at the corners of its simplified form. The main direction is the
    mean over the pieces of the outer ring, of the angles of the lines fitted to them modulo 90
    degrees, weighted by how certain they are (cubed length by variance). Each piece becomes a
    straight wall along the nearer axis, placed so that the areas at its two sides balance;
    neighbours along the same axis are merged, and so are the neighbours of a wall shorter than
    the tolerance, shortest first.

    Parameters
    ----------
    rings : list of ndarray of int64, shape (n, 2)
        A polygon of `src.outlines.polygons.trace_polygons`.
    tolerance : float
        px, of the simplification before; at least `LEAST_TOLERANCE` is taken.

    Returns
    -------
    squared : list of ndarray of float64, shape (m, 2)
        As many rings, every angle a right one. Where that is no valid polygon, or its IoU with
        the pixels of the given one is below `LEAST_IOU`: `simplify_polygon` at the tolerance
        asked for.
    """
    least = max(tolerance, LEAST_TOLERANCE)
    simplified = simplify_polygon(rings, least)
    angle = _main_direction(rings[0], _places(rings[0], simplified[0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    squared = []
    for ring, corners in zip(rings, simplified, strict=True):
        walls = _merge_walls(_find_walls(ring @ turn, _places(ring, corners)), least)
        if len(walls.along) < 4:
            return simplify_polygon(rings, tolerance)
        squared.append(_corners(walls))
    if not is_valid(squared):
        return simplify_polygon(rings, tolerance)
    squared = [ring @ turn.T for ring in squared]
    if _iou(rings, squared) < LEAST_IOU:
        return simplify_polygon(rings, tolerance)
    return squared


def _main_direction(ring: np.ndarray, places: np.ndarray) -> float:
    """Return the angle, in radians, by which the pieces of a ring are turned from the axes."""
    run, middle, starts = _pieces(ring, places)
    weight = np.hypot(*run.T)[:, None]
    total = np.add.reduceat(weight, starts)
    centre = np.add.reduceat(weight * middle, starts) / total
    off = middle - np.repeat(centre, np.diff(starts, append=len(run)), axis=0)
    products = np.stack([off[:, 0] ** 2, off[:, 1] ** 2, off[:, 0] * off[:, 1]], axis=1)
    xx, yy, xy = (np.add.reduceat(weight * products, starts) / total).T
    direction = np.arctan2(2 * xy, xx - yy) / 2  # of the line with the least squared distances
    residual = np.maximum((xx + yy - np.hypot(xx - yy, 2 * xy)) / 2, 0)  # mean squared distance
    length = np.hypot(*np.add.reduceat(run, starts).T)
    certainty = length**3 / (residual + PIXEL_VARIANCE)
    return float(np.angle(np.sum(certainty * np.exp(4j * direction)))) / 4


def _pieces(ring: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of a ring from the first place on, their middles, where pieces start."""
    after = np.roll(ring, -1, axis=0)
    run, middle = np.roll([after - ring, (after + ring) / 2], -places[0], axis=1)
    return run, middle, places - places[0]


def _places(ring: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return where in a ring the points of its simplified form are, ascending."""
    place = {point: index for index, point in enumerate(map(tuple, ring.tolist()))}
    return np.sort([place[point] for point in map(tuple, corners.tolist())])


def _find_walls(ring: np.ndarray, places: np.ndarray) -> Walls:
    """Make a wall of each piece of the ring between two of the places."""
    run, middle, starts = _pieces(ring, places)
    reach = np.add.reduceat(run, starts)
    weighed = np.add.reduceat(run * middle[:, ::-1], starts)  # of x: the integral of y dx
    along = (np.abs(reach[:, 1]) > np.abs(reach[:, 0])).astype(np.int64)
    rows = np.arange(len(along))
    return Walls(along, weighed[rows, along] / reach[rows, along], np.abs(reach[rows, along]))


def _merge_walls(walls: Walls, shortest: float) -> Walls:
    """Merge neighbours along one axis, then drop short walls, until none is left of either."""
    along, place, length = (list(column.tolist()) for column in walls)
    while len(along) > 1:
        count = len(along)
        same = [i for i in range(count) if along[i] == along[(i + 1) % count]]
        if same:
            one, other = same[0], (same[0] + 1) % count
            total = length[one] + length[other]
            place[one] = (place[one] * length[one] + place[other] * length[other]) / total
            length[one] = total
            del along[other], place[other], length[other]
            continue
        reach = [abs(place[(i + 1) % count] - place[i - 1]) for i in range(count)]
        least = min(range(count), key=reach.__getitem__)
        if count <= 4 or reach[least] >= shortest:
            break
        del along[least], place[least], length[least]
    return Walls(np.array(along), np.array(place), np.array(length))


def _corners(walls: Walls) -> np.ndarray:
    """Intersect each wall with the one before it."""
    before = np.roll(walls.place, 1)
    # A wall along axis 0 has its place on axis 1.
    x = np.where(walls.along == 0, before, walls.place)
    y = np.where(walls.along == 0, walls.place, before)
    return np.stack([x, y], axis=1)


def _iou(rings: list[np.ndarray], squared: list[np.ndarray]) -> float:
    low = np.floor(np.minimum(rings[0].min(axis=0), squared[0].min(axis=0)))
    width, height = np.ceil(np.maximum(rings[0].max(axis=0), squared[0].max(axis=0)) - low)
    masks = [
        fill_polygons([[ring - low for ring in polygon]], int(height), int(width))
        for polygon in (rings, squared)
    ]
    return np.count_nonzero(masks[0] & masks[1]) / np.count_nonzero(masks[0] | masks[1])
