"""Adversarial validation: how well a classifier tells the images of two splits apart.

Where it does, the splits differ, and a score on one says little about the other.
"""

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from src.dividing.group_folds import stratified_folds
from src.judging.group_draws import Sampled, group_weights, interval
from src.likeness.absence import absent

with absent("sklearn"):
    import lightgbm

UNSEEN = -1  # fold of images that no classifier has seen
NEVER = 1e-6  # the least probability that is given; 1 - NEVER the largest
RESAMPLES_AT_ONCE = 50  # bounds the memory of the bootstrap


class SplitDifference(NamedTuple):
    """How well two splits can be told apart."""

    likeness: np.ndarray  # (N,) float64 in (0, 1), rounded: of being of the other split
    auc: float  # of the images used
    low: float | None  # 2.5 % of the samples of groups have a smaller AUC
    high: float | None  # 2.5 % have a larger one
    gains: np.ndarray  # (F,) float64, share of each feature; all 0 where nothing was split by


def tell_apart(
    features: np.ndarray,
    other: np.ndarray,
    groups: np.ndarray,
    used: np.ndarray,
    *,
    k: int,
    trees: int,
    resamples: int,
    seed: int,
) -> SplitDifference | None:
    """Classify images as being of one split or of the other, whole groups at a time.

    Every image is classified by boosted trees that have seen no image of its group; one whose
    group is not used at all, by the mean of all of them. Probabilities are those under equal
    priors: what a classifier learnt from more images of one split than of the other is undone.
    The same to the bit for any number of cores.

    Parameters
    ----------
    features : ndarray of float, shape (N, F)
        Finite.
    other : ndarray of bool, shape (N,)
        Whether an image is of the other split.
    groups : ndarray of str or int, shape (N,)
        Images with equal entries are never on both sides, of whichever split they are.
    used : ndarray of bool, shape (N,)
        Whether an image is learnt from and judged by; it gets a likeness in any case.
    k : int
        Folds of the cross-validation, at least 2; fewer where a split has fewer groups.
    trees : int
        Of each classifier.
    resamples : int
        Sets of groups drawn for the interval.
    seed : int

    Returns
    -------
    difference : SplitDifference or None
        None where the images used are in too few groups: every classifier has to see both splits,
        so each of them needs images in two groups. Where all images are alike the AUC is 0.5.
    """
    group_ids = np.unique(groups, return_inverse=True)[1]
    folds = _folds(other, group_ids, used, k, seed)
    if folds is None:
        return None
    sums, times, gains = np.zeros(len(other)), np.zeros(len(other)), np.zeros(features.shape[1])
    for fold in range(folds.max() + 1):
        seen = used & (folds != fold)
        booster = _fit(features[seen], other[seen], trees, seed)
        asked = (folds == fold) | (folds == UNSEEN)
        sums[asked] += _at_equal_priors(
            np.asarray(booster.predict(features[asked])), other[seen].mean()
        )
        times[asked] += 1
        gain = booster.feature_importance("gain")
        gains += gain / max(gain.sum(), NEVER)
    likeness = np.round(np.clip(sums / times, NEVER, 1 - NEVER), 6)
    auc, low, high = _auc(likeness[used], other[used], groups[used], resamples, seed)
    return SplitDifference(likeness, auc, low, high, gains / max(gains.sum(), NEVER))


def look_alikes(features: np.ndarray, count: int) -> np.ndarray:
    """Group images that look alike, for want of groups that are known.

    Images of one place or one day look alike. A classifier that has seen some of them knows the
    rest again, and splits are told apart that differ in nothing else. Of a split without groups
    those that look alike can stand in for them; it then rather seems too much like the other.

    Parameters
    ----------
    features : ndarray of float, shape (N, F)
        Finite.
    count : int
        Largest number of groups, positive.

    Returns
    -------
    groups : ndarray of int64, shape (N,)
        From 0; by Ward's clustering of the features, each scaled to unit variance. It keeps the
        distances of all pairs, 8 N (N - 1) / 2 bytes.
    """
    if len(features) <= count:
        return np.arange(len(features))
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return fcluster(linkage(scaled, "ward"), count, "maxclust").astype(np.int64) - 1


def _folds(
    other: np.ndarray, groups: np.ndarray, used: np.ndarray, k: int, seed: int
) -> np.ndarray | None:
    """Fold of each image, UNSEEN where its group is not used; None where there are none to be had.

    Each fold leaves images of both splits to learn from.
    """
    held = [len(np.unique(groups[used & side])) for side in (other, ~other)]
    for count in range(min(k, *held), 1, -1):
        folds = stratified_folds(other[used], groups[used], count, seed)
        if all(0 < other[used][folds != fold].mean() < 1 for fold in range(count)):
            fold_of_group = np.full(groups.max() + 1, UNSEEN)
            fold_of_group[groups[used]] = folds
            return fold_of_group[groups]
    return None


def _fit(features: np.ndarray, other: np.ndarray, trees: int, seed: int) -> lightgbm.Booster:
    settings = {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.05,
        "min_data_in_leaf": 5,
        "lambda_l2": 1.0,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(features, other), trees)


def _at_equal_priors(probability: np.ndarray, prior: float) -> np.ndarray:
    """Probabilities of a classifier that learnt from a share `prior`, as if it had been half."""
    yes, no = probability * (1 - prior), (1 - probability) * prior
    return yes / (yes + no)


def _auc(
    scores: np.ndarray, positive: np.ndarray, groups: np.ndarray, resamples: int, seed: int
) -> tuple[float, float | None, float | None]:
    """AUC of the images as they are, and the interval of those of groups drawn anew."""
    groups = np.unique(groups, return_inverse=True)[1]
    weights = group_weights(groups, resamples, seed)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    aucs = _aucs(scores, positive, groups, weights)
    low, high = interval(Sampled(aucs[0], aucs[1:], weights.shape[1]), within=(0.0, 1.0))
    return float(aucs[0]), low, high


def _aucs(
    scores: np.ndarray, positive: np.ndarray, groups: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Area under the ROC curve of every set of groups (R, G), NaN where a set has one class.

    Counted in whole pairs, equal scores as half: the same in any order.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.unique(scores[order], return_index=True)[1]
    found = []
    for first in range(0, len(weights), RESAMPLES_AT_ONCE):
        times = weights[first : first + RESAMPLES_AT_ONCE, groups[order]].astype(np.int64)
        above = np.add.reduceat(times * positive[order], starts, axis=1)
        below = np.add.reduceat(times * ~positive[order], starts, axis=1)
        won = (above * (2 * below.cumsum(axis=1) - below)).sum(axis=1)
        pairs = 2 * above.sum(axis=1) * below.sum(axis=1)
        found.append(np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0))
    return np.concatenate(found)
