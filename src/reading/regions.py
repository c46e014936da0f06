"""The pixels of one annotated object, whatever the format it comes from."""

from typing import NamedTuple

import numpy as np

from src.label_maps.labels import IGNORE

MAX_OBJECTS = IGNORE - 1  # an image can hold so many, labels being uint16


class Region(NamedTuple):
    """The pixels of one object as runs in column-major order (all of column 0, then column 1)."""

    runs: np.ndarray  # (R, 2) int64: first pixel of each run and the one after its last
    area: int  # px; 0 for a region without pixels
    bbox: tuple[int, int, int, int]  # XYWH in px; zeros without pixels


def region_of(runs: np.ndarray, height: int) -> Region:
    """Measure the region of runs (R, 2) in order, of which none touches the next."""
    return Region(runs, int((runs[:, 1] - runs[:, 0]).sum()), _bounding_box(runs, height))


def joined(runs: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Return the pixels that lie in some runs and in none of others.

    Parameters
    ----------
    runs, without : ndarray of int64, shape (R, 2)
        First pixel of each run and the one after its last; in any order, and may overlap.

    Returns
    -------
    runs : ndarray of int64, shape (R, 2)
        In order; none touches the next.
    """
    both = np.concatenate([runs, without])
    edges, place = np.unique(both, return_inverse=True)
    place, steps = place.reshape(-1, 2), np.zeros((2, len(edges)), np.int64)
    for step, ends in zip(steps, (place[: len(runs)], place[len(runs) :]), strict=True):
        np.add.at(step, ends[:, 0], 1)
        np.add.at(step, ends[:, 1], -1)
    inside, taken = np.cumsum(steps, axis=1) > 0
    changes = np.diff(np.concatenate([[0], inside & ~taken]), append=0)
    return edges[np.flatnonzero(changes)].reshape(-1, 2).astype(np.int64)


def _bounding_box(runs: np.ndarray, height: int) -> tuple[int, int, int, int]:
    if not runs.size:
        return 0, 0, 0, 0
    first, last = runs[:, 0], runs[:, 1] - 1
    left, right = int(first[0] // height), int(last[-1] // height)
    if (first // height != last // height).any():  # such a run touches bottom and top
        return left, 0, right - left + 1, height
    top, bottom = int((first % height).min()), int((last % height).max())
    return left, top, right - left + 1, bottom - top + 1
