"""What the second level knows of a candidate, for all objects of a stack of label maps at once.

Everything comes from the runs of the objects (`src.objects.label_runs`) and from sums of the maps
up to each pixel; no object and no layer is looked at by itself.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from src.objects.label_runs import (
    LayerObjects,
    Runs,
    chosen_runs,
    framed_row_runs,
    run_boxes,
    run_totals,
)

FEATURES = (
    "threshold",
    "part",
    "area",
    "perimeter",
    "mean_probability",
    "max_probability",
    "min_probability",
    "std_probability",
    "ring_contrast",
    "aspect",
    "fill",
    "solidity",
    "eccentricity",
    "edge_distance",
    "neighbours",
    "neighbour_distance",
    "neighbour_area",
    "stability_up",
    "stability_down",
    "view_spread",
    "member_spread",
)
RING = 3  # px, width of the ring around an object
NEAR = 10  # px, an object at most so far is a neighbour
SPREAD_STEPS = 510  # of a stored standard deviation, which is at most 0.5
CHUNK = 128  # objects compared with all others near them at a time
PAIRS = 1 << 18  # of objects compared at a time, which bounds the memory
CELL = 32  # px, objects of one cell are likely in one chunk


def object_features(
    objects: LayerObjects,
    probability: np.ndarray,
    *,
    chosen: np.ndarray | None = None,
    view_spread: np.ndarray | None = None,
    member_spread: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure objects of the label maps of one image.

    Parameters
    ----------
    objects : LayerObjects
        From `src.objects.label_runs.layer_objects`.
    probability : ndarray of uint8, shape (H, W)
        Probability * 255.
    chosen : ndarray of bool, shape (N,), optional
        The objects to measure, beside which the others are; all if it is not given.
    view_spread, member_spread : ndarray of uint8, shape (H, W), optional
        Standard deviation of the probability over views and over members, * 510.

    Returns
    -------
    features : dict of ndarray of float64, shape (N,)
        Of the N that are chosen, by layer, then by label; all of `FEATURES` but threshold, part,
        stability_up and stability_down, which one map does not tell:

        area
            Pixels.
        perimeter
            Sides of pixels between the object and anything else, the outside of the image too;
            4 for one pixel.
        mean_probability, max_probability, min_probability, std_probability
            Of the object's pixels, in [0, 1]; the standard deviation is that of the population,
            0 for one pixel.
        ring_contrast
            Mean probability less that of the ring around the object, in [-1, 1]: the background
            pixels that grow into it if all objects grow by `RING` pixels, in steps to the eight
            neighbours (where two meet in one step the larger label has the pixel). 0 if there is
            no such pixel, as for an object that fills the image or is walled in by others.
        aspect
            Longer by shorter side of the bounding box, at least 1.
        fill
            Area by that of the bounding box, in (0, 1].
        solidity
            Area by that of the convex hull of the corners of all its pixels, in (0, 1].
        eccentricity
            Of the ellipse that has the second moments of the object's pixels, each a square, in
            [0, 1): 0 for one pixel or a square, sqrt(1 - 1 / n^2) for a row of n.
        edge_distance
            Pixels between the bounding box and the nearest image edge; 0 if it touches one.
        neighbours
            Other objects at most `NEAR` px away, that is, from bounding box to bounding box in a
            straight line; 0 apart if the boxes touch or overlap.
        neighbour_distance
            Pixels to the nearest other object, so measured; the image diagonal if there is none.
        neighbour_area
            Pixels of the largest of the neighbours; 0 if there is none. Neighbours are objects of
            the same layer.
        view_spread, member_spread
            Mean inside, in [0, 0.5]; 0 without a map.

    Raises
    ------
    ValueError
        If a map has another shape than the layers.
    """
    shape = objects.layers.shape[1:]
    for image in (probability, view_spread, member_spread):
        if image is not None and image.shape != shape:
            raise ValueError(f"labels are {shape}, but a map is {image.shape}")
    boxes, areas = run_boxes(objects.rows), run_totals(objects.rows, _lengths(objects.rows))
    if chosen is None:
        chosen = np.ones(len(areas), bool)
    rows, area = chosen_runs(objects.rows, chosen), areas[chosen]
    features = {"area": area, "perimeter": _perimeters(rows, chosen_runs(objects.columns, chosen))}
    features |= _probability_features(objects, chosen, rows, area, probability)
    features |= _shape_features(rows, area, boxes[chosen], shape)
    features |= _neighbours(boxes, areas, objects.counts, chosen, shape)
    for name, spread in (("view_spread", view_spread), ("member_spread", member_spread)):
        features[name] = np.zeros(len(area))
        if spread is not None:
            features[name] = _sums(rows, spread) / area / SPREAD_STEPS
    return {name: values.astype(np.float64) for name, values in features.items()}


def mean_probabilities(rows: Runs, probability: np.ndarray) -> np.ndarray:
    """Return the mean probability of every object; see `object_features`."""
    return _sums(rows, probability) / run_totals(rows, _lengths(rows)) / 255


def _lengths(runs: Runs) -> np.ndarray:
    return runs.stop - runs.start


def _perimeters(rows: Runs, columns: Runs) -> np.ndarray:
    """Count sides: each run along a row has two, and so has each along a column."""
    across, down = (np.diff(runs.first, append=len(runs.object)) for runs in (rows, columns))
    return 2 * (across + down)


def _probability_features(
    objects: LayerObjects,
    chosen: np.ndarray,
    rows: Runs,
    area: np.ndarray,
    probability: np.ndarray,
) -> dict[str, np.ndarray]:
    """Measure the pixels of objects and those around; `rows` and `area` are of what is chosen."""
    sums = _sums(rows, probability)
    mean = sums / area
    variance = _sums(rows, np.square(probability, dtype=np.uint16)) / area - mean**2
    pixels, ring = _rings(objects, chosen, area, sums, probability)
    contrast = np.where(pixels > 0, mean - ring / np.maximum(pixels, 1), 0)
    return {
        "mean_probability": mean / 255,
        "max_probability": _extreme(np.maximum, rows, probability) / 255,
        "min_probability": _extreme(np.minimum, rows, probability) / 255,
        "std_probability": np.sqrt(np.maximum(variance, 0)) / 255,
        "ring_contrast": contrast / 255,
    }


def _shape_features(
    rows: Runs, area: np.ndarray, boxes: np.ndarray, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    x, y, width, height = boxes.T
    return {
        "aspect": np.maximum(width, height) / np.minimum(width, height),
        "fill": area / (width * height),
        "solidity": area / _hull_areas(rows),
        "eccentricity": _eccentricities(rows, area),
        "edge_distance": np.minimum.reduce([x, y, shape[1] - x - width, shape[0] - y - height]),
    }


def _sums(rows: Runs, image: np.ndarray) -> np.ndarray:
    """Return the sum of an image over each object, int64 (N,)."""
    before = np.zeros(image.size + 1, np.int64)
    np.cumsum(image, dtype=np.int64, out=before[1:])
    begins = rows.line * image.shape[1]
    return run_totals(rows, before[begins + rows.stop] - before[begins + rows.start])


def _extreme(function: np.ufunc, rows: Runs, image: np.ndarray) -> np.ndarray:
    """Return the largest or least value of an image in each object."""
    # reduceat takes what lies between two bounds, of which every second lies between two runs:
    # from the last run to the first there is nothing.
    begins = rows.line * image.shape[1]
    bounds = np.stack([begins + rows.start, begins + rows.stop], axis=1)[::-1].ravel()
    extremes = function.reduceat(np.append(image, np.uint8(0)), bounds)[::2][::-1]
    return function.reduceat(extremes, rows.first)


def _rings(
    objects: LayerObjects,
    chosen: np.ndarray,
    area: np.ndarray,
    sums: np.ndarray,
    probability: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels of the ring around each object chosen and the sum of their probabilities."""
    depth, height, width = objects.layers.shape
    grown = np.zeros((depth, height + 1, width + 1), np.uint16)  # a frame behind each layer
    grown[:, :-1, :-1] = objects.layers
    for _ in range(RING):
        before = grown
        grown = cv2.dilate(before.reshape(-1, width + 1), np.ones((3, 3), np.uint8))
        grown = grown.reshape(before.shape)
        np.copyto(grown, before, where=before > 0)
        grown[:, -1] = grown[..., -1] = 0
    rows = chosen_runs(framed_row_runs(grown, objects.counts), chosen)
    pixels, inside = run_totals(rows, _lengths(rows)), _sums(rows, probability)
    return pixels - area, inside - sums


def _eccentricities(rows: Runs, area: np.ndarray) -> np.ndarray:
    length, middle = _lengths(rows), (rows.start + rows.stop) / 2
    from_x = middle - (run_totals(rows, length * middle) / area)[rows.object]
    from_y = rows.line - (run_totals(rows, length * rows.line) / area)[rows.object]
    xx = run_totals(rows, length * (from_x**2 + length**2 / 12)) / area
    yy = run_totals(rows, length * (from_y**2 + 1 / 12)) / area
    xy = run_totals(rows, length * from_x * from_y) / area
    root = np.hypot((xx - yy) / 2, xy)
    return np.sqrt(2 * root / ((xx + yy) / 2 + root))  # 1 - shorter^2 / longer^2


def _hull_areas(rows: Runs) -> np.ndarray:
    """Return the areas of the hulls of the corners of all pixels."""
    # An object as a polygon: at every height of corners it has a leftmost and a rightmost one,
    # of the row above that height or of the row below.
    new = (np.diff(rows.object, prepend=-1) != 0) | (np.diff(rows.line, prepend=-1) != 0)
    heads = np.flatnonzero(new)
    tails = np.append(heads[1:], len(new))[: len(heads)] - 1
    owner, line = rows.object[heads], rows.line[heads]
    own = np.stack([rows.stop[tails], -rows.start[heads]])
    goes_on = (np.diff(owner) == 0) & (np.diff(line) == 1)
    both = own.copy()
    both[:, 1:] = np.where(goes_on, np.maximum(own[:, 1:], own[:, :-1]), own[:, 1:])
    last = np.append(~goes_on, True)[: len(line)]
    points = np.repeat(np.arange(len(line)), 1 + last)
    bottom = np.cumsum(1 + last)[last] - 1
    height, reach = line[points], both[:, points]
    height[bottom] += 1
    reach[:, bottom] = own[:, last]
    count = len(rows.first)
    owners = np.concatenate([owner[points], owner[points] + count])
    sides = _arched(owners, np.tile(height, 2), reach.ravel())
    return (sides[:count] + sides[count:]) / 2


def _arched(owner: np.ndarray, height: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return twice the area each owner has between the axis and the hull of its points."""
    while True:
        chord = (reach[2:] - reach[:-2]) * (height[1:-1] - height[:-2])
        point = (reach[1:-1] - reach[:-2]) * (height[2:] - height[:-2])
        inside = (point <= chord) & (owner[2:] == owner[:-2])
        if not inside.any():
            break
        kept = np.ones(len(owner), bool)
        kept[1:-1] = ~inside
        owner, height, reach = owner[kept], height[kept], reach[kept]
    slabs = (reach[1:] + reach[:-1]) * (height[1:] - height[:-1]) * (owner[1:] == owner[:-1])
    return np.bincount(owner[1:], weights=slabs)


def _neighbours(
    boxes: np.ndarray,
    areas: np.ndarray,
    counts: np.ndarray,
    chosen: np.ndarray,
    shape: tuple[int, ...],
) -> dict[str, np.ndarray]:
    """Compare boxes of the chosen objects, XYWH (N, 4), with those of all others of their layer."""
    x, y, width, height = boxes.T
    corners = np.stack([x, y, x + width, y + height])
    found = np.zeros((3, len(areas)))
    found[1] = np.hypot(shape[0], shape[1])
    starts = np.cumsum(counts) - counts
    alone = np.repeat(counts == 1, counts)
    crowded = counts > CHUNK
    for start, count in zip(starts[crowded].tolist(), counts[crowded].tolist(), strict=True):
        layer = slice(start, start + count)
        found[:, layer] = _crowded_neighbours(corners[:, layer], areas[layer])
    which = np.flatnonzero(chosen & ~alone & ~np.repeat(crowded, counts))
    if which.size:
        layer = np.repeat(np.arange(len(counts)), counts)[which]
        found[:, which] = _all_neighbours(corners, areas, which, starts[layer], counts[layer])
    near, nearest, largest = found[:, chosen]
    return {"neighbours": near, "neighbour_distance": nearest, "neighbour_area": largest}


def _all_neighbours(
    corners: np.ndarray, areas: np.ndarray, which: np.ndarray, start: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Compare each of some objects with all others of its layer, two at least from `start` on."""
    ends = np.cumsum(count)
    heads = ends - count
    one = np.repeat(which, count)
    other = np.arange(ends[-1]) - np.repeat(heads - start, count)
    squares = _squared_gaps(corners[:, other], corners[:, one])
    squares[other == one] = np.iinfo(squares.dtype).max
    close = squares <= NEAR**2
    return np.stack(
        [
            np.add.reduceat(close, heads, dtype=np.int64),
            np.sqrt(np.minimum.reduceat(squares, heads)),
            np.maximum.reduceat(close * areas[other], heads),
        ]
    )


def _crowded_neighbours(corners: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Compare many objects of a layer, each with those near it; (3, N)."""
    near, nearest, largest = np.zeros((3, len(area)))
    waiting = [(chunk, NEAR) for chunk in _chunks(corners)]
    while waiting:
        chunk, reach = waiting.pop()
        x, y, right, bottom = corners[:, chunk]
        frame = np.array([x.min(), y.min(), right.max(), bottom.max()])
        others = np.flatnonzero(_squared_gaps(corners, frame) <= reach**2)
        if len(others) * len(chunk) > PAIRS and len(chunk) > 1:  # few of a size, far from another
            middle = len(chunk) // 2
            waiting += [(chunk[:middle], reach), (chunk[middle:], reach)]
            continue
        squares = _squared_gaps(corners[:, others], corners[:, chunk, None])
        squares[others == chunk[:, None]] = np.iinfo(squares.dtype).max
        nearest[chunk] = np.sqrt(squares.min(axis=1))
        if len(others) == len(area) or (nearest[chunk] <= reach).all():
            close = squares <= NEAR**2
            near[chunk] = close.sum(axis=1)
            largest[chunk] = (close * area[others]).max(axis=1)
        else:
            waiting.append((chunk, 4 * reach))
    return np.stack([near, nearest, largest])


def _chunks(corners: np.ndarray) -> Iterator[np.ndarray]:
    """Divide boxes into parts of like size and place, so that each part has few others near it."""
    x, y, right, bottom = corners
    size = np.log2(np.maximum(right - x, bottom - y)).astype(int)
    order = np.lexsort((x // CELL, y // CELL, size))
    for start in range(0, len(order), CHUNK):
        yield order[start : start + CHUNK]


def _squared_gaps(corners: np.ndarray, others: np.ndarray) -> np.ndarray:
    x, y, right, bottom = corners
    other_x, other_y, other_right, other_bottom = others
    across = np.maximum(x - other_right, other_x - right)
    down = np.maximum(y - other_bottom, other_y - bottom)
    np.maximum(across, 0, out=across)
    np.maximum(down, 0, out=down)
    return across * across + down * down
