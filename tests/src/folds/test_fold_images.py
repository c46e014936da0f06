import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.folds.fold_images import fed_depths, fold_images
from src.formats.image_columns import IMAGE_TYPES, LATER_COLUMNS
from tests.image_tables import write_image_tables as write_images

DEEP = {"extra_channels": ["depth"], "depth_column": "z", "depth_range": [10.0, 30.0]}
FOLDS = pd.DataFrame(  # two folds, then two more of the same images
    {
        "name": ["train/a", "train/b", "train/c"] * 2,
        "fold": [1, 0, 1, 2, 2, 3],
        "repeat": [0, 0, 0, 1, 1, 1],
        "group": ["NA", "1", "NA"] * 2,
        "copies": [2, 1, 2] * 2,
        "copy": [0, 0, 1] * 2,
        "test_likeness": [0.25, 0.5, np.nan] * 2,
    }
)


@pytest.fixture
def tables(tmp_path):
    names = ["train/c", "train/a", "train/b", "val/a"]
    groups, depths = ["own", "NA", "1", "007"], [10, 20, 40, 0]
    columns = zip(names, groups, depths, strict=True)
    write_images(tmp_path, [{"name": n, "group": g, "z": z} for n, g, z in columns])
    FOLDS.to_csv(tmp_path / "folds.csv", index=False)
    return tmp_path


def read(tables, fold):
    return fold_images(tables, tables / "folds.csv", fold, ("train", "val"))


def test_images_come_by_name_once_with_what_folds_csv_knows_of_them(tables):
    table = read(tables, 1)
    assert table["name"].tolist() == ["train/a", "train/b", "train/c", "val/a"]
    assert table["in_train"].tolist() == [True, True, True, False]
    assert table["group"].tolist() == ["NA", "1", "NA", "007"]
    np.testing.assert_array_equal(table["copies"], [2, 1, 2, np.nan])
    np.testing.assert_array_equal(table["copy"], [0, 0, 1, np.nan])
    np.testing.assert_array_equal(table["test_likeness"], [0.25, 0.5, np.nan, np.nan])
    assert table["z"].tolist() == ["20", "40", "10", "0"]
    # or a column of the same name in the metadata would be lost
    assert set(table) - {"z", *IMAGE_TYPES} <= set(LATER_COLUMNS)


def test_only_the_splits_asked_for_are_read(tables):
    (tables / "val/images.csv").unlink()
    table = fold_images(tables, tables / "folds.csv", 1)
    assert table["name"].tolist() == ["train/a", "train/b", "train/c"]
    with pytest.raises(InputError, match="val/images.csv: no such file; run prepare_masks"):
        read(tables, 1)


@pytest.mark.parametrize(
    ("fold", "left_out"),
    [
        (0, ["train/b"]),
        (1, ["train/a", "train/c"]),
        (2, ["train/a", "train/b"]),
        (3, ["train/c"]),
    ],
)
def test_a_fold_leaves_its_own_images_out_and_those_of_no_other_division(tables, fold, left_out):
    table = read(tables, fold)
    assert table["name"][table["left_out"]].tolist() == left_out
    learnt = table["in_train"] & ~table["left_out"]
    assert set(table["name"][learnt]) == {"train/a", "train/b", "train/c"} - set(left_out)


def test_depths_are_relative_and_zero_for_networks_without_them(tables):
    table = read(tables, 0)
    depths = fed_depths(table, DEEP)
    assert depths.tolist() == [0.5, 1.5, 0, -0.5]
    assert depths.dtype == np.float32
    assert fed_depths(table[:0], DEEP).tolist() == []
    assert fed_depths(table, {"extra_channels": ["coordinates"]}).tolist() == [0, 0, 0, 0]


def test_a_missing_depth_is_refused(tables):
    with pytest.raises(InputError, match="model.depth_column names the column 'depth'"):
        fed_depths(read(tables, 0), DEEP | {"depth_column": "depth"})


@pytest.mark.parametrize("fold", [4, -1])
def test_a_fold_without_images_is_refused(tables, fold):
    message = rf"folds.csv: fold {fold} is not one of several; it has \[0, 1, 2, 3\]"
    with pytest.raises(InputError, match=message):
        read(tables, fold)


def test_a_fold_that_has_all_images_is_refused(tables):
    FOLDS.assign(fold=0).to_csv(tables / "folds.csv", index=False)
    with pytest.raises(InputError, match=r"fold 0 is not one of several; it has \[0\]"):
        read(tables, 0)


@pytest.mark.parametrize("column", ["fold", "copies"])
def test_a_table_that_lacks_a_column_is_refused(tables, column):
    FOLDS.drop(columns=column).to_csv(tables / "folds.csv", index=False)
    with pytest.raises(InputError, match=f"folds.csv: has no column {column}; run split_folds"):
        read(tables, 0)


@pytest.mark.parametrize(
    ("file", "stage"), [("train/images.csv", "prepare_masks"), ("folds.csv", "split_folds")]
)
def test_a_missing_table_says_which_stage_writes_it(tables, file, stage):
    (tables / file).unlink()
    with pytest.raises(InputError, match=f"{file}: no such file; run {stage}"):
        read(tables, 0)
