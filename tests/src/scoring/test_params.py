import pytest
from pydantic import ValidationError

from tests.plain_rescore import params


def test_a_tree_of_scores_above_one_is_refused():
    with pytest.raises(ValidationError, match="selection tree needs scores up to 1, which"):
        params(score="mean_sqrt_area", selection="tree")
    assert params(score="mean", selection="tree").selection == "tree"
    assert params(score="mean_sqrt_area", selection="nms").selection == "nms"


def test_an_unknown_score_is_answered_with_the_known_ones():
    with pytest.raises(ValidationError, match="'mean_sqrt_area', 'lightgbm' or 'random_forest'"):
        params(score="svm")
