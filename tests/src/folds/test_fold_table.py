import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.folds.fold_table import first_trained_fold, read_folds

TABLE = """\
name,fold,repeat,group,copies,copy,test_likeness
train/1,1,0,007,2,0,0.25
train/NA,0,0,NA,1,0,
train/a,1,0,007,2,1,0.5
train/1,2,1,007,2,0,0.25
train/NA,3,1,NA,1,0,
train/a,2,1,007,2,1,0.5
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "folds.csv").write_text(TABLE)
    return tmp_path / "folds.csv"


def test_names_and_groups_stay_text_and_an_empty_likeness_is_unknown(path):
    table = read_folds(path)
    assert table["name"].tolist() == ["train/1", "train/NA", "train/a"] * 2
    assert table["group"].tolist() == ["007", "NA", "007"] * 2
    assert table["fold"].tolist() == [1, 0, 1, 2, 3, 2]
    assert table["repeat"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["copies"].tolist() == [2, 1, 2] * 2
    assert table["copy"].tolist() == [0, 0, 1] * 2
    np.testing.assert_array_equal(table["test_likeness"], [0.25, np.nan, 0.5] * 2)


def test_further_columns_are_left_out_and_no_row_is_a_table_too(path):
    path.write_text("more," + TABLE.splitlines()[0] + "\n")
    table = read_folds(path)
    assert table.empty
    assert table.columns.tolist() == TABLE.splitlines()[0].split(",")
    assert first_trained_fold(table, [0, 1]).empty


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        ([0, 1], {"train/1": 1, "train/NA": 0, "train/a": 1}),
        ([0, 1, 2, 3], {"train/1": 1, "train/NA": 0, "train/a": 1}),
        ([2, 0], {"train/1": 2, "train/NA": 0, "train/a": 2}),
        ([3, 2, 1], {"train/1": 1, "train/NA": 3, "train/a": 1}),
        ([3], {"train/NA": 3}),
        ([9], {}),
    ],
)
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_first_trained_fold_is_that_of_the_lowest_repeat(path, folds, expected, order):
    fold_of = first_trained_fold(read_folds(path).iloc[order], folds)
    assert fold_of.to_dict() == expected
    assert fold_of.index.tolist() == sorted(expected)


def test_the_lowest_repeat_counts_and_not_the_lowest_fold():
    table = pd.DataFrame({"name": ["a", "a"], "fold": [4, 1], "repeat": [0, 1]})
    assert first_trained_fold(table, [1, 4]).to_dict() == {"a": 4}


def test_a_missing_file_is_asked_for(path):
    path.unlink()
    with pytest.raises(InputError, match="folds.csv: no such file; run split_folds"):
        read_folds(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fold,repeat", "fold,round", "folds.csv: has no column repeat; run split_folds again"),
        ("name,", "image,", "folds.csv: has no column name"),
        ("train/a,1,0", "train/a,x,0", "fold must be a whole number, got 'x'; run split_folds"),
        ("train/a,1,0", "train/a,,0", "folds.csv: row 4: fold must be a whole number, got ''"),
        ("train/a,1,0", "train/a,1.5,0", "folds.csv: row 4: fold must be .*, got '1.5'"),
        ("0.25", "much", "folds.csv: row 2: test_likeness must be a number, got 'much'"),
        ("train/a,1,0", "train/1,0,0", "folds.csv: 'train/1' is in two folds of one repeat"),
        ("train/a,1,0", "train/a,1,0,0,0,0,0,0", "line 4 has 12 cells and the first line 7"),
        (TABLE, "", "folds.csv: is empty; run split_folds again"),
        ("train/a", "train/\xe4", "folds.csv: not UTF-8 text; run split_folds"),
    ],
)
def test_another_table_is_refused(path, old, new, words):
    path.write_text(TABLE.replace(old, new), encoding="latin-1")
    with pytest.raises(InputError, match=words) as caught:
        read_folds(path)
    assert "\n" not in str(caught.value)
