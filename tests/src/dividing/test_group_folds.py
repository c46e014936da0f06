import warnings

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from src.dividing.group_folds import folds_of_sizes, stratified_folds


def drawn(seed):
    """Classes and groups of images, groups alike in size or not, and a number of folds."""
    rng = np.random.default_rng(seed)
    count = rng.integers(8, 90)
    groups = rng.integers(0, rng.integers(2, count + 1), count)
    if seed % 3 == 0:  # a few large groups among small ones
        groups = np.minimum(groups, rng.integers(0, count, count))
    groups[:2] = 0, 1
    classes = rng.integers(0, rng.integers(2, 12), count)
    classes[:2] = 0, 1
    return classes, groups, int(rng.integers(2, min(len(np.unique(groups)), 12) + 1))


def as_folds(splitter, classes, groups):
    folds = np.full(len(groups), -1)
    for fold, (_, held_out) in enumerate(splitter.split(classes, classes, groups)):
        folds[held_out] = fold
    return folds


@pytest.mark.parametrize("seed", range(80))
def test_folds_are_those_of_scikit_learn(seed):
    classes, groups, k = drawn(seed)
    if max(np.bincount(classes)) >= k:  # or else it refuses
        official = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
        with warnings.catch_warnings(action="ignore"):  # of classes with fewer images than folds
            expected = as_folds(official, classes, groups)
        np.testing.assert_array_equal(stratified_folds(classes, groups, k, seed), expected)
    expected = as_folds(GroupKFold(k), classes, groups)
    np.testing.assert_array_equal(folds_of_sizes(groups, k), expected)


def test_classes_are_spread_evenly():
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    folds = stratified_folds(classes, np.arange(8), 2, seed=0)
    assert np.bincount(2 * folds + classes).tolist() == [2, 2, 2, 2]
    names = np.array(list("aabbccdd"))  # a and b are of class 0, c and d of 1
    folds = stratified_folds(classes, names, 2, seed=0)
    assert folds[::2].tolist() == folds[1::2].tolist()
    assert folds[0] != folds[2]
    assert folds[4] != folds[6]


def test_another_seed_deals_groups_of_one_size_otherwise():
    classes = np.arange(40) % 2
    dealt = {tuple(stratified_folds(classes, np.arange(40), 4, seed)) for seed in range(5)}
    assert len(dealt) == 5


def test_the_largest_group_comes_first_and_each_into_the_smallest_fold():
    groups = np.array(["small"] + ["large"] * 5 + ["middle"] * 2 + ["other"] * 2)
    folds = folds_of_sizes(groups, 2)
    assert folds.tolist() == [1, 0, 0, 0, 0, 0, 1, 1, 1, 1]  # 5 against 2 + 2, + 1
