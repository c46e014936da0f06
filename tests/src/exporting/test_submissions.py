import numpy as np
import pytest

from src.exporting.submissions import decode_submission, encode_submission

WHOLE = np.ones((3, 4), bool)
RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def one_pixel(row, column):
    mask = np.zeros((3, 4), bool)
    mask[row, column] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.zeros((3, 4), bool), ""),
        (WHOLE, "1 12"),
        (one_pixel(0, 0), "1 1"),
        (one_pixel(2, 0), "3 1"),  # down the first column first
        (one_pixel(0, 1), "4 1"),
        (one_pixel(2, 3), "12 1"),
        (RING, "1 4 6 4"),
        (np.eye(3, dtype=bool), "1 1 5 1 9 1"),
        (~np.eye(2, dtype=bool), "2 2"),  # a run goes on in the next column
    ],
)
def test_runs_count_from_one_down_the_columns(mask, text):
    assert encode_submission(mask) == text
    assert np.array_equal(decode_submission(text, *mask.shape), mask)


@pytest.mark.parametrize("seed", range(20))
def test_decoding_gives_back_any_mask(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 20, 2)) < rng.random()
    found = decode_submission(encode_submission(mask), *mask.shape)
    assert found.dtype == bool
    assert np.array_equal(found, mask)


def test_an_image_without_pixels_is_empty_text():
    assert encode_submission(np.zeros((0, 3), bool)) == ""
    assert decode_submission("", 0, 3).shape == (0, 3)


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros(4, bool)])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match="2-D bool"):
        encode_submission(mask)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "pairs"),
        ("1 x", "pairs"),
        ("1 -1", "pairs"),
        ("1 0", "out of order"),
        ("0 2", "out of order"),
        ("1 2 3 1", "touch"),
        ("1 3 2 4", "overlap"),
        ("5 1 1 1", "out of order"),
        ("12 2", "leave the image"),
        ("13 1", "leave the image"),
    ],
)
def test_text_that_no_mask_gives_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        decode_submission(text, 3, 4)
