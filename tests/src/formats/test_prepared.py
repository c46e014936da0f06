import json

import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.archive import write_archive
from src.formats.prepared import (
    IMAGE_TYPES,
    open_photos,
    read_images,
    read_photo,
    read_recognised,
    read_truth,
)
from tests.image_tables import write_image_tables

ROWS = [
    {"name": "train/b", "group": "007", "height": 3, "depth": "1.5"},
    {"name": "train/a", "group": "NA", "objects": 4},
    {"name": "test/x", "objects": "", "ignored": "", "coverage": ""},
]


def test_images_of_the_splits_asked_for_come_by_name_with_their_types(tmp_path):
    write_image_tables(tmp_path, ROWS)
    images = read_images(tmp_path, "train")
    assert images["name"].tolist() == ["train/a", "train/b"]
    assert images["group"].tolist() == ["NA", "007"]
    assert images["depth"].tolist() == ["", "1.5"]
    assert images["height"].tolist() == [16, 3]
    assert images["objects"].tolist() == [4, 1]
    assert images["objects"].dtype == images["ignored"].dtype == np.int64
    assert list(images) == [*IMAGE_TYPES, "depth"]
    both = read_images(tmp_path, "train", "test")
    assert both["name"].tolist() == ["test/x", "train/a", "train/b"]
    np.testing.assert_array_equal(both["objects"], [np.nan, 4, 1])
    assert read_images(tmp_path, "val").empty


def test_a_table_of_another_split_is_refused(tmp_path):
    write_image_tables(tmp_path, ROWS)
    (tmp_path / "train/images.csv").rename(tmp_path / "val/images.csv")
    with pytest.raises(InputError, match="val/images.csv: 'train/b' is not of val; run prepare"):
        read_images(tmp_path, "val")
    with pytest.raises(InputError, match="train/images.csv: no such file; run prepare_masks"):
        read_images(tmp_path, "train")


def test_truth_is_read_and_what_is_none_is_refused(tmp_path):
    (tmp_path / "labels/train").mkdir(parents=True)
    truth = {"categories": [{"id": 1, "name": "a"}], "images": [], "annotations": []}
    (tmp_path / "labels/train/truth.json").write_text(json.dumps(truth))
    assert read_truth(tmp_path, "train") == truth
    for other in ([], {"images": []}, truth | {"images": {}}):
        (tmp_path / "labels/train/truth.json").write_text(json.dumps(other))
        with pytest.raises(
            InputError, match="labels/train/truth.json: not a ground truth in COCO's"
        ):
            read_truth(tmp_path, "train")


def test_what_was_recognised_is_read_and_what_is_none_is_refused(tmp_path):
    found = [{"key": "images.low", "value": 1.5, "reason": "so it is"}]
    (tmp_path / "recognised.json").write_text(json.dumps(found))
    assert read_recognised(tmp_path) == found
    for other in ({}, ["x"], [{"key": "images.low", "value": 1.5}]):
        (tmp_path / "recognised.json").write_text(json.dumps(other))
        with pytest.raises(InputError, match="recognised.json: not a list of values found; run pr"):
            read_recognised(tmp_path)


def test_photos_are_found_by_the_split_in_their_name(tmp_path):
    for split, value in (("train", 7), ("val", 9)):
        image = np.full((2, 3), value, np.uint8)
        write_archive(tmp_path / split / "images.zip", [(f"{split}/a", image)])
    photos = open_photos(tmp_path, "train", "val")
    np.testing.assert_array_equal(read_photo(photos, "val/a"), np.full((2, 3, 3), 9))
    with pytest.raises(InputError, match="val/images.zip: holds no 'val/b'"):
        read_photo(photos, "val/b")
    with pytest.raises(InputError, match="'test/a' is of none of the splits train, val; run"):
        read_photo(photos, "test/a")
    with pytest.raises(InputError, match="test/images.zip: no such archive"):
        open_photos(tmp_path, "test")
