"""What hangs together by links between two at a time."""

import numpy as np


def components(links: np.ndarray, count: int) -> np.ndarray:
    """Return the number of the family of each of `count`, int64 (count,), from 0 on.

    Parameters
    ----------
    links : ndarray of int64, shape (L, 2)
        Positions of two that belong together.
    count : int
        Without any the answer is empty.
    """
    if not count:
        return np.zeros(0, np.int64)
    from scipy.sparse import coo_array  # not at the top: most data sets have no mosaics
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(links), bool)
    graph = coo_array((ones, (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
