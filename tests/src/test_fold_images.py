import numpy as np
import pandas as pd
import pytest

from src.errors import InputError
from src.fold_images import NO_FOLD, fed_depths, fold_images

DEEP = {"extra_channels": ["depth"], "depth_column": "z", "depth_range": [10.0, 30.0]}


@pytest.fixture
def tables(tmp_path):
    names = ["val/a", "train/c", "train/a", "train/b"]
    table = pd.DataFrame({"name": names, "group": ["007", "1", "NA", "1"], "z": [0, 10, 20, 40]})
    table.to_csv(tmp_path / "images.csv", index=False)
    folds = pd.DataFrame({"name": ["train/a", "train/b", "train/c"], "fold": [2, 0, 2]})
    folds.to_csv(tmp_path / "folds.csv", index=False)
    return tmp_path


def read(tables, fold):
    return fold_images(tables / "images.csv", tables / "folds.csv", fold)


def test_images_come_by_name_with_their_fold_and_their_group_as_text(tables):
    table = read(tables, 2)
    assert table["name"].tolist() == ["train/a", "train/b", "train/c", "val/a"]
    assert table["fold"].tolist() == [2, 0, 2, NO_FOLD]
    assert table["fold"].dtype == np.int64
    assert table["group"].tolist() == ["NA", "1", "1", "007"]


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


@pytest.mark.parametrize("fold", [1, NO_FOLD])
def test_a_fold_without_images_is_refused(tables, fold):
    message = rf"folds.csv: fold {fold} is not one of several; it has \[0, 2\]"
    with pytest.raises(InputError, match=message):
        read(tables, fold)


def test_a_fold_that_has_all_images_is_refused(tables):
    table = pd.read_csv(tables / "folds.csv").assign(fold=0)
    table.to_csv(tables / "folds.csv", index=False)
    with pytest.raises(InputError, match=r"fold 0 is not one of several; it has \[0\]"):
        read(tables, 0)


@pytest.mark.parametrize(
    ("file", "stage"), [("images.csv", "prepare_masks"), ("folds.csv", "split_folds")]
)
def test_a_missing_table_says_which_stage_writes_it(tables, file, stage):
    (tables / file).unlink()
    with pytest.raises(InputError, match=f"{file}: no such file; run the {stage} stage"):
        read(tables, 0)
