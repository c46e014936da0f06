import numpy as np
import pytest

from src.base.errors import InputError
from src.searching.combinations import (
    best_of,
    combinations_of,
    draw_images,
)


def test_combinations_count_like_a_clock():
    assert combinations_of({"threshold": [0.5, 0.4], "dilate": [0, 1]}) == [
        {"threshold": 0.5, "dilate": 0},
        {"threshold": 0.5, "dilate": 1},
        {"threshold": 0.4, "dilate": 0},
        {"threshold": 0.4, "dilate": 1},
    ]
    assert combinations_of({}) == [{}]


def test_images_are_drawn_by_seed_in_their_order():
    folds = [0, 1] * 10
    drawn = draw_images(folds, 8, 3)
    assert len(drawn) == len(set(drawn)) == 8
    assert sorted(drawn) == drawn.tolist() == draw_images(folds, 8, 3).tolist()
    assert drawn.tolist() != draw_images(folds, 8, 4).tolist()
    for most in (0, 20, 99):
        assert draw_images(folds, most, 0).tolist() == list(range(20))


def test_a_fold_without_a_drawn_image_is_named():
    with pytest.raises(InputError, match="search.max_images 2 leaves no image of fold 7; raise"):
        draw_images([3] * 99 + [7], 2, 0)


def test_the_first_of_the_best_is_chosen_unless_nothing_is_defined():
    assert best_of("all", np.array([0.1, 0.7, 0.7]), "ap50") == 1
    with pytest.raises(InputError, match="ap50 is undefined: the images of the folds other than 2"):
        best_of("2", np.array([np.nan, np.nan]), "ap50")
