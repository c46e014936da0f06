import cv2
import numpy as np
import pytest

from src.networks.contrast import equalise


def ramp(low=100, high=140):
    grey = np.tile(np.linspace(low, high, 64).astype(np.uint8), (64, 1))
    return np.dstack([grey] * 3)


def lab(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(int)


def test_contrast_grows_with_the_clip_limit():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.normal(120, 8, (256, 256, 1)).astype(np.uint8), 3, axis=2)
    spreads = [seen.std() for seen in (image, *(equalise(image, c) for c in (1.2, 2.0, 4.0)))]
    assert (np.diff(spreads) > 2).all()


def test_the_hue_stays():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(60, 190, (64, 48, 3), dtype=np.uint8), (0, 0), 3)
    seen = equalise(image, 2.0)
    assert np.abs(lab(seen)[..., 1:] - lab(image)[..., 1:]).max() <= 2
    assert np.abs(lab(seen)[..., 0] - lab(image)[..., 0]).max() > 20


def test_tiles_are_equalised_apart():
    image = np.hstack([ramp(20, 60), ramp(180, 220)])
    apart, alone = equalise(image, 4.0, tiles=2), equalise(image, 4.0, tiles=1)
    assert np.ptp(apart[:8, :32, 0]) > 1.5 * np.ptp(image[:8, :32, 0])
    assert not np.array_equal(apart, alone)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (37, 41)])
def test_any_size_is_answered_in_kind_and_left_as_it_was(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = image.copy()
    first, second = equalise(image, 2.0), equalise(image, 2.0)
    assert (first.shape, first.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_a_clip_limit_that_is_not_positive_is_refused(bad):
    with pytest.raises(ValueError, match=f"clip_limit must be positive, got {bad}"):
        equalise(ramp(), bad)
