import cv2
import numpy as np
import pytest

from src.reporting.pictures import LONGEST_SIDE, colour_bar, colour_plane, encode_picture, enlarge


def test_planes_run_from_dark_to_bright_and_stop_at_the_highest():
    bar = colour_plane(np.array([[0.0, 5, 10, 99]]), highest=10, scale=1)[0].astype(int)
    brightness = bar.sum(axis=1)
    assert brightness[0] < 30 < brightness[1] < brightness[2] == brightness[3]
    assert bar[2, 0] > 240  # red and green make the yellow end
    assert bar[2, 2] < bar[2, 1]


def test_the_bar_shows_the_colours_of_the_planes():
    bar = colour_bar()
    assert bar.shape == (12, 256, 3)
    plane = np.array([[0, 25.6, 128, 255]])
    np.testing.assert_array_equal(bar[:1, [0, 26, 128, 255]], colour_plane(plane, 255, scale=1))


def test_a_plane_needs_a_positive_end():
    with pytest.raises(ValueError, match="highest must be positive, got 0"):
        colour_plane(np.zeros((2, 2)), highest=0, scale=1)


def test_pixels_are_repeated_not_blended():
    np.testing.assert_array_equal(enlarge(np.array([[1, 2]]), 2), [[1, 1, 2, 2], [1, 1, 2, 2]])


def test_large_pictures_are_enlarged_less_and_huge_ones_thinned_out():
    half = LONGEST_SIDE // 2
    assert enlarge(np.zeros((half, 10)), 5).shape == (2 * half, 20)
    assert enlarge(np.zeros((half + 1, 10)), 5).shape == (half + 1, 10)
    huge = np.zeros((2 * LONGEST_SIDE + 1, 7, 3), np.uint8)
    assert enlarge(huge, 2).shape == (-(-huge.shape[0] // 3), 3, 3)


def test_a_scale_below_1_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        enlarge(np.zeros((2, 2)), 0)


def test_encoded_pictures_keep_every_pixel_and_the_order_of_colours():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_picture(picture), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], picture)
