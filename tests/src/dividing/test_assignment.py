import numpy as np
import pytest

from src.base.errors import InputError
from src.dividing.assignment import (
    assign_folds,
    check_given_folds,
    coverage_bins,
    draw_folds,
    folds_by_likeness,
)


def random_table(seed):
    """Coverage with many, few or no empty images, groups from one image to nearly all."""
    rng = np.random.default_rng(seed)
    count = rng.integers(2, 60)
    groups = rng.integers(0, rng.integers(2, count + 1), count)
    if seed % 3 == 0:  # a few large groups among small ones
        groups = np.minimum(groups, rng.integers(0, count, count))
    groups[:2] = 0, 1
    group_count = len(np.unique(groups))
    k = group_count if seed % 4 == 0 else rng.integers(2, min(group_count, 8) + 1)
    coverage = rng.random(count) * (rng.random(count) < rng.choice([0, 0.1, 0.5, 1]))
    return coverage, np.array([f"g{group}" for group in groups]), int(k)


METHODS = {
    "assign_folds": assign_folds,
    "draw_folds": lambda coverage, groups, k, seed: draw_folds(coverage, groups, k, seed, 1),
    "folds_by_likeness": lambda likeness, groups, k, seed: folds_by_likeness(likeness, groups, k),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(60))
def test_no_group_is_in_two_folds_and_no_fold_is_empty(seed, method):
    coverage, groups, k = random_table(seed)
    folds = METHODS[method](coverage, groups, k, seed)
    assert set(folds) == set(range(k))
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1


def test_empty_images_and_every_quarter_of_the_coverage_are_shared_out_evenly():
    coverage = np.array([0, 0.1, 0, 0.2, 0, 0.3, 0, 0.4, 0.1, 0.2, 0.3, 0.4])
    for seed in range(10):
        folds = assign_folds(coverage, np.arange(12), k=2, seed=seed)
        for fold in range(2):
            assert sorted(coverage[folds == fold]) == [0, 0, 0.1, 0.2, 0.3, 0.4]


def test_groups_of_unlike_coverage_are_paired_so_that_folds_are_alike():
    coverage = np.repeat([0, 0, 0.5, 0.5], 4)
    groups = np.repeat(["a", "b", "c", "d"], 4)
    for seed in range(10):
        folds = assign_folds(coverage, groups, k=2, seed=seed)
        assert coverage[folds == 0].mean() == coverage[folds == 1].mean() == 0.25


@pytest.mark.parametrize("coverage", [0, 0.5])
def test_where_coverage_is_all_the_same_folds_are_equal_in_images(coverage):
    groups = np.repeat(["a", "b", "c", "d"], [6, 3, 2, 1])
    folds = assign_folds(np.full(12, coverage), groups, k=2, seed=0)
    assert np.bincount(folds).tolist() == [6, 6]


def test_two_images_are_two_folds():
    assert sorted(assign_folds(np.array([0.2, 0]), np.array(["a", "b"]), k=2, seed=0)) == [0, 1]


# tables for which StratifiedGroupKFold alone leaves a fold empty
@pytest.mark.parametrize(
    ("sizes", "levels"), [([4, 2, 8, 4], [0, 0, 1, 1]), ([3, 1, 1, 6, 5], [0, 0, 0, 2, 2])]
)
def test_as_many_folds_as_groups_are_the_groups(sizes, levels):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    folds = assign_folds(np.repeat(levels, sizes) / 4, groups, k=len(sizes), seed=0)
    assert sorted(np.bincount(folds)) == sorted(sizes)


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    coverage = np.linspace(0.1, 0.9, 40)
    folds = [assign_folds(coverage, np.arange(40), 4, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()


def test_the_seed_also_decides_where_coverage_is_no_help():
    folds = [assign_folds(np.zeros(20), np.arange(20), 2, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 4])
def test_a_number_of_folds_below_two_or_above_the_groups_is_refused(k, method):
    with pytest.raises(ValueError, match=f"between 2 and the 3 groups, got {k}"):
        METHODS[method](np.zeros(5), np.array(["a", "b", "c", "c", "c"]), k, seed=0)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="3 coverages but 2 groups"):
        assign_folds(np.zeros(3), np.array(["a", "b"]), k=2, seed=0)


def test_empty_images_are_a_bin_and_the_others_fall_into_quantiles():
    coverage = np.array([0.9, 0, 0.1, 0.5, 0, 0.2, 0.6, 0.4])
    bins = coverage_bins(coverage, min_images=2, max_bins=10)
    np.testing.assert_array_equal(bins, [3, 0, 1, 2, 0, 1, 3, 2])


def test_the_number_of_bins_is_limited():
    bins = coverage_bins(np.array([0, 0, 0.1, 0.2, 0.3, 0.4]), min_images=1, max_bins=3)
    np.testing.assert_array_equal(bins, [0, 0, 1, 1, 2, 2])


def test_empty_images_are_a_bin_of_their_own_even_if_they_are_few():
    bins = coverage_bins(np.array([0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), min_images=2, max_bins=2)
    np.testing.assert_array_equal(bins, [0, 0, 1, 1, 1, 1, 1, 1])


def test_too_few_empty_images_for_a_bin_join_the_least_covered():
    bins = coverage_bins(np.array([0.4, 0, 0.3, 0.2]), min_images=2, max_bins=10)
    np.testing.assert_array_equal(bins, [1, 0, 1, 0])


def test_too_few_covered_images_for_a_bin_join_the_empty_ones():
    bins = coverage_bins(np.array([0.4, 0, 0, 0, 0]), min_images=2, max_bins=10)
    np.testing.assert_array_equal(bins, [0, 0, 0, 0, 0])


def test_too_few_images_for_a_last_bin_join_the_one_before():
    bins = coverage_bins(np.array([0.5, 0.4, 0.3, 0.2, 0.1]), min_images=2, max_bins=10)
    np.testing.assert_array_equal(bins, [1, 1, 1, 0, 0])


def test_equal_coverage_is_never_parted():
    bins = coverage_bins(np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.7]), min_images=1, max_bins=4)
    np.testing.assert_array_equal(bins, [0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize("seed", range(30))
def test_no_bin_is_smaller_than_asked_for(seed):
    coverage, _, k = random_table(seed)
    sizes = np.bincount(coverage_bins(coverage, min_images=k, max_bins=10))
    assert sizes.min() >= k
    assert len(sizes) <= 10


def test_objects_are_balanced_like_coverage():
    objects = np.array([0, 0, 0, 0, 1, 2, 3, 4, 1, 2, 3, 4])
    for seed in range(10):
        folds = assign_folds(objects, np.arange(12), k=2, seed=seed)
        for fold in range(2):
            assert sorted(objects[folds == fold]) == [0, 0, 1, 2, 3, 4]


def test_divisions_differ_even_where_groups_differ_in_size_and_stay_even():
    groups = np.repeat(np.arange(24), np.arange(10, 34))
    coverage = np.random.default_rng(0).random(len(groups)) * (groups % 3 > 0)
    by_seed = {tuple(assign_folds(coverage, groups, 4, seed)) for seed in range(5)}
    assert len(by_seed) < 5  # which is why the others are drawn
    divisions = [assign_folds(coverage, groups, 4, 0)]
    divisions += [draw_folds(coverage, groups, 4, 0, repeat) for repeat in range(1, 5)]
    for number, folds in enumerate(divisions):
        sizes = np.bincount(folds)
        assert sizes.max() <= 1.25 * sizes.min()
        means = [coverage[folds == fold].mean() for fold in range(4)]
        assert max(means) - min(means) < 0.08
        for other in divisions[:number]:
            parts = {(a, b) for a, b in zip(folds, other, strict=True)}
            assert len(parts) > 10  # of 16; 4 would be the same division


def test_a_division_is_that_of_its_seed_and_its_number():
    table = np.linspace(0, 1, 40), np.arange(40) // 2, 4
    drawn = [draw_folds(*table, seed, repeat) for seed, repeat in ((1, 1), (1, 1), (1, 2), (2, 1))]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert (drawn[0] != drawn[3]).any()


def test_a_division_drawn_anew_shares_out_what_can_be_shared():
    coverage = np.repeat([0, 0, 0.5, 0.5], 4)
    groups = np.repeat(["a", "b", "c", "d"], 4)
    for repeat in range(1, 6):
        folds = draw_folds(coverage, groups, 2, seed=0, repeat=repeat)
        assert coverage[folds == 0].mean() == coverage[folds == 1].mean() == 0.25


def test_the_groups_most_like_test_are_fold_0():
    groups = np.array(["a", "a", "b", "b", "c", "d", "d", "e"])
    likeness = np.array([0.1, 0.3, 0.9, 0.7, 0.5, 0.6, 0.6, 0.0])
    # groups by mean: b 0.8, d 0.6, c 0.5, a 0.2, e 0; of 8 images two folds have 4
    folds = folds_by_likeness(likeness, groups, 2)
    assert folds.tolist() == [1, 1, 0, 0, 1, 0, 0, 1]
    assert folds_by_likeness(likeness, groups, 5).tolist() == [3, 3, 0, 0, 2, 1, 1, 4]


def test_a_large_group_leaves_the_other_folds_a_group_each():
    groups = np.array(["a"] * 18 + ["b", "c"])
    for likeness, expected in (((0.9, 0.5, 0.1), (0, 1, 2)), ((0.1, 0.9, 0.5), (2, 0, 1))):
        folds = folds_by_likeness(np.repeat(likeness, (18, 1, 1)), groups, 3)
        assert [folds[0], folds[18], folds[19]] == list(expected)


def test_groups_alike_in_likeness_come_by_name():
    groups = np.array(["d", "b", "c", "a"])
    assert folds_by_likeness(np.full(4, 0.5), groups, 2).tolist() == [1, 0, 1, 0]


def test_given_folds_are_taken():
    folds = check_given_folds(np.array([1.0, 0, 2, 1]), np.array(["a", "b", "c", "a"]), 3)
    assert folds.tolist() == [1, 0, 2, 1]
    assert folds.dtype == np.int64


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([0, 1, 1.5, 0], r"1\.5 is no fold: with split_folds\.k 2 they are .* from 0 to 1"),
        ([0, 1, 2, 0], "2 is no fold"),
        ([0, -1, 1, 0], "-1 is no fold"),
        ([0, 0, 0, 0], r"no train image is of fold 1 of split_folds\.k 2"),
        ([0, 1, 1, 1], r"the group 'a' lies in the folds 0 and 1; .* give them one fold"),
    ],
)
def test_given_folds_that_are_none_are_refused(numbers, words):
    with pytest.raises(InputError, match=words):
        check_given_folds(np.array(numbers, float), np.array(["a", "b", "c", "a"]), 2)
