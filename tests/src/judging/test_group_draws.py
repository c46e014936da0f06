import numpy as np
import pytest

from src.judging.group_draws import Sampled, group_weights, interval, percentiles


def test_every_draw_has_as_many_groups_as_there_are():
    groups = np.array([0, 0, 0, 1, 2, 4])
    weights = group_weights(groups, 400, 0)
    assert weights.shape == (400, 5)
    assert (weights.sum(axis=1) == 5).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.2)
    assert weights.max() > 1
    assert (weights == group_weights(groups, 400, 0)).all()
    assert (weights != group_weights(groups, 400, 1)).any()


def test_the_bounds_are_percentiles_of_what_is_defined():
    samples = np.concatenate([np.arange(0, 1001), [np.nan] * 500])
    assert percentiles(Sampled(0.5, samples, 2)) == (25, 975)
    assert percentiles(Sampled(np.nan, np.full(5, np.nan), 2)) == (None, None)
    assert percentiles(Sampled(0.5, np.array([0.5, 0.5]), 1)) == (None, None)


def test_intervals_of_few_groups_are_wider_than_the_percentiles():
    samples = np.linspace(0, 1, 1001)  # percentiles 0.025 and 0.975
    # t with 2 degrees of freedom is 4.302653, of the normal distribution 1.959964
    reach = 4.302653 / 1.959964 * np.sqrt(3 / 2)
    low, high = interval(Sampled(0.4, samples, 3), within=(-9, 9))
    assert (low, high) == pytest.approx((0.4 - 0.375 * reach, 0.4 + 0.575 * reach), rel=1e-6)
    assert interval(Sampled(0.4, samples, 3), within=(0, 1)) == (0, 1)
    wide = interval(Sampled(0.5, samples, 1000), within=(0, 1))
    assert wide == pytest.approx((0.025, 0.975), abs=0.001)


def test_fewer_than_three_groups_have_no_interval():
    samples = np.linspace(0, 1, 11)
    assert interval(Sampled(0.5, samples, 2), within=(0, 1)) == (None, None)
    assert interval(Sampled(np.nan, samples, 3), within=(0, 1)) == (None, None)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="nothing to draw: 0 images"):
        group_weights(np.zeros(0, int), 10, 0)
    with pytest.raises(ValueError, match="nothing to draw: 1 images, 0 resamples"):
        group_weights(np.zeros(1, int), 0, 0)
