"""Outlines of masks along the corners of their pixels, exact until they are simplified.

A polygon is a list of rings, the outer one first, then its holes. A ring is an array (n, 2) of
n >= 3 points (x, y) in px, not closed: the pixel in row 0 and column 0 reaches from (0, 0) to
(1, 1). Going along a ring by growing index the object lies at the right as seen on the screen, so
the shoelace formula over (x, y) is positive for an outer ring and negative for a hole.
"""

import cv2
import numpy as np


def trace_polygons(mask: np.ndarray) -> list[list[np.ndarray]]:
    """Trace the outline of a mask along the corners of its pixels.

    Pixels that touch at a corner alone are parts of their own. Where a ring would pass a point
    twice it is cut into two rings that touch there, so every ring is simple and every polygon
    valid by the OGC's rules.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)

    Returns
    -------
    polygons : list of list of ndarray of int64, shape (n, 2)
        One polygon a part (4-connected), ordered by their first pixels, row by row; empty for an
        empty mask. `fill_polygons` gives back the mask exactly.

    Raises
    ------
    ValueError
        If `mask` is not a 2-D boolean array.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask must be 2-D bool, got {mask.dtype} {mask.shape}")
    if not mask.any():
        return []
    count, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    outer, holes = [None] * count, [[] for _ in range(count)]
    for ring in _trace_rings(mask):
        part = parts[_pixel_beside(ring)]
        if signed_area(ring) > 0:
            outer[part] = ring
        else:
            holes[part].append(ring)
    polygons = [[outer[part], *holes[part]] for part in range(1, count)]
    return sorted(polygons, key=lambda rings: rings[0][0].tolist()[::-1])


def fill_polygons(polygons: list[list[np.ndarray]], height: int, width: int) -> np.ndarray:
    """Rasterise polygons: a pixel belongs to them if its centre lies within (even-odd rule).

    Parameters
    ----------
    polygons : list of list of ndarray, shape (n, 2)
        May reach over the edges of the image.
    height, width : int
        px

    Returns
    -------
    mask : ndarray of bool, shape (height, width)
        Of a centre exactly on an edge, the left and the upper edge belong to the polygon.
    """
    rings = [ring for rings in polygons for ring in rings]
    if not rings:
        return np.zeros((height, width), bool)
    start = np.concatenate(rings).astype(np.float64)
    stop = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).astype(np.float64)
    rows = np.ceil(np.sort([start[:, 1], stop[:, 1]], axis=0) - 0.5)  # centres between the ends
    first, last = np.clip(rows, 0, height).astype(np.int64)
    edge = np.repeat(np.arange(len(start)), last - first)
    before = np.cumsum(last - first) - (last - first)  # rows that earlier edges cross
    row = np.arange(len(edge)) - before[edge] + first[edge]
    slope = (stop[edge, 0] - start[edge, 0]) / (stop[edge, 1] - start[edge, 1])
    x = start[edge, 0] + (row + 0.5 - start[edge, 1]) * slope
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    crossings = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    crossings = crossings.reshape(height, width + 1)[:, :width]
    return np.cumsum(crossings, axis=1) % 2 == 1


def simplify_polygon(rings: list[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Drop points that are no further than a tolerance from the outline left (Douglas-Peucker).

    Parameters
    ----------
    rings : list of ndarray of int64, shape (n, 2)
        A polygon of `trace_polygons`.
    tolerance : float
        px; at 0 the polygon is returned as it is.

    Returns
    -------
    simplified : list of ndarray of int64, shape (m, 2)
        As many rings. A ring that would be left without area stays as it is; where rings would
        touch or cross that did not, the tolerance is halved, and at last the polygon stays.
    """
    for attempt in (tolerance, tolerance / 2, tolerance / 4) if tolerance > 0 else ():
        simplified = [_simplify_ring(ring, attempt) for ring in rings]
        if is_valid(simplified):
            return simplified
    return rings


def signed_area(ring: np.ndarray) -> float:
    """Return the area in px by the shoelace formula, positive for an outer ring."""
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def is_valid(rings: list[np.ndarray]) -> bool:
    """Tell whether a polygon's rings meet at common corners at most and its holes lie inside it.

    Parameters
    ----------
    rings : list of ndarray, shape (n, 2)
        The outer ring first. Points on an edge are found where numbers are exact.
    """
    if signed_area(rings[0]) <= 0 or any(signed_area(ring) >= 0 for ring in rings[1:]):
        return False
    start = np.concatenate(rings).astype(np.float64)
    stop = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).astype(np.float64)
    if _any_meet(start, stop):
        return False
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    for number, ring in enumerate(rings[1:], start=1):
        others = of_ring != number
        middle = (ring[0] + ring[1]) / 2  # no other edge passes there
        if _count_to_the_left(start[others], stop[others], middle) % 2 == 0:
            return False
    return True


def _trace_rings(mask: np.ndarray) -> list[np.ndarray]:
    """Follow the edges between object and background, the object at the right hand."""
    framed = np.pad(mask.astype(np.int8), 1)
    y, x_from, x_to, across = _runs(np.diff(framed, axis=0)[:, 1:-1])  # + to the right
    x, y_from, y_to, down = _runs(-np.diff(framed, axis=1)[1:-1].T)  # + downwards
    # Where four edges meet both turn right, which parts the pixels that touch at the corner.
    into_down, from_across = np.lexsort((down, x, y_from)), np.lexsort((across, x_to, y))
    into_across, from_down = np.lexsort((-across, x_from, y)), np.lexsort((down, x, y_to))
    after_across, after_down = np.empty_like(y), np.empty_like(x)
    after_across[from_across] = into_down
    after_down[from_down] = into_across
    follows = after_down[after_across].tolist()
    ends = np.stack([x_from, y, x_to, y], axis=1).reshape(-1, 2, 2)
    rings, seen = [], [False] * len(follows)
    for first in range(len(follows)):
        edges, edge = [], first
        while not seen[edge]:
            seen[edge] = True
            edges.append(edge)
            edge = follows[edge]
        if edges:
            rings += _split_where_it_touches_itself(ends[edges].reshape(-1, 2))
    return rings


def _runs(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Join equal signs along each line; return line, start and end along it, and the sign."""
    framed = np.pad(edges, ((0, 0), (1, 1)))
    changes = np.diff(framed, axis=1) != 0
    line, start = np.nonzero(changes & (framed[:, 1:] != 0))
    stop = np.nonzero(changes & (framed[:, :-1] != 0))[1]
    sign = framed[line, start + 1].astype(np.int64)
    forward = sign > 0
    return line, np.where(forward, start, stop), np.where(forward, stop, start), sign


def _split_where_it_touches_itself(ring: np.ndarray) -> list[np.ndarray]:
    points = list(map(tuple, ring.tolist()))
    if len(set(points)) == len(points):
        return [ring]
    rings, path, place = [], [], {}
    for point in points:
        if point in place:
            loop = path[place[point] :]
            del path[place[point] :]
            for passed in loop:
                del place[passed]
            rings.append(np.array(loop))
        place[point] = len(path)
        path.append(point)
    return [*rings, np.array(path)]


def _pixel_beside(ring: np.ndarray) -> tuple[int, int]:
    """Return row and column of an object pixel at a horizontal edge of the ring."""
    first = 0 if ring[0, 1] == ring[1, 1] else 1
    (x, y), (x_to, _) = ring[first].tolist(), ring[(first + 1) % len(ring)].tolist()
    return (y, x) if x_to > x else (y - 1, x_to)


def _simplify_ring(ring: np.ndarray, tolerance: float) -> np.ndarray:
    simplified = cv2.approxPolyDP(ring.astype(np.int32), tolerance, True)[:, 0].astype(np.int64)
    same_side = signed_area(simplified) * signed_area(ring) > 0
    return simplified if same_side else ring


def _any_meet(start: np.ndarray, stop: np.ndarray) -> bool:
    """Tell whether any two edges share a point that is not an end of both."""
    order = np.argsort(np.minimum(start[:, 0], stop[:, 0]), kind="stable")
    start, stop = start[order], stop[order]
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    rivals = np.searchsorted(low[:, 0], high[:, 0], side="right") - np.arange(len(low)) - 1
    one = np.repeat(np.arange(len(low)), rivals)
    other = np.arange(len(one)) - np.repeat(np.cumsum(rivals) - rivals, rivals) + one + 1
    near = (low[one, 1] <= high[other, 1]) & (low[other, 1] <= high[one, 1])
    one, other = one[near], other[near]
    a, b, c, d = start[one], stop[one], start[other], stop[other]
    sides = [_side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)]
    cross = (sides[0] * sides[1] < 0) & (sides[2] * sides[3] < 0)
    for side, point, (p, q) in zip(sides, (c, d, a, b), [(a, b)] * 2 + [(c, d)] * 2, strict=True):
        ahead, behind = (point - p) * (q - p), (point - q) * (p - q)
        cross |= (side == 0) & (ahead.sum(axis=1) > 0) & (behind.sum(axis=1) > 0)
    same = np.all(a == c, axis=1) & np.all(b == d, axis=1)
    back = np.all(a == d, axis=1) & np.all(b == c, axis=1)
    return bool((cross | same | back).any())


def _count_to_the_left(start: np.ndarray, stop: np.ndarray, point: np.ndarray) -> int:
    """Count the edges that a ray from the point to the left crosses."""
    spans = (start[:, 1] <= point[1]) != (stop[:, 1] <= point[1])
    start, stop = start[spans], stop[spans]
    slope = (stop[:, 0] - start[:, 0]) / (stop[:, 1] - start[:, 1])
    return int(np.sum(start[:, 0] + (point[1] - start[:, 1]) * slope < point[0]))


def _side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Tell on which side of the lines from a to b points lie: -1, 0, 1."""
    (ux, uy), (vx, vy) = (b - a).T, (point - a).T
    return np.sign(ux * vy - uy * vx)
