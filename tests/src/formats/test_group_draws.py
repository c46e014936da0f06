import numpy as np
import pytest

from src.formats.group_draws import Sampled, group_weights, interval


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
    assert interval(Sampled(0.5, samples, 2)) == (25, 975)
    assert interval(Sampled(np.nan, np.full(5, np.nan), 2)) == (None, None)


def test_a_single_group_has_no_interval():
    assert interval(Sampled(0.5, np.array([0.5, 0.5]), 1)) == (None, None)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="nothing to draw: 0 images"):
        group_weights(np.zeros(0, int), 10, 0)
    with pytest.raises(ValueError, match="nothing to draw: 1 images, 0 resamples"):
        group_weights(np.zeros(1, int), 0, 0)
