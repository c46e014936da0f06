from collections import Counter

import numpy as np
import pytest

from src.training.epoch_draws import epoch_draws
from src.training.image_sampling import sampling_weights
from tests.sections import phase, section

# mean object areas 100, 400, none, 25 px
IMAGES = {
    "objects": np.array([4, 1, 0, 16]),
    "coverage": np.array([0.04, 0.04, 0.0, 0.04]),
    "pixels": np.array([10000, 10000, 10000, 10000]),
}


def test_uniform_sampling_needs_no_weights():
    assert sampling_weights("uniform", **IMAGES) is None


def test_images_weigh_one_over_the_root_of_their_mean_object_area():
    weights = sampling_weights("size", **IMAGES)
    np.testing.assert_allclose(weights[[0, 1, 3]], [1 / 10, 1 / 20, 1 / 5])


def test_images_without_objects_weigh_the_mean_of_the_others():
    assert sampling_weights("size", **IMAGES)[2] == pytest.approx((1 / 10 + 1 / 20 + 1 / 5) / 3)


def test_images_without_any_object_weigh_the_same():
    none = IMAGES | {"objects": np.zeros(4, int), "coverage": np.zeros(4)}
    np.testing.assert_array_equal(sampling_weights("size", **none), np.ones(4))


def test_images_of_one_coverage_bin_share_a_weight_of_one():
    coverage = np.array([0, 0, 0.01, 0.1, 0.1000001, 0.3, 0.25, 0.95, 1])
    weights = sampling_weights(
        "rarity", objects=coverage > 0, coverage=coverage, pixels=np.ones(9, int)
    )
    np.testing.assert_allclose(weights, [1 / 2, 1 / 2, 1 / 2, 1 / 2, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 2])


@pytest.mark.parametrize("tenth", range(1, 11))
def test_each_bin_ends_with_its_upper_bound(tenth):
    coverage = np.array([tenth / 10 - 0.05, tenth / 10, tenth / 10 + 0.0001])
    weights = sampling_weights("rarity", objects=np.ones(3), coverage=coverage, pixels=np.ones(3))
    np.testing.assert_allclose(weights, [1 / 2, 1 / 2, 1])


@pytest.mark.parametrize("sampling", ["size", "rarity"])
def test_epochs_show_images_as_often_as_the_closed_form_says(sampling):
    images = {key: np.tile(values, 5) for key, values in IMAGES.items()}
    images["coverage"][:4] = 0.9  # rare
    images["objects"][:4] = 9
    weights = sampling_weights(sampling, **images)
    train = section("train", batch_size=1, seed=3)
    draws = 20 * 2000
    counts = Counter(
        index
        for epoch in range(2000)
        for index, _ in epoch_draws(20, phase(), train, epoch=epoch, weights=weights)
    )
    expected = draws * weights / weights.sum()
    seen = np.array([counts[index] for index in range(20)])
    assert (np.abs(seen - expected) < 5 * np.sqrt(expected)).all()
    assert np.ptp(expected) > 20 * np.sqrt(expected).max()  # far from uniform


def test_an_unknown_sampling_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'large' is unknown; known: uniform, size, rarity"):
        sampling_weights("large", **IMAGES)
