import numpy as np
import pytest

from src.base.errors import InputError
from src.preparing.stretches import BLOCK, check_stretch, to_8_bits

RNG = np.random.default_rng(0)
NONE = {"stretch": "none", "low": 0, "high": 0}


def column(*values, dtype=np.float64):
    return np.array(values, dtype)[:, None, None]


def levels(values, **arguments):
    return to_8_bits(values, **arguments)[:, 0, 0].tolist()


def test_8_bits_stay_the_very_array():
    values = RNG.integers(0, 256, (3, 4, 3), np.uint8)
    assert to_8_bits(values, **NONE) is values
    valid = np.zeros((3, 4), bool)
    assert to_8_bits(values, **NONE, invalid=valid) is values


def test_invalid_pixels_become_0_in_a_copy():
    values = np.full((2, 2, 1), 9, np.uint8)
    invalid = np.array([[True, False], [False, False]])
    assert to_8_bits(values, **NONE, invalid=invalid)[..., 0].tolist() == [[0, 9], [9, 9]]
    assert values.min() == 9


@pytest.mark.parametrize(
    ("bits", "dtype", "values", "expected"),
    [
        (None, np.uint16, [0, 255, 256, 65535], [0, 0, 1, 255]),
        (16, np.uint16, [0, 255, 256, 65535], [0, 0, 1, 255]),
        (12, np.uint16, [0, 15, 16, 4095], [0, 0, 1, 255]),
        (9, np.uint16, [1, 2, 511], [0, 1, 255]),
        (12, np.uint16, [5000], [255]),  # more than 12 bits hold
        (4, np.uint8, [0, 1, 15], [0, 17, 255]),
        (1, np.uint8, [0, 1], [0, 255]),
        (8, np.uint8, [0, 77], [0, 77]),
    ],
)
def test_the_upper_bits_are_kept(bits, dtype, values, expected):
    assert levels(column(*values, dtype=dtype), **NONE, bits=bits) == expected


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int64, np.float32])
def test_other_values_need_a_range(dtype):
    with pytest.raises(InputError, match=f"type {np.dtype(dtype)} .* set images.stretch"):
        to_8_bits(column(1, 2, dtype=dtype), **NONE)


def test_a_range_is_rounded_to_the_nearest_level():
    found = levels(column(-9, 0, 0.1, 0.5, 0.999, 1, 9), stretch="range", low=0, high=1)
    assert found == [0, 0, 26, 128, 255, 255, 255]


def test_percentiles_are_values_of_the_image():
    # half of the four do not exceed 2, three quarters do not exceed 7
    found = levels(column(7, 1, 2, 9), stretch="percentile", low=50, high=75)
    assert found == [255, 0, 0, 255]


def test_of_equal_percentiles_only_more_is_white():
    values = column(*[3] * 99, 50)
    assert levels(values, stretch="percentile", low=1, high=99) == [0] * 99 + [255]
    assert levels(column(3, 3, 3), stretch="percentile", low=1, high=99) == [0, 0, 0]


def test_bands_have_percentiles_of_their_own():
    values = np.dstack([column(0, 10), column(5, 105), column(8, 8)])
    found = to_8_bits(values, stretch="percentile", low=0, high=100)
    assert found[:, 0].tolist() == [[0, 0, 0], [255, 255, 0]]


def test_percentiles_leave_out_invalid_pixels():
    invalid = np.array([[True], [False], [False], [True]])
    values = column(np.nan, 4, 6, 1e30)
    found = levels(values, stretch="percentile", low=0, high=100, invalid=invalid)
    assert found == [0, 0, 255, 0]


def test_no_valid_pixel_gives_black():
    every = np.ones((2, 1), bool)
    assert levels(column(1, 2), stretch="percentile", low=0, high=100, invalid=every) == [0, 0]


def test_a_large_image_is_turned_in_parts_to_the_same():
    values = RNG.normal(size=(3, BLOCK // 2 + 1, 1))
    expected = np.rint((values.clip(-1, 1) / 2 + 0.5) * 255).astype(np.uint8)
    assert np.array_equal(to_8_bits(values, stretch="range", low=-1, high=1), expected)


@pytest.mark.parametrize(
    ("stretch", "low", "high", "words"),
    [
        ("linear", 0, 1, "stretch is one of none, range, percentile, auto, not 'linear'"),
        ("range", 1, 1, "low must be below high"),
        ("range", 2, 1, "low must be below high"),
        ("range", 0, np.inf, "both finite"),
        ("range", np.nan, 1, "low must be below high"),
        ("percentile", -1, 50, "percentiles lie between 0 and 100"),
        ("percentile", 50, 101, "percentiles lie between 0 and 100"),
    ],
)
def test_what_no_stretch_is_is_refused(stretch, low, high, words):
    with pytest.raises(ValueError, match=words):
        check_stretch(stretch, low, high)
    with pytest.raises(ValueError, match=words):
        to_8_bits(column(1), stretch=stretch, low=low, high=high)
