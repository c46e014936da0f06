import numpy as np
import pytest
import torch

from src.networks.resizing import resized, resized_maps, resized_tensor

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize("factor", [0.01, 0.5, 1, 1.3, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sides_are_rounded_and_a_pixel_at_least_and_one_changes_nothing(factor, channels):
    image = RNG.integers(0, 256, (6, 10, channels), dtype=np.uint8)
    sides = tuple(max(1, round(side * factor)) for side in (6, 10))
    for function in (resized, resized_maps):
        scaled = function(image, factor)
        assert (scaled.shape, scaled.dtype) == ((*sides, channels), np.uint8)
        assert factor != 1 or scaled is image


def test_an_image_shrinks_to_the_mean_over_the_area_of_a_pixel():
    expected = IMAGE.reshape(10, 2, 5, 2, 3).mean((1, 3))
    assert abs(resized(IMAGE, 0.5) - expected).max() <= 0.5
    third = resized(IMAGE[:, :9], 1 / 3)
    expected = IMAGE[:18, :9].reshape(6, 3, 3, 3, 3).mean((1, 3))
    assert third.shape == (7, 3, 3)
    steps = resized(np.repeat(np.repeat(IMAGE, 3, 0), 3, 1), 1 / 3)
    np.testing.assert_array_equal(steps, IMAGE)


def test_an_image_grows_between_the_middles_of_its_pixels():
    ramp = np.repeat(np.array([[0, 40, 80]], np.uint8)[..., None], 3, axis=2)
    assert resized(ramp, 2.0)[0, :, 0].tolist() == [0, 10, 30, 50, 70, 80]


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.3])
@pytest.mark.parametrize("count", [4, 6, 8])
def test_maps_get_no_value_that_they_did_not_have(factor, count):
    maps = RNG.choice(np.array([0, 7, 200], np.uint8), (20, 10, count))
    scaled = resized_maps(maps, factor)
    assert scaled.shape == (round(20 * factor), round(10 * factor), count)
    known = set(map(tuple, maps.reshape(-1, count).tolist()))
    assert set(map(tuple, scaled.reshape(-1, count).tolist())) <= known


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 1.7])
def test_a_tensor_is_resized_to_the_same_pixels(factor):
    scaled = resized_tensor(torch.from_numpy(IMAGE).permute(2, 0, 1), factor)
    assert scaled.dtype == torch.uint8
    np.testing.assert_array_equal(scaled.permute(1, 2, 0), resized(IMAGE, factor))
