import math

import pytest
import torch

from src.distances import QUARTERS
from src.pixel_weights import STEPS_PER_PIXEL, pixel_weights

OFF = {"distance": "none", "w0": 0.0, "sigma": 1.0, "size_weight": 0.0}


def planes(d1, d2, sqrt_area, size=(1, 1)):
    values = torch.tensor([d1 * 4, d2 * 4, sqrt_area], dtype=torch.uint8)  # quarter pixels
    return values.view(1, 3, 1, 1).expand(1, 3, *size)


def test_everything_off_weighs_every_pixel_alike():
    assert pixel_weights(planes(3, 5, 7), **OFF).item() == 1


def test_two_nearest_objects_by_the_formula():
    weight = pixel_weights(
        planes(3, 5, 0), **OFF | {"distance": "d1_d2", "w0": 50.0, "sigma": 10.0}
    )
    assert weight.item() == pytest.approx(1 + 50 * math.exp(-64 / 100))


def test_nearest_object_alone_by_the_formula():
    weight = pixel_weights(planes(3, 5, 0), **OFF | {"distance": "d1", "w0": 5.0, "sigma": 10.0})
    assert weight.item() == pytest.approx(1 + 5 * math.exp(-9 / 100))


def test_a_lone_building_has_no_halo_of_two_nearest_objects():
    lone = torch.tensor([0, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    weight = pixel_weights(lone, **OFF | {"distance": "d1_d2", "w0": 50.0, "sigma": 10.0})
    assert weight.item() == pytest.approx(1, abs=1e-6)


def test_far_pixels_do_not_wrap_around():
    # the sum of two stored distances exceeds a byte: 127.5 px, not 127.5 - 64 px
    far = torch.tensor([255, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    weight = pixel_weights(far, **OFF | {"distance": "d1_d2", "w0": 1e4, "sigma": 30.0})
    assert weight.item() == pytest.approx(1 + 1e4 * math.exp(-(127.5**2) / 900), rel=1e-4)


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 10 / 4), (0.5, (10 / 4) ** 0.5)])
def test_small_objects_weigh_more_and_background_one(exponent, expected):
    size = (20, 20)  # C = 10
    on_object = pixel_weights(planes(0, 0, 4, size), **OFF | {"size_weight": exponent})
    background = pixel_weights(planes(0, 0, 0, size), **OFF | {"size_weight": exponent})
    assert on_object[0, 0, 0].item() == pytest.approx(expected)
    assert (background == 1).all()


def test_both_factors_multiply():
    both = OFF | {"distance": "d1", "w0": 3.0, "sigma": 1.0, "size_weight": 1.0}
    assert pixel_weights(planes(0, 0, 4, (20, 20)), **both)[0, 0, 0].item() == pytest.approx(
        4 * 2.5
    )


def test_an_unknown_distance_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'d2' is unknown; known: none, d1, d1_d2"):
        pixel_weights(planes(0, 0, 0), **OFF | {"distance": "d2"})


def test_distances_are_read_in_the_steps_they_are_stored_in():
    assert STEPS_PER_PIXEL == QUARTERS
