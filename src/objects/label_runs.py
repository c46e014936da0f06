"""Runs (stretches of one label within a row or a column) of the objects of a stack of label maps.

Of objects there are far fewer runs than pixels, so what is measured of an object is measured of its
runs; and of all layers of a stack at once, since on small images a call costs more than its work.
"""

from typing import NamedTuple

import cv2
import numpy as np


class Runs(NamedTuple):
    """The R runs of N objects of K layers, ordered by object, then by line, then along it.

    Objects are numbered from 0 by layer, then by label.
    """

    object: np.ndarray  # (R,) int64
    first: np.ndarray  # (N,) int64, the first run of each object
    line: np.ndarray  # (R,) int64: row, or column
    start: np.ndarray  # (R,) int64, first pixel along the line
    stop: np.ndarray  # (R,) int64, the pixel after the last


class LayerObjects(NamedTuple):
    """The N objects of K label maps of an image."""

    layers: np.ndarray  # (K, H, W) uint16: 0 background, 1 .. as many as the layer has objects
    counts: np.ndarray  # (K,) int64
    rows: Runs
    columns: Runs


def layer_objects(layers: np.ndarray) -> LayerObjects:
    """Find the runs of all objects.

    Parameters
    ----------
    layers : ndarray of uint16, shape (K, H, W) or (H, W)
        0 is background; in each layer labels 1..N, every one of them present; objects may be in
        parts.

    Raises
    ------
    ValueError
        If `layers` is of another type or shape or without pixels, or a label is missing.
    """
    if layers.ndim not in (2, 3) or layers.dtype != np.uint16 or not layers.size:
        raise ValueError(f"labels must be 2-D or 3-D uint16, got {layers.dtype} {layers.shape}")
    layers = layers.reshape(-1, *layers.shape[-2:])
    counts = layers.max(axis=(1, 2)).astype(np.int64)
    return LayerObjects(layers, counts, row_runs(layers, counts), column_runs(layers, counts))


def row_runs(layers: np.ndarray, counts: np.ndarray) -> Runs:
    """Return the runs along rows.

    Parameters
    ----------
    layers : ndarray of uint16, shape (K, H, W)
        0 is background; in each layer labels 1..N, every one of them present.
    counts : ndarray of int64, shape (K,)
        How many objects each layer has.

    Raises
    ------
    ValueError
        If a label is missing.
    """
    framed = np.zeros((*layers.shape[:2], layers.shape[2] + 1), layers.dtype)
    framed[..., :-1] = layers
    return framed_row_runs(framed, counts)


def framed_row_runs(framed: np.ndarray, counts: np.ndarray) -> Runs:
    """Return the runs along rows of layers whose last column is background, at which all end."""
    begins, ends, label = _stretches(framed)
    line, start = np.divmod(begins, framed.shape[2])
    layer, line = np.divmod(line, framed.shape[1])
    return _ordered(label, layer, line, start, start + ends - begins, counts)


def column_runs(layers: np.ndarray, counts: np.ndarray) -> Runs:
    """Return the runs along columns; see `row_runs`."""
    depth, height, width = layers.shape
    framed = np.zeros((depth, height + 1, width), layers.dtype)
    framed[:, :-1] = layers
    begins, ends, label = _stretches(cv2.transpose(framed.reshape(-1, width)))
    line, start = np.divmod(begins, depth * (height + 1))
    layer, start = np.divmod(start, height + 1)
    return _ordered(label, layer, line, start, start + ends - begins, counts)


def chosen_runs(runs: Runs, chosen: np.ndarray) -> Runs:
    """Return the runs of some objects, bool (N,), which are numbered anew."""
    if chosen.all():
        return runs
    rows = chosen[runs.object]
    number = (np.cumsum(chosen) - 1)[runs.object[rows]]
    first = np.flatnonzero(np.diff(number, prepend=-1))
    return Runs(number, first, runs.line[rows], runs.start[rows], runs.stop[rows])


def run_totals(runs: Runs, values: np.ndarray) -> np.ndarray:
    """Return the sum over the runs of each object."""
    return np.add.reduceat(values, runs.first)


def run_boxes(runs: Runs) -> np.ndarray:
    """Return x, y, width and height of each object, int64 (N, 4), of runs along rows."""
    x = np.minimum.reduceat(runs.start, runs.first)
    right = np.maximum.reduceat(runs.stop, runs.first)
    last = np.append(runs.first[1:], len(runs.object))[: len(runs.first)] - 1  # runs come by row
    y, bottom = runs.line[runs.first], runs.line[last]
    return np.stack([x, y, right - x, bottom + 1 - y], axis=1)


def _stretches(framed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where stretches of a label begin and end in the flat map, and their labels."""
    flat = framed.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begins = np.concatenate([np.zeros(1, np.int64), changes])
    label = flat[begins]
    inside = np.flatnonzero(label)  # never the last, which is of the frame
    return begins[inside], begins[inside + 1], label[inside]


def _ordered(
    label: np.ndarray,
    layer: np.ndarray,
    line: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    counts: np.ndarray,
) -> Runs:
    total = int(counts.sum())
    number = (np.cumsum(counts) - counts)[layer] + label - 1
    small = number.astype(np.uint16) if total <= 1 << 16 else number  # are sorted by their digits
    order = np.argsort(small, kind="stable")
    number = number[order]
    first = np.flatnonzero(np.diff(number, prepend=-1))
    if len(first) != total:
        raise ValueError(f"labels must be 1..N, got {len(first)} of {total}")
    return Runs(number, first, line[order], start[order], stop[order])
