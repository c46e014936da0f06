"""COCO segmentations (polygons, uncompressed and compressed RLE) read with every check."""

from itertools import accumulate, pairwise
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.reading.regions import Region, region_of
from src.reading.windings import crosses_itself, is_simple, winding_runs

MAX_COORDINATE = 1e6  # px; farther out no polygon of an image lies
MAX_OUTLINE = 4e6  # px; rasterising takes some 80 bytes for each
OVERHANG = 1  # px that an outline may leave the image by: rounding, or the edge's far side
SHRUNK = 0.02  # share of its area that a shrunk object lacks at least, and may differ by at most
MAX_DIGITS = 7  # of 5 bits in one number of a compressed RLE, 2**34 px


def read_segmentation(
    segmentation, height: int, width: int, *, centres: bool = False
) -> tuple[Region, bool]:
    """Rasterise one annotation's segmentation as the official COCO tools do.

    Everything is checked before it reaches compiled code, which trusts its input. A polygon that
    crosses itself is repaired: it covers all that it goes around, also what it goes around twice,
    where the official tools leave a hole. All others are to the pixel what those tools make of
    them; touching itself, spikes without width and repeated points need no repair.

    Parameters
    ----------
    segmentation : list of list of float, or dict
        As it stands in the JSON: polygons [[x1, y1, x2, y2, ...], ...] in pixels, whose union is
        the object; or {"size": [H, W], "counts": ...} with the runs as a list of integers
        (uncompressed) or a string (compressed). An empty list covers no pixel.
    height, width : int
        Of the image, in pixels; at least 1.
    centres : bool
        Polygons go through the centres of the outermost pixels, whose rows and columns their
        coordinates number: every pixel on a line is the object's too, and nothing is repaired.

    Returns
    -------
    region : Region
        Without runs and with area 0 if the segmentation is valid but covers no pixel.
    repaired : bool
        Whether one of its polygons crosses itself.

    Raises
    ------
    InputError
        If it cannot be read; the message says what is wrong with it.
    """
    repaired = False
    if isinstance(segmentation, list) and not segmentation:
        runs = np.empty((0, 2), np.int64)
    elif isinstance(segmentation, list) and centres:
        runs = _runs_through_centres(segmentation, height, width)
    elif isinstance(segmentation, list):
        runs, repaired = _runs_of_polygons(segmentation, height, width)
    elif isinstance(segmentation, dict):
        runs = _runs_of_rle(segmentation, height, width)
    else:
        raise InputError(
            f"the segmentation is of type {type(segmentation).__name__}, "
            "neither a list of polygons nor an RLE"
        )
    return region_of(runs, height), repaired


def leaves_image(segmentation, height: int, width: int) -> bool:
    """Tell whether polygons lie outside the image in part or in whole, by more than a pixel.

    Parameters
    ----------
    segmentation : list of list of float, or dict
        That `read_segmentation` can read.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    outside : bool
        False for an RLE, which has no room for it.
    """
    if isinstance(segmentation, dict):
        return False
    return any(
        min(polygon) < -OVERHANG
        or max(polygon[::2]) > width + OVERHANG
        or max(polygon[1::2]) > height + OVERHANG
        for polygon in segmentation
    )


def whole_parts(segmentation):
    """Leave out polygons of one or two points, which cover nothing.

    Returns
    -------
    segmentation : list of list of float, or whatever was given
        The same object where nothing is left out.
    """
    if not isinstance(segmentation, list):
        return segmentation
    parts = [part for part in segmentation if not (isinstance(part, list) and _is_short(part))]
    return segmentation if len(parts) == len(segmentation) else parts


def is_shrunk(segmentation, area: float, region: Region, height: int, width: int) -> bool:
    """Tell whether polygons go through pixel centres: their pixels with the rim make the area.

    Parameters
    ----------
    segmentation : list of list of float, or dict
        That `read_segmentation` can read.
    area : float
        That the annotation lists, in pixels.
    region : Region
        What that function makes of it.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    shrunk : bool
        False for an RLE, where coordinates are not all whole numbers, or the area lies nearer to
        the region's than to that with the rim.
    """
    if isinstance(segmentation, dict) or area - region.area < SHRUNK * area:
        return False
    if not all(float(value).is_integer() for polygon in segmentation for value in polygon):
        return False
    runs = _runs_through_centres(segmentation, height, width)
    whole = int((runs[:, 1] - runs[:, 0]).sum())
    return abs(whole - area) <= SHRUNK * area


def compress(region: Region, height: int, width: int) -> dict:
    """Compressed RLE of a region, byte for byte what pycocotools' `encode` makes of its mask.

    Parameters
    ----------
    region : Region
        Inside the image; may be without pixels.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    rle : dict
        {"size": [H, W], "counts": str}.
    """
    return {"size": [height, width], "counts": _rle(region.runs, height, width)["counts"].decode()}


def _rle(runs: np.ndarray, height: int, width: int) -> dict:
    """Compressed RLE, with counts as bytes, of runs of which none touches the next."""
    edges = [0, *runs.ravel().tolist(), height * width]
    if runs.size and edges[-2] == edges[-1]:  # the last pixel: no background follows
        edges.pop()
    counts = [stop - start for start, stop in pairwise(edges)]
    rle: Any = {"size": [height, width], "counts": counts}
    return coco_mask.frPyObjects(rle, height, width)


def _joined(runs: np.ndarray) -> np.ndarray:
    """Join runs that touch; they come in order."""
    apart = runs[1:, 0] > runs[:-1, 1]
    starts, stops = np.ones((2, len(runs)), bool)
    starts[1:], stops[:-1] = apart, apart
    return np.stack([runs[starts, 0], runs[stops, 1]], axis=1)


def _runs_of_polygons(polygons: list, height: int, width: int) -> tuple[np.ndarray, bool]:
    for number, polygon in enumerate(polygons, start=1):
        _check_polygon(polygon, f"polygon {number}")
    parts: list[Any] = coco_mask.frPyObjects(polygons, height, width)
    repaired = False
    for number, polygon in enumerate(polygons):
        if is_simple(polygon):
            continue
        runs, windings = winding_runs(polygon, height, width)
        if crosses_itself(runs, windings):
            parts[number], repaired = _rle(_joined(runs), height, width), True
    merged: Any = coco_mask.merge(parts)
    return _runs(_decode_counts(merged["counts"], height * width)), repaired


def _is_short(part: list) -> bool:
    """Tell a part of one or two points, or of none."""
    return len(part) in (0, 2, 4) and all(type(value) in (int, float) for value in part)


def _runs_through_centres(polygons: list, height: int, width: int) -> np.ndarray:
    """Return runs (R, 2) of all pixels inside polygons and on their lines, coordinates rounded."""
    for number, polygon in enumerate(polygons, start=1):
        _check_polygon(polygon, f"polygon {number}")
    rounded = [np.rint(np.reshape(p, (-1, 2)).astype(np.float64)).astype(int) for p in polygons]
    points = np.concatenate(rounded)
    left, top = np.maximum(points.min(axis=0), 0).tolist()
    right, bottom = np.minimum(points.max(axis=0) + 1, (width, height)).tolist()
    if left >= right or top >= bottom:
        return np.empty((0, 2), np.int64)
    # with a row of background, so that no run goes on in the next column
    mask = np.zeros((bottom - top + 1, right - left), np.uint8)
    for polygon in rounded:  # one by one: together they would leave holes where they overlap
        cv2.fillPoly(mask[:-1], [(polygon - (left, top)).astype(np.int32)], 1)
    tall = len(mask)
    lines = np.concatenate([[0], mask.ravel(order="F")])
    edges = np.flatnonzero(np.diff(lines)).reshape(-1, 2)
    return _joined((edges // tall + left) * height + edges % tall + top)


def _check_polygon(polygon, which: str) -> None:
    if not isinstance(polygon, list):
        raise InputError(f"{which} is {polygon!r:.40}, not a list of coordinates")
    for value in polygon:
        if type(value) not in (int, float) or value != value:
            raise InputError(f"{which} holds {value!r:.40}, which is not a number")
        if not -MAX_COORDINATE <= value <= MAX_COORDINATE:
            raise InputError(f"{which} holds {value!r:.40}, which is not a place in an image")
    if len(polygon) % 2:
        raise InputError(f"{which} has {len(polygon)} coordinates, an odd number")
    if len(polygon) < 6:
        raise InputError(f"{which} has {len(polygon) // 2} points, fewer than three")
    xs, ys = polygon[::2], polygon[1::2]
    steps = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True)
    outline = sum(max(abs(x - next_x), abs(y - next_y)) for x, y, next_x, next_y in steps)
    if outline > MAX_OUTLINE:
        raise InputError(f"{which} has an outline of {outline:.0f} px, more than {MAX_OUTLINE:.0f}")


def _runs_of_rle(rle: dict, height: int, width: int) -> np.ndarray:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise InputError(f"the RLE's size is {size!r:.40}, the image's [{height}, {width}]")
    if isinstance(counts, str):
        counts = _decode_counts(counts.encode("utf-8", "surrogatepass"), height * width)
    elif isinstance(counts, list):
        for value in counts:
            if type(value) is not int:
                raise InputError(f"the RLE's counts hold {value!r:.40}, not a whole number")
            if not 0 <= value <= height * width:
                raise InputError(f"the RLE's counts hold {value!r:.40}, not a length in the image")
    else:
        raise InputError(f"the RLE's counts are {counts!r:.40}, neither a list nor a string")
    if sum(counts) != height * width:
        raise InputError(
            f"the RLE's counts add up to {sum(counts)} pixels, the image has {height * width}"
        )
    return _runs(counts)


def _decode_counts(encoded: bytes, pixels: int) -> list[int]:
    """Run lengths of a compressed RLE: numbers of 5-bit digits, from the 4th on differences."""
    counts, value, place = [], 0, 0
    for code in encoded:
        digit = code - 48
        if not 0 <= digit < 64:
            raise InputError("the RLE's counts hold a character that is none of a compressed RLE")
        value |= (digit & 31) << place
        place += 5
        if digit < 32:  # the last of a number; the others have the sixth bit set
            value -= (digit & 16) << (place - 4)  # two's complement
            if len(counts) > 2:
                value += counts[-2]
            counts.append(value)
            value, place = 0, 0
        if place == 5 * MAX_DIGITS or (counts and not 0 <= counts[-1] <= pixels):
            raise InputError("the RLE's counts hold a number that is no length in the image")
    if place:
        raise InputError("the RLE's counts break off within a number")
    return counts


def _runs(counts: list[int]) -> np.ndarray:
    """Foreground runs, (R, 2), of run lengths; empty runs are left out, touching ones joined."""
    edges, runs = list(accumulate(counts)), []
    for start, stop in zip(edges[::2], edges[1::2], strict=False):
        if runs and start == runs[-1]:
            runs[-1] = stop
        elif start < stop:
            runs += [start, stop]
    return np.array(runs, np.int64).reshape(-1, 2)
