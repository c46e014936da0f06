"""What the second level knows of a candidate, for all objects of a label map at once.

Everything comes from the runs of the map (stretches of one label within a row), sorted by label;
no object is looked at by itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

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
CELL = 32  # px, objects of one cell are likely in one chunk


class Runs(NamedTuple):
    """The R runs of N objects, ordered by label, then by row, then by column."""

    starts: np.ndarray  # (S,) first pixels in the flat map of all runs, background too
    order: np.ndarray  # (R,) which of those are the runs here
    first: np.ndarray  # (N,) the first run of each object
    object: np.ndarray  # (R,) index of the object, label - 1
    row: np.ndarray  # (R,)
    left: np.ndarray  # (R,) first column
    right: np.ndarray  # (R,) the column after the last


def object_features(
    labels: np.ndarray,
    probability: np.ndarray,
    *,
    view_spread: np.ndarray | None = None,
    member_spread: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure every object of one label map.

    Parameters
    ----------
    labels : ndarray of uint16, shape (H, W)
        0 is background; labels 1..N, every one of them present; objects may be in parts.
    probability : ndarray of uint8, shape (H, W)
        Probability * 255.
    view_spread, member_spread : ndarray of uint8, shape (H, W), optional
        Standard deviation of the probability over views and over members, * 510.

    Returns
    -------
    features : dict of ndarray of float64, shape (N,)
        In the order of labels; all of `FEATURES` but threshold, part, stability_up and
        stability_down, which one map does not tell:

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
            Pixels of the largest of the neighbours; 0 if there is none.
        view_spread, member_spread
            Mean inside, in [0, 0.5]; 0 without a map.

    Raises
    ------
    ValueError
        If `labels` is not 2-D uint16, a label is missing, or a map has another shape.
    """
    runs = _runs(labels)
    area = _total(runs, runs.right - runs.left)
    x, y, width, height = _boxes(runs)
    mean = _means(runs, area, probability, labels.shape)
    squares = np.square(probability, dtype=np.uint16)
    variance = _means(runs, area, squares, labels.shape) - mean**2
    features = {
        "area": area,
        "perimeter": _perimeters(labels, len(area)),
        "mean_probability": mean / 255,
        "max_probability": _extreme(np.maximum, runs, probability) / 255,
        "min_probability": _extreme(np.minimum, runs, probability) / 255,
        "std_probability": np.sqrt(np.maximum(variance, 0)) / 255,
        "ring_contrast": _ring_contrast(labels, probability, mean) / 255,
        "aspect": np.maximum(width, height) / np.minimum(width, height),
        "fill": area / (width * height),
        "solidity": area / _hull_areas(runs),
        "eccentricity": _eccentricities(runs, area),
        "edge_distance": np.minimum.reduce(
            [x, y, labels.shape[1] - x - width, labels.shape[0] - y - height]
        ),
    }
    features |= _neighbours(np.stack([x, y, x + width, y + height]), area, labels.shape)
    for name, spread in (("view_spread", view_spread), ("member_spread", member_spread)):
        features[name] = np.zeros(len(area))
        if spread is not None:
            features[name] = _means(runs, area, spread, labels.shape) / SPREAD_STEPS
    return {name: values.astype(np.float64) for name, values in features.items()}


def mean_probabilities(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the mean probability of every object; see `object_features`."""
    runs = _runs(labels)
    area = _total(runs, runs.right - runs.left)
    return _means(runs, area, probability, labels.shape) / 255


def _runs(labels: np.ndarray) -> Runs:
    if labels.ndim != 2 or labels.dtype != np.uint16 or not labels.size:
        raise ValueError(f"labels must be 2-D uint16, got {labels.dtype} {labels.shape}")
    begins = np.empty(labels.shape, bool)
    begins[:, 0] = True
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    label = labels.ravel()[starts]
    order = np.flatnonzero(label)
    order = order[np.argsort(label[order], kind="stable")]
    label = label[order].astype(np.int64)
    first = np.flatnonzero(np.diff(label, prepend=0))
    if len(first) != label.max(initial=0):
        raise ValueError(f"labels must be 1..N, got {len(first)} up to {label[-1]}")
    row, left = np.divmod(starts[order], labels.shape[1])
    length = np.diff(starts, append=labels.size)[order]
    return Runs(starts, order, first, label - 1, row, left, left + length)


def _total(runs: Runs, values: np.ndarray) -> np.ndarray:
    """Return the sum over the runs of each object."""
    return np.add.reduceat(values, runs.first)


def _means(runs: Runs, area: np.ndarray, image: np.ndarray, shape: tuple) -> np.ndarray:
    if image.shape != shape:
        raise ValueError(f"labels are {shape}, but a map is {image.shape}")
    sums = np.add.reduceat(image.ravel(), runs.starts, dtype=np.int64)[runs.order]
    return _total(runs, sums) / area


def _extreme(function: np.ufunc, runs: Runs, image: np.ndarray) -> np.ndarray:
    extremes = function.reduceat(image.ravel(), runs.starts)[runs.order]
    return function.reduceat(extremes, runs.first)


def _boxes(runs: Runs) -> tuple[np.ndarray, ...]:
    """Return x, y, width and height of each object."""
    x, y = (np.minimum.reduceat(values, runs.first) for values in (runs.left, runs.row))
    right, bottom = (np.maximum.reduceat(values, runs.first) for values in (runs.right, runs.row))
    return x, y, right - x, bottom + 1 - y


def _perimeters(labels: np.ndarray, count: int) -> np.ndarray:
    """Count sides: each run along a row has two, and so has each along a column."""
    sides = np.zeros(count + 1, np.int64)
    for along in (labels, labels.T):
        sides += np.bincount(along[:, 0], minlength=count + 1)
        sides += np.bincount(along[:, 1:][along[:, 1:] != along[:, :-1]], minlength=count + 1)
    return 2 * sides[1:]


def _ring_contrast(labels: np.ndarray, probability: np.ndarray, mean: np.ndarray) -> np.ndarray:
    grown = labels
    for _ in range(RING):
        grown = np.where(grown > 0, grown, cv2.dilate(grown, np.ones((3, 3), np.uint8)))
    ring = np.flatnonzero((grown > 0) & (labels == 0))
    owner = grown.ravel()[ring]
    pixels = np.bincount(owner, minlength=len(mean) + 1)[1:]
    sums = np.bincount(owner, weights=probability.ravel()[ring], minlength=len(mean) + 1)[1:]
    return np.where(pixels > 0, mean - sums / np.maximum(pixels, 1), 0)


def _eccentricities(runs: Runs, area: np.ndarray) -> np.ndarray:
    length, middle = runs.right - runs.left, (runs.left + runs.right) / 2
    from_x = middle - (_total(runs, length * middle) / area)[runs.object]
    from_y = runs.row - (_total(runs, length * runs.row) / area)[runs.object]
    xx = _total(runs, length * (from_x**2 + length**2 / 12)) / area
    yy = _total(runs, length * (from_y**2 + 1 / 12)) / area
    xy = _total(runs, length * from_x * from_y) / area
    root = np.hypot((xx - yy) / 2, xy)
    return np.sqrt(2 * root / ((xx + yy) / 2 + root))  # 1 - shorter^2 / longer^2


def _hull_areas(runs: Runs) -> np.ndarray:
    """Return the areas of the hulls of the corners of all pixels."""
    # An object as a polygon: at every height of corners it has a leftmost and a rightmost one.
    owner = np.concatenate([runs.object, runs.object])
    height = np.concatenate([runs.row, runs.row + 1])
    order = np.lexsort((height, owner))
    owner, height = owner[order], height[order]
    heads = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(height, prepend=-1) != 0))
    left = np.minimum.reduceat(np.tile(runs.left, 2)[order], heads)
    right = np.maximum.reduceat(np.tile(runs.right, 2)[order], heads)
    owner, height = owner[heads], height[heads]
    return (_arched(owner, height, right) + _arched(owner, height, -left)) / 2


def _arched(owner: np.ndarray, height: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return twice the area each object has between the axis and the hull of its points."""
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


def _neighbours(corners: np.ndarray, area: np.ndarray, shape: tuple) -> dict[str, np.ndarray]:
    """Compare boxes, (4, N): x, y, right, bottom."""
    near = np.zeros(len(area))
    nearest = np.full(len(area), np.hypot(*shape))
    largest = np.zeros(len(area))
    for chunk in _chunks(corners):
        reach = NEAR
        while len(area) > 1:
            x, y, right, bottom = corners[:, chunk]
            frame = np.array([x.min(), y.min(), right.max(), bottom.max()])
            around = _squared_gaps(corners, frame)
            others = np.flatnonzero(around <= reach**2)
            squares = _squared_gaps(corners[:, others], corners[:, chunk, None])
            squares[others == chunk[:, None]] = np.iinfo(squares.dtype).max
            nearest[chunk] = np.sqrt(squares.min(axis=1))
            if len(others) == len(area) or (nearest[chunk] <= reach).all():
                close = squares <= NEAR**2
                near[chunk] = close.sum(axis=1)
                largest[chunk] = (close * area[others]).max(axis=1)
                break
            reach *= 4
    return {"neighbours": near, "neighbour_distance": nearest, "neighbour_area": largest}


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
