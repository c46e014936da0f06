"""Outlines that cross themselves: noticed, and filled wherever they go around."""

from typing import NamedTuple

import numpy as np
import shapely

SCALE = 5  # COCO's rasteriser follows an outline in steps of a fifth of a pixel
STEPS = 2**20  # of them at a time


class _Lines(NamedTuple):
    """The n sides of an outline in fifths of a pixel, whole numbers."""

    low: np.ndarray  # (n, 2) int64, the end with the smaller coordinate `along`
    slopes: np.ndarray  # (n,) float64, what a step changes of the other coordinate
    along: np.ndarray  # (n,) int64, in which coordinate a step is 1: 0 is x, 1 is y
    flip: np.ndarray  # (n,) bool, the outline goes towards `low`
    lengths: np.ndarray  # (n,) int64, points
    begins: np.ndarray  # (n,) int64, number of its first point in the outline


def is_simple(polygon: list[float]) -> bool:
    """Tell whether an outline neither crosses nor touches itself.

    Parameters
    ----------
    polygon : list of float
        [x1, y1, x2, y2, ...], finite; at least three points.

    Returns
    -------
    simple : bool
        Also False for an outline without area.
    """
    return bool(shapely.is_valid(shapely.polygons(np.asarray(polygon, np.float64).reshape(-1, 2))))


def winding_runs(polygon: list[float], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Count how often an outline goes around each pixel.

    Follows the outline exactly as the official COCO tools do, which fill the pixels that it goes
    around an odd number of times, and so leave a hole where it goes around twice.

    Parameters
    ----------
    polygon : list of float
        [x1, y1, x2, y2, ...] in pixels, at least three points; may lie outside the image.
    height, width : int
        Of the image, in pixels; at least 1.

    Returns
    -------
    runs : ndarray of int64, shape (R, 2)
        First pixel of each run and the one after its last, in column-major order. Where one
        ends the next may begin.
    windings : ndarray of int64, shape (R,)
        How often the outline goes around the pixels of each run: never 0, and negative if
        counter-clockwise as one sees it.
    """
    places, signs = _crossings(polygon, height, width)
    places, inverse = np.unique(places, return_inverse=True)
    windings = np.cumsum(np.bincount(inverse, signs, len(places)).astype(np.int64))
    runs = np.stack([places[:-1], places[1:]], axis=1)
    inside = np.flatnonzero(windings[:-1])  # the last is 0: a closed line comes back
    return runs[inside], windings[inside]


def crosses_itself(runs: np.ndarray, windings: np.ndarray) -> bool:
    """Tell whether an outline crosses itself, by what `winding_runs` returns.

    One that does not goes around all pixels once and in the same direction. That holds for one
    that merely touches itself, runs along itself or has a spike without width. What crosses by
    too little to show in a pixel does not count.
    """
    return windings.size > 0 and bool((windings != windings[0]).any() or abs(windings[0]) > 1)


def _crossings(polygon: list[float], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where an outline crosses columns, as pixel numbers, and in which direction, +-1."""
    lines = _lines(polygon)
    count, found = int(lines.begins[-1] + lines.lengths[-1]), []
    for first in range(0, count, STEPS):
        steps = np.arange(max(first - 1, 0), min(first + STEPS, count))
        found.append(_columns_crossed(_followed(lines, steps), height, width))
    places, signs = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(signs)


def _lines(polygon: list[float]) -> _Lines:
    corners = np.asarray(polygon, np.float64).reshape(-1, 2)
    starts = (SCALE * corners + 0.5).astype(np.int64)  # truncated, as COCO's tools do
    stops = np.roll(starts, -1, axis=0)
    number, extent = np.arange(len(starts)), np.abs(stops - starts)
    along = (extent[:, 0] < extent[:, 1]).astype(np.int64)
    flip = stops[number, along] < starts[number, along]  # a line is the same both ways
    low, high = np.where(flip[:, None], (stops, starts), (starts, stops))
    length = extent.max(axis=1)
    rise = high[number, 1 - along] - low[number, 1 - along]
    slopes = rise / np.maximum(length, 1)
    return _Lines(low, slopes, along, flip, length + 1, np.cumsum(length + 1) - length - 1)


def _followed(lines: _Lines, steps: np.ndarray) -> np.ndarray:
    """Points (n, 2) at some steps of the outline."""
    line = np.searchsorted(lines.begins, steps, side="right") - 1
    step = steps - lines.begins[line]
    step = np.where(lines.flip[line], lines.lengths[line] - 1 - step, step)
    here, along = np.arange(len(steps)), lines.along[line]
    points = lines.low[line]
    points[here, along] += step
    points[here, 1 - along] = points[here, 1 - along] + lines.slopes[line] * step + 0.5
    return points


def _columns_crossed(points: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel numbers at which a line of steps passes the middles of columns, and its directions."""
    x = np.minimum(points[1:, 0], points[:-1, 0])
    direction = np.sign(points[1:, 0] - points[:-1, 0])
    middle = (direction != 0) & (x % SCALE == SCALE // 2) & (x >= 0) & (x < SCALE * width)
    y = np.minimum(points[1:, 1], points[:-1, 1])[middle]
    row = np.ceil(np.clip((y + 0.5) / SCALE - 0.5, 0, height)).astype(np.int64)
    return x[middle] // SCALE * height + row, direction[middle]
