"""Folds for cross-validation, no group in two of them: alike, unlike on purpose, or as given."""

import numpy as np

from src.base.errors import InputError
from src.dividing.group_folds import folds_of_sizes, stratified_folds

BINS = (10, 5, 2)  # most bins of coverage, tried in turn; finer ones would only balance noise
DRAWS = 20  # random orders of the groups, of which the one that gives the most even folds is taken


def assign_folds(coverage: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Assign every image to one of `k` folds, whole groups at a time.

    Images are binned by coverage (`coverage_bins`) and the bins spread evenly over the folds. If
    a fold stays empty that way, which few or very unequal groups can cause, coarser bins are tried;
    with a single bin left the groups are placed by their number of images alone, the largest first,
    each into the smallest fold, which fills every fold.

    Parameters
    ----------
    coverage : ndarray of float, shape (N,)
        Share of object pixels of each image, or another number from 0 that folds shall be alike
        in, such as its objects.
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
    names, group_ids = _checked_groups(coverage, groups, k)
    for max_bins in BINS:
        bins = coverage_bins(coverage, min_images=k, max_bins=max_bins)
        if bins.any():
            folds = stratified_folds(bins, group_ids, k, seed)
            if len(np.unique(folds)) == k:
                return folds
    shuffled = np.random.default_rng(seed).permutation(len(names))[group_ids]
    return folds_of_sizes(shuffled, k)


def draw_folds(
    coverage: np.ndarray, groups: np.ndarray, k: int, seed: int, repeat: int
) -> np.ndarray:
    """Assign every image to a fold like `assign_folds`, in a division drawn anew.

    `assign_folds` goes by the size of the groups, so where they differ in size another seed changes
    little or nothing. Here the groups come in random order, each into the fold that has least of
    what the group has (images, and images of each bin of coverage); of DRAWS orders the one whose
    folds are the most even is taken.

    Parameters
    ----------
    coverage, groups, k
        As in `assign_folds`.
    seed, repeat : int
        From 0; both together choose the orders.

    Returns
    -------
    folds : ndarray of int64, shape (N,)
        In 0..k-1; every fold holds at least one image.

    Raises
    ------
    ValueError
        As `assign_folds`.
    """
    names, group_ids = _checked_groups(coverage, groups, k)
    bins = coverage_bins(coverage, min_images=k, max_bins=BINS[0])
    counts = np.zeros((len(names), bins.max() + 2))
    np.add.at(counts, (group_ids, bins), 1)
    counts[:, -1] = counts.sum(axis=1)
    counts /= counts.sum(axis=0)
    rng, most_even = np.random.default_rng([seed, repeat]), np.inf
    for _ in range(DRAWS):
        held, fold_of = np.zeros((k, counts.shape[1])), np.empty(len(names), np.int64)
        for group in rng.permutation(len(names)):
            fold_of[group] = (held * counts[group]).sum(axis=1).argmin()  # least sum of squares
            held[fold_of[group]] += counts[group]
        if (held**2).sum() < most_even:
            most_even, best = (held**2).sum(), fold_of
    return best[group_ids]


def folds_by_likeness(likeness: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """Assign the images most like test to fold 0, the next to fold 1, and so on.

    Groups are sorted by the mean likeness of their images, the most alike first, equal ones by
    name; the folds are consecutive groups of as equal numbers of images as whole groups allow.

    Parameters
    ----------
    likeness : ndarray of float, shape (N,)
        Finite.
    groups, k
        As in `assign_folds`.

    Returns
    -------
    folds : ndarray of int64, shape (N,)
        In 0..k-1; every fold holds at least one image.

    Raises
    ------
    ValueError
        As `assign_folds`.
    """
    names, group_ids = _checked_groups(likeness, groups, k)
    sizes = np.bincount(group_ids)
    means = np.bincount(group_ids, likeness) / sizes
    order = np.argsort(-means.round(9), kind="stable")
    middle = sizes[order].cumsum() - sizes[order] / 2  # in images from the most alike
    fold_of, fold = np.empty(len(names), np.int64), -1
    for place, group in enumerate(order):
        least = max(fold, 0, k - (len(names) - place))  # leaves a group for each fold to come
        fold = min(max(int(middle[place] * k / len(likeness)), least), fold + 1)
        fold_of[group] = fold
    return fold_of[group_ids]


def check_given_folds(numbers: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """Make sure that folds that were given are folds.

    Parameters
    ----------
    numbers : ndarray of float, shape (N,)
        The fold of each image.
    groups : ndarray of str, shape (N,)
        Images with equal entries have to be in the same fold.
    k : int
        Number of folds.

    Returns
    -------
    folds : ndarray of int64, shape (N,)
        The same, in 0..k-1; every fold holds at least one image.

    Raises
    ------
    InputError
        If a number is no fold, a fold is empty or a group lies in two; reason and remedy alone,
        without the place.
    """
    wrong = numbers[~np.isin(numbers, np.arange(k))]
    if len(wrong):
        raise InputError(
            f"{wrong[0]:g} is no fold: with split_folds.k {k} they are whole numbers from 0 to "
            f"{k - 1}; correct one of them"
        )
    folds = numbers.astype(np.int64)
    empty = np.setdiff1d(np.arange(k), folds)
    if len(empty):
        raise InputError(
            f"no train image is of fold {empty[0]} of split_folds.k {k}; lower it or give each "
            "fold images"
        )
    names, group_ids = np.unique(groups, return_inverse=True)
    lowest, highest = np.full(len(names), k), np.zeros(len(names), np.int64)
    np.minimum.at(lowest, group_ids, folds)
    np.maximum.at(highest, group_ids, folds)
    for group in np.flatnonzero(lowest < highest)[:1]:
        raise InputError(
            f"the group '{names[group]}' lies in the folds {lowest[group]} and {highest[group]}; "
            "its images are alike, give them one fold"
        )
    return folds


def coverage_bins(coverage: np.ndarray, min_images: int, max_bins: int) -> np.ndarray:
    """Bin images by coverage: the empty ones by themselves, the others into quantiles.

    Parameters
    ----------
    coverage : ndarray of float, shape (N,)
        From 0.
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


def _checked_groups(
    numbers: np.ndarray, groups: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Names of the groups and the number of each image's."""
    names, group_ids = np.unique(groups, return_inverse=True)
    if len(numbers) != len(group_ids):
        raise ValueError(f"{len(numbers)} coverages but {len(group_ids)} groups")
    if not 2 <= k <= len(names):
        raise ValueError(f"k must be between 2 and the {len(names)} groups, got {k}")
    return names, group_ids
