"""Sets that grow together, of things numbered from 0.

`parents` is an array with a number for each thing, at first its own: `np.arange(count)`.
"""

import numpy as np


def find(parents: np.ndarray, things: np.ndarray) -> np.ndarray:
    """Return the least thing in the set of each of the things, int64 of the same shape."""
    roots = parents[things]
    while not np.array_equal(above := parents[roots], roots):
        roots = above
    return roots


def unite(parents: np.ndarray, one: int, other: int) -> bool:
    """Make one set of the sets of two things; False if it is one already."""
    one, other = _root(parents, one), _root(parents, other)
    parents[max(one, other)] = min(one, other)
    return one != other


def _root(parents: np.ndarray, thing: int) -> int:
    """Find the least thing in a set, and shorten the way to it."""
    while (parent := int(parents[thing])) != thing:
        parents[thing] = parents[parent]
        thing = parent
    return thing
