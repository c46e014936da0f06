"""Pixels of an object in a scene as runs along its columns: room for the object, not for the scene.

Pixels are numbered down the first column, then down the next one, as in COCO's run lengths. Runs
are an array of int64, shape (R, 2): the first pixel of each run and the one after its last. They
ascend and never touch; a run that reaches the bottom goes on at the top of the next column.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import numpy as np
from pycocotools import mask as coco_mask

NONE = np.empty((0, 2), np.int64)


class Area(NamedTuple):
    """Rows and columns of a scene, px, each from the first to the one after the last."""

    top: int
    bottom: int
    left: int
    right: int


def common_area(one: Area, other: Area) -> Area | None:
    """Return what two areas have in common, None if that is no pixel."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom, right = min(one.bottom, other.bottom), min(one.right, other.right)
    return Area(top, bottom, left, right) if top < bottom and left < right else None


def rle_runs(counts: str) -> np.ndarray:
    """Return the runs of a mask, in its own image, from COCO's compressed run lengths."""
    if not counts:
        return NONE
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(codes & 32 == 0)  # bit 6 tells that a number goes on
    begins = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(begins, last - begins + 1)
    values = np.add.reduceat((codes & 31) << (5 * place), begins)
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    # From the fourth number on they are differences to the last but one.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    ends = np.cumsum(values)
    return np.stack([ends[0:-1:2], ends[1::2]], axis=1)[values[1::2] > 0]


def mask_runs(mask: np.ndarray) -> np.ndarray:
    """Return the runs of a mask, bool (H, W), in its own image."""
    columns = np.concatenate([[False], mask.ravel(order="F"), [False]])
    return np.flatnonzero(columns[1:] != columns[:-1]).reshape(-1, 2)


def place_runs(
    runs: np.ndarray, height: int, scene_height: int, row: int, column: int
) -> np.ndarray:
    """Move runs of an image of some height to where its upper left pixel lies in a scene."""
    runs = _one_column_each(runs, height)
    across, down = np.divmod(runs[:, 0], height)
    start = (across + column) * scene_height + down + row
    return join_runs([np.stack([start, start + runs[:, 1] - runs[:, 0]], axis=1)])


def join_runs(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Unite objects, of which pixels may be in several."""
    runs = np.concatenate([NONE, *parts])
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reach = np.maximum.accumulate(runs[:, 1])
    first = np.flatnonzero(np.concatenate([[True], runs[1:, 0] > reach[:-1]]))
    return np.stack([runs[first, 0], np.append(reach[first[1:] - 1], reach[-1])], axis=1)


def clip_runs(runs: np.ndarray, height: int, area: Area) -> np.ndarray:
    """Return the pixels inside an area of a scene of that height."""
    runs = _one_column_each(runs, height)
    column = runs[:, 0] // height
    inside = (column >= area.left) & (column < area.right)
    runs, offset = runs[inside], (column[inside] * height)[:, None]
    runs = np.clip(runs, offset + area.top, offset + min(area.bottom, height))
    return join_runs([runs[runs[:, 1] > runs[:, 0]]])


def count_pixels(runs: np.ndarray) -> int:
    return int((runs[:, 1] - runs[:, 0]).sum())


def shared_pixels(runs: np.ndarray, others: np.ndarray) -> int:
    """Count the pixels that two objects have in common."""
    if not len(runs) or not len(others):
        return 0
    length = others[:, 1] - others[:, 0]
    before = np.cumsum(length) - length
    at = np.searchsorted(others[:, 0], runs, side="right") - 1
    covered = before[at] + np.clip(runs - others[at, 0], 0, length[at])
    covered[at < 0] = 0
    return int((covered[:, 1] - covered[:, 0]).sum())


def runs_area(runs: np.ndarray, height: int) -> Area:
    """Return the tight box of an object of at least one pixel in a scene of that height."""
    runs = _one_column_each(runs, height)
    column, top = np.divmod(runs[:, 0], height)
    bottom = top + runs[:, 1] - runs[:, 0]
    return Area(int(top.min()), int(bottom.max()), int(column[0]), int(column[-1]) + 1)


def runs_mask(runs: np.ndarray, height: int, area: Area) -> np.ndarray:
    """Draw an object within an area that it does not leave.

    Returns
    -------
    mask : ndarray of bool, shape (bottom - top, right - left)
        Of a scene of `height` px.
    """
    runs = _one_column_each(runs, height)
    rows, columns = area.bottom - area.top, area.right - area.left
    column, down = np.divmod(runs[:, 0], height)
    start = (column - area.left) * rows + down - area.top
    change = np.zeros(rows * columns + 1, np.int8)
    np.add.at(change, start, 1)
    np.add.at(change, start + runs[:, 1] - runs[:, 0], -1)
    filled = np.cumsum(change[:-1], dtype=np.int8).astype(bool)
    return np.ascontiguousarray(filled.reshape(columns, rows).T)


def runs_rle(runs: np.ndarray, height: int, width: int) -> dict[str, Any]:
    """Return COCO's compressed run lengths, {"size": [H, W], "counts": str}.

    Raises
    ------
    ValueError
        If the scene has 2^32 pixels or more, which pycocotools cannot count.
    """
    if height * width >= 1 << 32:
        raise ValueError(f"{height} x {width} px are more than COCO's run lengths can hold")
    counts = np.diff(np.concatenate([[0], runs.ravel(), [height * width]]))
    counts = counts if counts[-1] else counts[:-1]
    given = cast("Any", {"size": [height, width], "counts": counts.tolist()})
    rle = cast("Any", coco_mask.frPyObjects(given, height, width))
    return {"size": [height, width], "counts": rle["counts"].decode()}


def _one_column_each(runs: np.ndarray, height: int) -> np.ndarray:
    """Cut the runs that go over from one column to the next."""
    first, last = runs[:, 0] // height, (runs[:, 1] - 1) // height
    if np.array_equal(first, last):
        return runs
    pieces = last - first + 1
    piece = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin = (np.repeat(first, pieces) + piece) * height
    start, stop = np.repeat(runs, pieces, axis=0).T
    return np.stack([np.maximum(start, begin), np.minimum(stop, begin + height)], axis=1)
