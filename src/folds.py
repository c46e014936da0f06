"""Folds for cross-validation: alike in mask coverage, no group in two of them."""

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

BINS = (10, 5, 2)  # most bins of coverage, tried in turn; finer ones would only balance noise


def assign_folds(coverage: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Assign every image to one of `k` folds, whole groups at a time.

    Images are binned by coverage (`coverage_bins`) and the bins spread evenly over the folds. If
    a fold stays empty that way, which few or very unequal groups can cause, coarser bins are tried;
    with a single bin left the groups are placed by their number of images alone, the largest first,
    each into the smallest fold, which fills every fold.

    Parameters
    ----------
    coverage : ndarray of float, shape (N,)
        Share of object pixels of each image, in [0, 1].
    groups : ndarray of str or int, shape (N,)
        Images with equal entries end in the same fold.
    k : int
        Number of folds, at least 2.
    seed : int
        Which of the equally good assignments is taken.

    Returns
    -------
    folds : ndarray of int64, shape (N,)
        In 0..k-1; every fold holds at least one image.

    Raises
    ------
    ValueError
        If the two arrays differ in length, `k` is below 2 or there are fewer groups than folds.
    """
    names, group_ids = np.unique(groups, return_inverse=True)
    if len(coverage) != len(group_ids):
        raise ValueError(f"{len(coverage)} coverages but {len(group_ids)} groups")
    if not 2 <= k <= len(names):
        raise ValueError(f"k must be between 2 and the {len(names)} groups, got {k}")
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    for max_bins in BINS:
        bins = coverage_bins(coverage, min_images=k, max_bins=max_bins)
        if bins.any():
            folds = _fold_of_each(splitter, bins, group_ids)
            if len(np.unique(folds)) == k:
                return folds
    shuffled = np.random.default_rng(seed).permutation(len(names))[group_ids]
    return _fold_of_each(GroupKFold(k), np.zeros(len(shuffled)), shuffled)


def coverage_bins(coverage: np.ndarray, min_images: int, max_bins: int) -> np.ndarray:
    """Bin images by coverage: the empty ones by themselves, the others into quantiles.

    Parameters
    ----------
    coverage : ndarray of float, shape (N,)
        In [0, 1].
    min_images : int
        No bin is smaller, unless there are fewer images: where images are few there are fewer
        quantiles, and empty or covered images fewer than this share a bin with their neighbours.
    max_bins : int
        Largest number of bins, at least 2, the one of the empty images included.

    Returns
    -------
    bins : ndarray of int64, shape (N,)
        Contiguous numbers from 0, increasing with coverage; equal coverage, equal bin.
    """
    values, value_of, counts = np.unique(coverage, return_inverse=True, return_counts=True)
    quantile = max(counts[values > 0].sum() / (max_bins - 1), min_images)  # images
    bin_of = np.empty(len(values), np.int64)
    current, held = 0, 0
    for i, (value, count) in enumerate(zip(values, counts, strict=True)):
        bin_of[i] = current
        held += count
        if held >= (quantile if value > 0 else min_images):
            current, held = current + 1, 0
    if held < min_images:  # what is left over is no bin of its own
        bin_of[bin_of == current] -= current > 0
    return bin_of[value_of]


def _fold_of_each(splitter, bins: np.ndarray, group_ids: np.ndarray) -> np.ndarray:
    """Return for each image the number of the split that holds it out."""
    folds = np.empty(len(group_ids), np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(bins, bins, group_ids)):
        folds[held_out] = fold
    return folds
