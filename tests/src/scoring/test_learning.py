import numpy as np
import pandas as pd
import pytest

from src.scoring.learning import inner_parts


def inner(parts, groups, used):
    images = pd.DataFrame({"part": list(parts), "group": list(groups)})
    found = inner_parts(images, np.array(used, bool))
    return None if found is None else found.tolist()


def test_the_inner_parts_are_the_folds_where_two_have_candidates():
    assert inner("0220", "abcd", [1, 1, 0, 1]) == [0, 1, 1, 0]


@pytest.mark.parametrize("used", [[1, 1, 0, 0, 1, 1], [1, 1, 1, 0, 1, 1]])
def test_else_they_are_three_groups_of_those_that_are_used(used):
    # the second fold has none that is used
    found = inner("000100", "aabbcd", used)
    assert found[:2] == [0, 0]
    assert sorted({found[0], found[4], found[5]}) == [0, 1, 2]
    assert found[2] == found[3]


def test_two_groups_make_two_parts():
    assert inner("0000", "abab", [1, 1, 1, 1]) == [0, 1, 0, 1]


def test_one_group_cannot_be_parted():
    assert inner("0011", "aaaa", [1, 1, 0, 0]) is None
    assert inner("0000", "abab", [1, 0, 1, 0]) is None
    assert inner("", "", []) is None
