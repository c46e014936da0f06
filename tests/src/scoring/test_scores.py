import numpy as np
import pytest

from src.scoring.scores import best_of_each, object_scores


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


def test_the_best_of_each_image_by_falling_score():
    images = np.array(["b", "a", "b", "b", "a"])
    kept = best_of_each(images, np.array([0.2, 0.5, 0.9, 0.4, 0.7]), limit=2)
    assert kept.tolist() == [4, 1, 2, 3]


def test_equal_scores_keep_the_first():
    assert best_of_each(np.array(["a"] * 4), np.ones(4), limit=2).tolist() == [0, 1]


def test_nothing_to_keep():
    assert best_of_each(np.array([], str), np.array([]), limit=3).size == 0


@pytest.mark.parametrize("seed", range(5))
def test_equals_sorting_each_image_by_itself(seed):
    rng = np.random.default_rng(seed)
    images, scores = rng.integers(0, 5, 60), rng.integers(0, 9, 60) / 9
    slow = []
    for image in np.unique(images):
        rows = np.flatnonzero(images == image)
        slow += sorted(rows, key=lambda row: (-scores[row], row))[:4]
    assert best_of_each(images, scores, limit=4).tolist() == slow
