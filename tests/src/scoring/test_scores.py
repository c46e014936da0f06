import numpy as np
import pytest

from src.scoring.scores import object_scores, ranked_by_image


@pytest.mark.parametrize(
    ("score", "expected"),
    [("constant", [1, 1]), ("mean", [0.5, 0.9]), ("mean_sqrt_area", [5, 2.7])],
)
def test_scores_by_hand(score, expected):
    scores = object_scores(np.array([0.5, 0.9]), np.array([100, 9]), score)
    np.testing.assert_allclose(scores, expected)


def test_an_unknown_score_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'max' is unknown; known: constant, mean, mean_sqrt_area"):
        object_scores(np.ones(1), np.ones(1), "max")


def test_rows_come_by_image_and_falling_score_of_equal_ones_the_first():
    images = np.array(["b", "a", "b", "b", "a", "b"])
    rows = ranked_by_image(images, np.array([0.2, 0.5, 0.9, 0.4, 0.7, 0.4]))
    assert rows.tolist() == [4, 1, 2, 3, 5, 0]
    assert ranked_by_image(np.array([], str), np.array([])).size == 0
