import numpy as np
import pytest

from src.exporting.submissions import encode_submission
from src.reading.rle_csv_dataset import Dialect, find_records, read_objects
from tests.plain_submission import decode_submission

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
def test_the_runs_of_any_mask_tell_it(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 20, 2)) < rng.random()
    found = decode_submission(encode_submission(mask), *mask.shape)
    assert np.array_equal(found, mask)


def test_an_image_without_pixels_is_empty_text():
    assert encode_submission(np.zeros((0, 3), bool)) == ""


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros(4, bool)])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match="2-D bool"):
        encode_submission(mask)


@pytest.mark.parametrize("starts", ["absolute", "relative"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", ["column", "row"])
def test_a_submission_is_read_back_in_its_dialect(tmp_path, order, first, starts):
    mask = np.random.default_rng(3).random((6, 9)) > 0.4
    mask[0, 0] = mask[5, 8] = True
    text = encode_submission(mask, order=order, first=first, starts=starts)
    (tmp_path / "train/images").mkdir(parents=True)
    (tmp_path / "train/images/a.png").write_bytes(b"x")
    (tmp_path / "train.csv").write_text(f"id,rle\na,{text}\n")
    columns = {"id_column": "id", "rle_column": "rle", "category_id": 1, "masks": "whole"}
    dialect = Dialect(order, first, starts)
    [record] = find_records(tmp_path, **columns, dialect=dialect).records
    [item] = read_objects(record, 6, 9)
    flat = np.zeros(54, bool)
    for start, stop in item.region.runs.tolist():
        flat[start:stop] = True
    np.testing.assert_array_equal(flat.reshape(9, 6).T, mask)


def test_dialects_by_hand():
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert encode_submission(mask) == "3 1 5 2"
    assert encode_submission(mask, first=0) == "2 1 4 2"
    assert encode_submission(mask, starts="relative") == "2 1 1 2"
    assert encode_submission(mask, order="row") == "2 2 6 1"
