"""Folds of whole groups, as scikit-learn deals them: to the bit, without its seconds of import."""

import numpy as np


def stratified_folds(classes: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Deal whole groups to folds so that classes are spread evenly.

    What StratifiedGroupKFold(k, shuffle=True, random_state=seed) of scikit-learn does: groups
    come by falling spread of their counts over the classes, those of equal spread in an order drawn
    by the seed; each goes to the fold with which the shares of the classes differ least between
    folds, among equals to that of the fewest images.

    Parameters
    ----------
    classes : ndarray of int or bool, shape (N,)
        Of each image.
    groups : ndarray of int or str, shape (N,)
        Images with equal entries end in the same fold.
    k : int
        Number of folds, at least 2.
    seed : int
        From 0.

    Returns
    -------
    folds : ndarray of int64, shape (N,)
        In 0..k-1; one may be left without any image, for want of groups or where they are unequal.
    """
    class_ids, totals = np.unique(classes, return_inverse=True, return_counts=True)[1:]
    group_ids = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((group_ids.max() + 1, len(totals)))
    np.add.at(counts, (group_ids, class_ids), 1)
    order = np.arange(len(counts))
    np.random.RandomState(seed).shuffle(order)  # noqa: NPY002  (whose stream is scikit-learn's)
    order = order[np.argsort(-np.std(counts[order], axis=1), kind="stable")]
    held, fold_of = np.zeros((k, len(totals))), np.empty(len(counts), np.int64)
    itself = np.eye(k)[:, :, None]
    for group in order:
        tried = (held + itself * counts[group]) / totals  # (k, k, C): the group in each fold
        spread = np.std(tried, axis=1).mean(axis=1).tolist()
        fold_of[group] = fold = _least(spread, held.sum(axis=1).tolist())
        held[fold] += counts[group]
    return fold_of[group_ids]


def folds_of_sizes(groups: np.ndarray, k: int) -> np.ndarray:
    """Deal whole groups to folds by their size alone: the largest first, each to the smallest fold.

    What GroupKFold(k) of scikit-learn does.

    Parameters
    ----------
    groups : ndarray of int or str, shape (N,)
    k : int
        Number of folds, at most as many as there are groups.

    Returns
    -------
    folds : ndarray of int64, shape (N,)
        In 0..k-1, none without an image. Of groups of one size the one that sorts last comes first.
    """
    group_ids, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    held, fold_of = np.zeros(k, np.int64), np.empty(len(sizes), np.int64)
    for group in np.argsort(sizes, kind="stable")[::-1]:
        fold_of[group] = fold = held.argmin()
        held[fold] += sizes[group]
    return fold_of[group_ids]


def _least(spreads: list[float], images: list[float]) -> int:
    """Return the first fold of least spread; of those about equal the one of fewest images."""
    best = 0
    for fold in range(1, len(spreads)):
        least, close = spreads[best], 1e-8 + 1e-5 * abs(spreads[best])  # of numpy.isclose
        alike = abs(spreads[fold] - least) <= close
        if spreads[fold] < least or (alike and images[fold] < images[best]):
            best = fold
    return best
