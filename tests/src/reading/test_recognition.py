from pathlib import Path

import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.reading.datasets import find_records
from src.reading.params import DatasetParams
from src.reading.recognition import recognise, with_category

REAL = Path(__file__).parents[4] / "shared" / "data"
IMAGE = np.full((8, 9, 3), 120, np.uint8)
SQUARE = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}
KEYS = ("format", "category_id", "masks", "mask_folder", "mask_suffix", "id_column", "rle_column",
        "class_column", "vector_file", "layer", "aoi", "tile_block")  # fmt: skip
SECTION = {"root": "x", "group_pattern": "", "metadata_file": "metadata.csv", "metadata": []}
SECTION |= {"leave_out": []}
SECTION |= {"rle_order": "column", "rle_first": 1, "rle_starts": "absolute", "rle_empty": []}
SECTION |= {"boxes": "refuse", "where": {}, "tile_size": 512, "tile_overlap": 0}
SECTION |= {"image_pattern": "", "mask_pattern": "", "missing_mask": "refuse"}
SECTION |= {"ignore_value": "none"}
SECTION |= {"crowd": "ignore", "polygons": "edges"}
AUTO = DatasetParams.model_validate(SECTION | dict.fromkeys(KEYS, "auto"))
ONE = np.zeros((8, 9), np.uint8)
ONE[1:3, 1:4] = 255
TWO = ONE // 255
TWO[5:7, 5:8] = 2  # each value in one piece
CLASSES = TWO.copy()
CLASSES[1:3, 6:8] = 2  # in two
CLASSES[6, 0] = 1


def write(root, files):
    """Write images (arrays) and texts by their path."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        else:
            assert cv2.imwrite(str(path), content)
    return root


def found(root, **given):
    """What is recognised, without the reasons; all of it is said."""
    params, choices = recognise(root, AUTO.model_copy(update=given))
    dataset = find_records(root, params)
    params, category = with_category(params, dataset)
    assert all(choice.reason for choice in choices + category)
    values = {choice.key.removeprefix("dataset."): choice.value for choice in choices + category}
    assert values.items() <= dict(params).items()
    assert any(record.objects for record in dataset.records)
    return values


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accra_buildings", {"format": "coco", "category_id": 100}),
        ("oam_buildings", {"format": "coco", "category_id": 100}),
        (
            "nuclei",
            {"format": "mask_folder", "masks": "instances", "mask_folder": "masks"}
            | {"mask_suffix": "", "category_id": 1},
        ),
        (
            "tile_defects",
            {"format": "rle_csv", "masks": "components", "id_column": "id"}
            | {"rle_column": "rle_mask", "category_id": 1},
        ),
    ],
)
def test_real_data_are_recognised(name, expected):
    if not (REAL / name).is_dir():
        pytest.skip(f"{name} is not there")
    assert found(REAL / name) == expected


def test_a_json_file_of_any_name_beside_the_images_is_coco(tmp_path, write_crowdai):
    root = write_crowdai(tmp_path, [("a.png", IMAGE, [SQUARE])], category_id=7, name="ship")
    (root / "train/annotation.json").rename(root / "train/instances.json")
    assert found(root) == {"format": "coco", "category_id": 7}
    params, _ = recognise(root, AUTO)
    _, [choice] = with_category(params, find_records(root, params))
    assert choice.sentence == (
        "dataset.category_id is 7: 'ship' is the only category that has annotations"
    )


def test_of_several_json_files_annotation_json_counts_and_else_they_are_named(
    tmp_path, write_crowdai
):
    root = write_crowdai(tmp_path, [("a.png", IMAGE, [SQUARE])])
    (root / "train/annotation-small.json").write_text("{}")
    assert found(root)["format"] == "coco"
    (root / "train/annotation.json").rename(root / "train/b.json")
    with pytest.raises(InputError, match="holds 'annotation-small.json' and 'b.json'; name the on"):
        recognise(root, AUTO)


def test_several_categories_are_listed_with_names_and_counts(tmp_path, write_crowdai):
    items = [("a.png", IMAGE, [SQUARE, SQUARE | {"category_id": 3}, SQUARE])]
    root = write_crowdai(tmp_path, items, category_id=7, name="ship")
    params, _ = recognise(root, AUTO)
    words = r"2 categories, 7 \('ship', 2 times\), 3 \('3', 1 times\); set dataset.category_id"
    with pytest.raises(InputError, match=words):
        find_records(root, params)
    assert found(root, category_id=3) == {"format": "coco"}


def test_the_category_of_val_is_that_of_train(tmp_path, write_crowdai):
    other = ("v.png", IMAGE, [SQUARE | {"category_id": 3}])
    root = write_crowdai(tmp_path, [("a.png", IMAGE, [SQUARE])], [other], category_id=7)
    params, _ = recognise(root, AUTO)
    with pytest.raises(InputError, match="val.*no annotation of category 7"):
        find_records(root, params)


@pytest.mark.parametrize(
    ("masks", "meaning", "suffix"),
    [
        ({"gt/a.png": ONE, "gt/b.png": ONE // 255}, "components", ""),
        ({"gt/a_mask.png": ONE, "gt/b_mask.png": ONE}, "components", "_mask"),
        ({"gt/a.png": ONE, "gt/b.png": TWO}, "ids", ""),
        ({"gt/a/1.png": ONE, "gt/a/2.png": ONE, "gt/b/1.png": ONE}, "instances", ""),
        ({"gt/a_m/1.png": ONE, "gt/b_m/1.png": ONE}, "instances", "_m"),
    ],
)
def test_masks_tell_what_they_show(tmp_path, masks, meaning, suffix):
    images = {f"train/images/{name}.png": IMAGE for name in "ab"}
    root = write(tmp_path, images | {f"train/{name}": mask for name, mask in masks.items()})
    expected = {"format": "mask_folder", "category_id": 1}
    expected |= {"masks": meaning, "mask_folder": "gt", "mask_suffix": suffix}
    assert found(root) == expected


def test_masks_of_classes_are_refused(tmp_path):
    files = {"train/images/a.png": IMAGE, "train/masks/a.png": CLASSES}
    root = write(tmp_path, files)
    words = "1 of 1 masks looked at have several values, 2 in all, each in 2.0 separate parts"
    with pytest.raises(InputError, match=words):
        recognise(root, AUTO)
    assert found(root, masks="ids")["mask_folder"] == "masks"


def test_val_has_no_say_in_what_masks_show(tmp_path):
    files = {f"{split}/images/a.png": IMAGE for split in ("train", "val")}
    files |= {"train/masks/a.png": ONE, "val/masks/a.png": TWO}
    assert found(write(tmp_path, files))["masks"] == "components"


def test_of_several_folders_the_one_called_masks_is_taken(tmp_path):
    files = {"train/images/a.png": IMAGE, "train/edges/a.png": ONE, "train/masks/a.png": ONE}
    root = write(tmp_path, files)
    assert found(root)["mask_folder"] == "masks"
    (root / "train/masks").rename(root / "train/bodies")
    with pytest.raises(InputError, match="'bodies', 'edges' hold images beside 'images'; set data"):
        recognise(root, AUTO)
    assert found(root, mask_folder="edges")["masks"] == "components"


def test_two_ends_of_names_are_refused(tmp_path):
    files = {"train/images/a.png": IMAGE, "train/m/a_x.png": ONE, "train/m/a_y.png": ONE}
    with pytest.raises(InputError, match="named like their image with '_x', '_y' after it; set"):
        recognise(write(tmp_path, files), AUTO)


@pytest.mark.parametrize(
    ("table", "meaning", "columns"),
    [
        ("id,rle_mask\na,1 2\nb,\n", "components", ("id", "rle_mask")),
        ("ImageId,EncodedPixels\na.png,1 2\na.png,9 2\nb.png,\n", "instances",
         ("ImageId", "EncodedPixels")),
        ("id,image_id,depth,what\n1,a,5,1 2\n2,b,6,nan\n", "components", ("image_id", "what")),
        ("id,rle\na,\nb,\n", "components", ("id", "rle")),
    ],
)  # fmt: skip
def test_a_table_tells_its_columns(tmp_path, table, meaning, columns):
    images = {f"train/images/{name}.png": IMAGE for name in "ab"}
    root = write(tmp_path, images | {"train.csv": table})
    assert found(root) == {
        "format": "rle_csv", "masks": meaning, "id_column": columns[0],
        "rle_column": columns[1], "category_id": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("one,two,runs\na,a,1 2\n", "the columns 'one', 'two' all hold names of images, of 'one'"),
        ("id,p,q\na,1 2,3 4\n", "the columns 'p', 'q' all hold run lengths, of 'p', 'q'; set data"),
        (
            "key,runs\nz,1 2\n",
            "no column holds names of images, of 'key', 'runs'; set data",
        ),
    ],
)
def test_columns_that_cannot_be_told_are_refused(tmp_path, table, words):
    root = write(tmp_path, {"train/images/a.png": IMAGE, "train/train.csv": table})
    with pytest.raises(InputError, match=words):
        recognise(root, AUTO)


def test_two_layouts_are_refused_and_one_may_be_chosen(tmp_path):
    files = {"train/images/a.png": IMAGE, "train/masks/a.png": ONE, "train.csv": "id,rle\na,1 2\n"}
    root = write(tmp_path, files)
    words = r"looks like mask_folder \(train/masks\) and rle_csv \(train.csv with a column 'rle'\)"
    with pytest.raises(InputError, match=words):
        recognise(root, AUTO)
    assert found(root, format="rle_csv")["rle_column"] == "rle"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"images/a.png": IMAGE, "b.txt": "x"}, "no folder 'train' but 'images/', 'b.txt'; put"),
        ({"train/images/a.png": IMAGE, "train/b.txt": "x"}, "holds 'images/', 'b.txt', so no JSON"),
        (
            {"train/images/a.png": IMAGE, "train.csv": "id,depth\na,5\n"},
            "no folder of masks, no vector file of outlines and no run lengths in train.csv; lay",
        ),
    ],
)
def test_what_fits_nothing_is_listed(tmp_path, files, words):
    with pytest.raises(InputError, match=words):
        recognise(write(tmp_path, files), AUTO)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="none: no such folder; give the one that holds train/"):
        recognise(tmp_path / "none", AUTO)


def test_values_that_are_given_are_kept_and_nothing_is_said_of_them(tmp_path):
    given = {"format": "mask_folder", "masks": "whole", "mask_folder": "masks", "mask_suffix": ""}
    params = AUTO.model_copy(update=given | {"category_id": 5})
    root = write(tmp_path, {"train/images/a.png": IMAGE, "train/masks/a.png": ONE})
    assert recognise(root, params) == (params, [])
    assert with_category(params, find_records(root, params)) == (params, [])


@pytest.mark.parametrize(
    ("table", "given", "expected"),
    [
        ("ImageId,ClassId,EncodedPixels\na.png,1,1 2\na.png,3,9 2\n", [1, 3],
         {"id_column": "ImageId", "class_column": "ClassId"}),
        ("Image_Label,EncodedPixels\na.png_Fish,1 2\na.png_Sugar,\n", "auto",
         {"id_column": "Image_Label", "class_column": "Image_Label", "category_id": 1}),
        ("ImageId_ClassId,EncodedPixels\na_1,1 2\na_2,\n", 1,
         {"id_column": "ImageId_ClassId", "class_column": "ImageId_ClassId"}),
    ],
)  # fmt: skip
def test_classes_in_a_table_of_run_lengths_are_found(tmp_path, table, given, expected):
    root = write(tmp_path, {"train/images/a.png": IMAGE, "train.csv": table})
    values = found(root, category_id=given)
    assert expected.items() <= values.items()
