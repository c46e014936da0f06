import numpy as np
import pandas as pd
import pytest

from src.parts.image_parts import deal_groups, image_parts, learning_images


def folds(*rows):
    """Return a table of folds; a row is name, fold, repeat, group."""
    return pd.DataFrame(rows, columns=["name", "fold", "repeat", "group"])


def test_a_part_is_the_first_trained_fold():
    table = folds(("b", 1, 0, "x"), ("a", 0, 0, "y"), ("c", 2, 0, "z"), ("c", 4, 1, "z"))
    parts = image_parts(table, [0, 1])
    assert parts["part"].to_dict() == {"a": "0", "b": "1"}
    assert parts["group"].to_dict() == {"a": "y", "b": "x"}
    assert list(parts.index) == ["a", "b"]
    assert image_parts(table, [0, 1, 4])["part"].to_dict() == {"a": "0", "b": "1", "c": "4"}


def test_a_single_fold_is_dealt_by_its_groups():
    rows = [(f"{group}{n}", 3, 0, group) for group, size in zip("abcdefg", [1, 1, 3, 1, 1, 1, 1],
            strict=True) for n in range(size)]  # fmt: skip
    parts = image_parts(folds(*rows, ("z", 1, 0, "z")), [3])
    of_group = parts.groupby("group")["part"].agg(lambda part: "".join(sorted(set(part))))
    # the largest first, then by name into the one with least
    assert of_group.to_dict() == {
        **{"c": "3.0", "a": "3.1", "b": "3.2", "d": "3.3", "e": "3.4"},
        **{"f": "3.1", "g": "3.2"},
    }
    assert (parts["part"].value_counts().sort_index() == [3, 2, 2, 1, 1]).all()


def test_a_single_group_is_the_one_part_and_learns_from_none():
    parts = image_parts(folds(("a", 2, 0, "x"), ("b", 2, 0, "x")), [2])["part"]
    assert parts.to_dict() == {"a": "2", "b": "2"}
    seen = learning_images(parts)
    assert {part: one.tolist() for part, one in seen.items()} == {
        "all": [True, True],
        "2": [False, False],
    }


def test_a_part_learns_from_the_others_and_the_rest_from_all():
    parts = pd.Series(["1", "0", "1"], ["a", "b", "c"])
    assert {part: one.tolist() for part, one in learning_images(parts).items()} == {
        "all": [True, True, True],
        "0": [True, False, True],
        "1": [False, True, False],
    }


def test_without_an_image_there_is_no_part():
    parts = image_parts(folds(("a", 2, 0, "x")), [1])
    assert list(learning_images(parts["part"])) == ["all"]
    assert deal_groups(np.array([], str), np.zeros(0), 3).size == 0


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_dealt_whole_evenly_and_in_any_order_of_the_rows(seed):
    rng = np.random.default_rng(seed)
    groups = rng.choice(list("abcdefghij"), 60)
    sizes = rng.integers(0, 4, 60)
    parts = deal_groups(groups, sizes, 3)
    load = np.bincount(parts, weights=sizes, minlength=3)
    largest = max(sizes[groups == group].sum() for group in set(groups))
    assert load.max() - load.min() <= largest
    for group in set(groups):
        assert len(set(parts[groups == group])) == 1
    order = rng.permutation(60)
    np.testing.assert_array_equal(deal_groups(groups[order], sizes[order], 3), parts[order])


def test_each_part_gets_a_group_that_counts_and_there_are_no_more_parts_than_groups():
    groups, sizes = np.array(list("abcd")), np.array([0, 5, 1, 1])
    assert deal_groups(groups, sizes, 3).tolist() == [1, 0, 1, 2]
    assert sorted(deal_groups(groups[:2], sizes[:2], 5).tolist()) == [0, 1]
