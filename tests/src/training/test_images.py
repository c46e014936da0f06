import numpy as np
import pandas as pd
import pytest

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.formats.labels import IGNORE
from src.training.images import (
    depth_range,
    image_weights,
    pseudo_images,
    training_images,
    with_counts,
)
from tests.sections import section

NONE = np.nan
TABLE = pd.DataFrame(
    [  # a and b are near-duplicates, and d and e; f is left out with its duplicate g
        ("test/x", "x", False, False, NONE, NONE, NONE),
        ("train/a", "1", True, False, 2, 0, 0.5),
        ("train/b", "1", True, False, 2, 1, 0.1),
        ("train/c", "2", True, False, 1, 0, 0.2),
        ("train/d", "3", True, False, 2, 0, 0.3),
        ("train/e", "3", True, False, 2, 1, 0.4),
        ("train/f", "4", True, True, 2, 0, 0.6),
        ("train/g", "4", True, True, 2, 1, 0.7),
        ("val/y", "y", False, False, NONE, NONE, NONE),
    ],
    columns=["name", "group", "in_train", "left_out", "copies", "copy", "test_likeness"],
)
TRUST = TABLE.assign(trust=[9.0, 1, 2, 3, 4, 5, 6, 7, NONE])


def used(**options):
    table = training_images(TABLE, section("train", **options))
    return dict(zip(table["name"], table["use"], strict=True))


def weights(table=TRUST, **options):
    table = training_images(table, section("train"))
    options = {"column": "none", "dedupe": "keep", "pseudo_weight": 0.3} | options
    found = image_weights(table, **options)
    return dict(zip(table["name"].str[-1], found.tolist(), strict=True))


def test_the_fold_is_left_out_and_what_is_in_no_fold_has_no_use():
    expected = {f"train/{letter}": "learn" for letter in "abcde"}
    assert used() == expected | {"train/f": "fold", "train/g": "fold"}
    assert used(dedupe="weight") == used()


def test_of_near_duplicates_the_first_is_learnt_from_and_the_fold_keeps_its_own():
    found = used(dedupe="drop")
    assert {name: use for name, use in used().items() if found[name] != use} == {
        "train/b": "learn",
        "train/e": "learn",
    }
    assert found["train/b"] == found["train/e"] == "drop"


@pytest.mark.parametrize("seed", range(6))
def test_near_duplicates_are_held_out_together_and_whole(seed):
    found = used(dedupe="drop", holdout=0.3, seed=seed)
    uses = [
        "".join(sorted(found[f"train/{letter}"][0] for letter in pair)) for pair in ("ab", "de")
    ]
    assert set(uses) <= {"hh", "dl"}
    assert found["train/f"] == found["train/g"] == "fold"
    assert "holdout" in found.values()


def test_a_hold_out_of_everything_is_refused():
    with pytest.raises(InputError, match="train.holdout 0.9 leaves nothing to learn from"):
        used(holdout=0.9)


def test_images_weigh_one_or_what_a_column_says():
    assert weights() == dict.fromkeys("abcdefg", 1.0)
    assert weights(column="trust") == dict(zip("abcdefg", [1.0, 2, 3, 4, 5, 6, 7], strict=True))
    likeness = dict(zip("abcdefg", [0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7], strict=True))
    assert weights(column="test_likeness") == likeness


def test_near_duplicates_share_the_weight_of_one_image_where_they_are_learnt_from():
    assert weights(dedupe="weight") == dict.fromkeys("abde", 0.5) | dict.fromkeys("cfg", 1.0)
    expected = {"a": 0.5, "b": 1.0, "c": 3.0, "d": 2.0, "e": 2.5, "f": 6.0, "g": 7.0}
    assert weights(column="trust", dedupe="weight") == expected


def test_test_likeness_without_a_test_set_is_refused():
    message = "image_weight test_likeness: .* set split_folds.likeness to true, or .* no test set"
    with pytest.raises(InputError, match=message):
        weights(TABLE.assign(test_likeness=np.nan), column="test_likeness")


def test_an_unknown_column_of_weights_is_refused():
    with pytest.raises(InputError, match="loss.image_weight names the column 'size'"):
        weights(column="size")


@pytest.mark.parametrize("column", ["none", "test_likeness", "trust"])
def test_pseudo_labels_have_one_weight_whatever_the_others_have(column):
    labelled = training_images(TRUST, section("train"))
    table = pd.concat([labelled, TRUST.iloc[[0]].assign(use="learn")])
    options = {"column": column, "dedupe": "weight"}
    found = image_weights(table, **options, pseudo_weight=0.3)
    assert found[-1] == 0.3
    alone = image_weights(labelled, **options, pseudo_weight=9.0)
    np.testing.assert_array_equal(found[:-1], alone)


def test_the_range_of_depths_is_that_of_the_images_learnt_from():
    table = training_images(TRUST, section("train"))
    channel = {"extra_channels": ["depth"], "depth_column": "trust"}
    assert depth_range(table, section("model", **channel)) == [1.0, 5.0]
    assert depth_range(table, section("model")) is None
    with pytest.raises(InputError, match="val/y has no number in the column 'trust'"):
        depth_range(TRUST.assign(use="learn"), section("model", **channel))


@pytest.fixture
def labels(tmp_path):
    """Archive of the pseudo labels of the images that are in no fold."""
    two = np.array([[0, 1, 2, IGNORE]], np.uint16)
    none = np.array([[0, IGNORE]], np.uint16)
    write_archive(tmp_path / "instances.zip", [("test/x", two), ("val/y", none)])
    return ImageArchive(tmp_path / "instances.zip")


def write_taken(path, **taken):
    names = [name.replace("_", "/") for name in taken]
    pd.DataFrame({"name": names, "taken": list(taken.values())}).to_csv(path, index=False)
    return path


def test_the_images_taken_come_with_their_rows_and_are_learnt_from(tmp_path, labels):
    path = write_taken(tmp_path / "images.csv", val_y=True, test_x=False)
    assert pseudo_images(TABLE, path, labels)["name"].tolist() == ["val/y"]
    path = write_taken(tmp_path / "images.csv", val_y=True, test_x=True)
    found = pseudo_images(TABLE, path, labels)
    assert found["use"].tolist() == ["learn", "learn"]
    assert found["objects"].tolist() == [2, 0]
    pd.testing.assert_frame_equal(found[TABLE.columns], TABLE.iloc[[0, 8]])


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        ({"test_x": False}, "pseudo.csv: no image is taken; lower pseudo_label.min_certain"),
        ({}, "pseudo.csv: no image is taken"),
        ({"test_x": True, "test_z": True}, "pseudo.csv: takes test/z, which is not in images.csv"),
        ({"train_f": True}, "pseudo.csv: takes train/f, which .* is a training image"),
        ({"test_x": "yes"}, "pseudo.csv: row 2: taken must be True or False, got 'yes'"),
    ],
)
def test_pseudo_labels_that_do_not_fit_are_refused(tmp_path, labels, taken, message):
    with pytest.raises(InputError, match=message):
        pseudo_images(TABLE, write_taken(tmp_path / "pseudo.csv", **taken), labels)


def test_missing_pseudo_labels_say_which_stage_writes_them(tmp_path, labels):
    with pytest.raises(InputError, match="images.csv: no such file; run pseudo_label"):
        pseudo_images(TABLE, tmp_path / "images.csv", labels)


def test_objects_and_coverage_are_counted_in_the_labels(labels):
    table = with_counts(TABLE.iloc[[0, 8]], labels)
    assert table["objects"].tolist() == [2, 0]
    assert table["coverage"].tolist() == [0.5, 0.0]
