import numpy as np
import pandas as pd

from src.dividing.fold_summary import COLUMNS, summarise_folds

IMAGES = pd.DataFrame(
    [
        ("a", 10, 10, 2, 0.5),
        ("b", 20, 10, 3, 0.25),
        ("c", 10, 10, 0, 0.0),
        ("d", 10, 20, 0, 0.0),
    ],
    columns=["name", "height", "width", "objects", "coverage"],
).set_index("name")


def folds(rows):
    return pd.DataFrame(rows, columns=["name", "fold", "group", "copies", "test_likeness"])


def test_a_fold_is_counted_and_averaged_by_hand():
    table = folds([("a", 4, "g", 2, 0.25), ("b", 4, "g", 2, 0.5), ("c", 4, "h", 1, 0.75)])
    (row,) = summarise_folds(table, IMAGES).to_dict("records")
    assert tuple(row) == COLUMNS
    assert list(row.values()) == [4, 3, 2, 2, 1, 0.25, 5 / 3, 100 / 5, 0.5]


def test_folds_come_by_number_and_what_cannot_be_is_missing():
    table = folds([("a", 1, "g", 1, np.nan), ("d", 0, "h", 1, np.nan)])
    found = summarise_folds(table, IMAGES)
    assert found["fold"].tolist() == [0, 1]
    assert found["empty"].tolist() == [1, 0]
    assert found["test_likeness"].isna().all()
    np.testing.assert_array_equal(found["object_area"], [np.nan, 25])


def test_images_of_several_divisions_count_in_each():
    table = folds([("a", 0, "g", 1, 0.5), ("c", 1, "h", 1, 0.5), ("a", 3, "g", 1, 0.5)])
    assert summarise_folds(table, IMAGES)["images"].tolist() == [1, 1, 1]
