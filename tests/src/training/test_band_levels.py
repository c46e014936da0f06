import random

import numpy as np
import pytest

from src.training.band_levels import BandLevels, with_levels

NONE = np.zeros((1, 4))


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((1, 1, 1), [100, 200, 300, 400]),
        ((1.2, 1, 1), [150, 250, 350, 450]),  # the mean, 250, becomes 300
        ((1, 2, 1), [0, 150, 350, 550]),  # -50 is clipped
        ((1, 1, 2), [100, 133, 233, 400]),  # 300 * (1/3)**2 = 33.3, 300 * (2/3)**2 = 133.3
    ],
)
def test_levels_are_relative_to_the_band(factors, expected):
    plane = np.array([[100, 200, 300, 400]], np.uint16)
    found = with_levels(plane, *factors, NONE)
    assert (found.dtype, found.tolist()) == (np.uint16, [expected])


def test_noise_is_a_share_of_the_range_and_a_flat_band_has_none():
    plane = np.array([[100, 200, 300, 400]], np.uint16)
    assert with_levels(plane, 1, 1, 1, NONE + 0.1).tolist() == [[130, 230, 330, 430]]
    flat = np.full((1, 4), 250, np.uint8)
    assert with_levels(flat, 0.9, 2, 3, NONE + 0.1).tolist() == [[225] * 4]
    assert with_levels(flat, 1.5, 1, 1, NONE).tolist() == [[255] * 4]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [1, 2, 5, 16])
def test_each_band_is_drawn_apart_and_draws_repeat(kind, bands):
    plane = np.arange(30, dtype=kind).reshape(5, 6) + 90
    image = np.dstack([plane] * bands)
    step = BandLevels(brightness=0.5, contrast=0.5, gamma=0.5, noise=1.0)

    def made(seed):
        step.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return step(image=image)["image"]

    found = made(1)
    assert (found.shape, found.dtype) == (image.shape, kind)
    assert np.array_equal(found, made(1))
    assert not np.array_equal(found, made(2))
    assert len({found[..., band].tobytes() for band in range(bands)}) == bands
    off = BandLevels(brightness=0.0, contrast=0.0, gamma=0.0, noise=0.0)
    assert np.array_equal(off(image=image)["image"], image)
