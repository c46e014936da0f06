"""Holding out whole groups of the training images, to choose an epoch by."""

import numpy as np


def hold_out_groups(groups: list[str], *, fraction: float, seed: int) -> np.ndarray:
    """Choose random groups until at least `fraction` of the images are held out.

    Parameters
    ----------
    groups : list of str
        The group of each of N images.
    fraction : float
        In [0, 1); 0 holds out nothing.
    seed : int
        Which groups.

    Returns
    -------
    held : ndarray of bool, shape (N,)
        True for the images held out. A group is held out whole, so their share may exceed
        `fraction`, up to all images where there is one group.
    """
    names, ids, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    before = np.cumsum(counts[order]) - counts[order]
    chosen = order[before < fraction * len(ids)]
    return np.isin(ids, chosen)
