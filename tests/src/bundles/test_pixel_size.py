import math

import pytest

from src.bundles.pixel_size import METRES_PER_DEGREE, median_pixel_size, pixel_size


def place(xc, yr, crs, y0=0.0, xr=0.0, yc=0.0):
    return (0.0, xc, xr, y0, yc, yr, crs)


def test_the_side_of_a_pixel_in_a_projected_system():
    assert pixel_size(place(0.5, -0.5, "EPSG:32737")) == 0.5
    assert pixel_size(place(0.4, -0.9, "EPSG:32737")) == pytest.approx(0.6)  # the root of the area


def test_a_turned_pixel_is_as_large():
    turned = place(0.3, -0.3, "EPSG:32737", xr=0.4, yc=0.4)
    assert pixel_size(turned) == pytest.approx(0.5)


def test_feet_become_metres():
    assert pixel_size(place(1.0, -1.0, "EPSG:2263")) == pytest.approx(0.3048006)


def test_degrees_become_metres_at_their_latitude():
    step = 1e-5
    at_equator = pixel_size(place(step, -step, "EPSG:4326"))
    assert at_equator == pytest.approx(step * METRES_PER_DEGREE)
    at_sixty = pixel_size(place(step, -step, "EPSG:4326", y0=60.0))
    assert at_sixty == pytest.approx(at_equator * math.sqrt(0.5))


@pytest.mark.parametrize("crs", ["", "EPSG:999999", "no system"])
def test_an_unknown_system_tells_no_size(crs):
    assert pixel_size(place(0.5, -0.5, crs)) is None


def test_the_median_is_of_the_images_that_lie_on_the_map():
    sides = [place(side, -side, "EPSG:32737") for side in (0.1, 0.2, 0.9)]
    assert median_pixel_size([*sides, place(5.0, -5.0, "")]) == pytest.approx(0.2)
    assert median_pixel_size([]) is None
