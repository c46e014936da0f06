import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from src.base.errors import InputError
from src.reading.datasets import find_records, read_objects
from src.reading.params import DatasetParams

IMAGE = np.full((4, 6, 3), 120, np.uint8)
SQUARE = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}  # rows and columns 1 and 2
MASK = np.zeros((4, 6), np.uint8)
MASK[1:3, 1:3] = 255
SECTION = {
    "root": "data/raw/mine",
    "category_id": 100,
    "masks": "whole",
    "mask_folder": "masks",
    "mask_suffix": "",
    "image_pattern": "",
    "mask_pattern": "",
    "missing_mask": "refuse",
    "ignore_value": "none",
    "id_column": "id",
    "rle_column": "rle_mask",
    "crowd": "ignore",
    "polygons": "edges",
    "class_column": "",
    "rle_order": "column",
    "rle_first": 1,
    "rle_starts": "absolute",
    "rle_empty": [],
    "boxes": "refuse",
    "vector_file": "auto",
    "layer": "auto",
    "aoi": "auto",
    "where": {},
    "tile_size": 512,
    "tile_overlap": 0,
    "tile_block": "auto",
    "group_pattern": "",
    "metadata_file": "metadata.csv",
    "metadata": [],
    "leave_out": [],
}


def params(format, **changes):
    return DatasetParams.model_validate(SECTION | {"format": format} | changes)


def write_images(root, names):
    for split in ("train/images", "test_images"):
        (root / split).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(root / split / name), IMAGE)


@pytest.fixture
def roots(tmp_path, write_crowdai):
    """By format, a dataset of the square in train/1_a and nothing in train/1_b, and two of test."""
    names = ["1_a.png", "1_b.png"]
    for format in ("mask_folder", "rle_csv"):
        write_images(tmp_path / format, names)
    (tmp_path / "mask_folder/train/masks").mkdir()
    for name, mask in zip(names, (MASK, MASK * 0), strict=True):
        cv2.imwrite(str(tmp_path / "mask_folder/train/masks" / name), mask)
    (tmp_path / "rle_csv/train.csv").write_text("id,rle_mask\n1_a,6 2 10 2\n1_b,\n")
    train = [(names[0], IMAGE, [SQUARE]), (names[1], IMAGE, [])]
    write_crowdai(tmp_path / "coco", train, test=[(name, IMAGE) for name in names])
    return tmp_path


@pytest.mark.parametrize("format", ["coco", "mask_folder", "rle_csv"])
def test_every_format_gives_the_same_records_and_objects(roots, format):
    dataset = find_records(roots / format, params(format))
    assert [r.name for r in dataset.records] == ["test/1_a", "test/1_b", "train/1_a", "train/1_b"]
    assert (dataset.category["id"], dataset.unlisted) == (100, 0)
    found = [read_objects(format, record, 4, 6) for record in dataset.records]
    assert [len(objects) for objects in found] == [0, 0, 1, 0]
    assert found[2][0].region.runs.tolist() == [[5, 7], [9, 11]]
    assert (found[2][0].crowd, found[2][0].region.bbox) == (False, (1, 1, 2, 2))


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        ("", ["test/1_a", "test/1_b", "train/1_a", "train/1_b"]),
        (r"^\d+", ["1", "1", "1", "1"]),
        (r"_(\w)", ["a", "b", "a", "b"]),
        (r"(?:_)(b)(.)", ["test/1_a", "b", "train/1_a", "b"]),  # the first group; none in 1_a
        ("x", ["test/1_a", "test/1_b", "train/1_a", "train/1_b"]),
        ("x*", ["test/1_a", "test/1_b", "train/1_a", "train/1_b"]),  # nothing is no group
        ("(x)?_", ["test/1_a", "test/1_b", "train/1_a", "train/1_b"]),
    ],
)
@pytest.mark.parametrize("format", ["coco", "mask_folder", "rle_csv"])
def test_a_pattern_finds_the_group_in_the_file_name(roots, format, pattern, groups):
    dataset = find_records(roots / format, params(format, group_pattern=pattern))
    assert [record.group for record in dataset.records] == groups


@pytest.mark.parametrize("format", ["coco", "mask_folder", "rle_csv"])
def test_images_left_out_are_in_no_format(roots, format):
    (roots / format / "out.txt").write_text("train/1_b\ntest/1_a\n")
    for given in (["train/1_b", "test/1_a"], "out.txt"):
        dataset = find_records(roots / format, params(format, leave_out=given))
        assert [record.name for record in dataset.records] == ["test/1_b", "train/1_a"]
        assert dataset.further[-1] == ("images left out by name", 2)


@pytest.mark.parametrize("given", ["../out.txt", "/out.txt", "", ["train/a", ""], 5])
def test_a_list_outside_the_root_or_without_names_is_refused(given):
    with pytest.raises(ValidationError, match="leave_out"):
        params("coco", leave_out=given)


@pytest.mark.parametrize("pattern", ["a(", "*", r"\1", "(?P<x>a)(?P<x>b)"])
def test_what_is_no_pattern_is_refused_where_it_is_read(pattern):
    with pytest.raises(ValidationError, match=r"is no regular expression \(.*\); correct it"):
        params("coco", group_pattern=pattern)


@pytest.mark.parametrize("root", ['a"b', "a$b", "a`b", "a\\b", "a\nb", ""])
def test_a_root_that_a_command_cannot_name_is_refused(root):
    with pytest.raises(ValidationError, match="root"):
        params("coco", root=root)
    params("coco", root="my tiles & 'more'")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_pattern": "a("}, r"is no regular expression \(.*\); correct it"),
        ({"mask_pattern": "a.*"}, "must have one group"),
        ({"mask_pattern": "(a)(b)"}, "must have one group"),
        (
            {"image_pattern": "(a)", "mask_suffix": "_m"},
            "cannot go with mask_suffix, .* '_m'",
        ),
        ({"ignore_value": 0}, "ignore_value"),
    ],
)
def test_patterns_of_names_are_refused_where_they_are_read(changes, words):
    with pytest.raises(ValidationError, match=words):
        params("mask_folder", **changes)


@pytest.mark.parametrize("format", ["mask_folder", "rle_csv"])
def test_images_without_mask_or_row_are_empty_on_request(roots, format):
    cv2.imwrite(str(roots / format / "train/images/1_c.png"), IMAGE)
    dataset = find_records(roots / format, params(format, missing_mask="empty"))
    assert (dataset.records[-1].name, dataset.unmarked) == ("train/1_c", 1)
    assert [len(read_objects(format, r, 4, 6)) for r in dataset.records] == [0, 0, 1, 0, 0]
    refused = find_records(roots / format, params(format))
    assert refused.unmarked == 0
    with pytest.raises(InputError, match="^no mask 'masks/1_c'$|^no row in train.csv$"):
        read_objects(format, refused.records[-1], 4, 6)
