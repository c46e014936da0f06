import csv
import random

import pytest

from src.errors import InputError
from stages.split_folds import main

COLUMNS = ["name", "split", "objects", "coverage", "group"]


def train_rows(count, per_group=1):
    """Rows of train images, `per_group` of which share a group, coverage 0 to 0.9."""
    return [
        {
            "name": f"train/{i:03}",
            "split": "train",
            "coverage": i % 10 / 10,
            "group": i // per_group,
        }
        for i in range(count)
    ]


def split(tmp_path, rows, **params):
    """Run the stage on a table; return the bytes it writes."""
    (tmp_path / "prepared").mkdir(exist_ok=True)
    with (tmp_path / "prepared/images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    section = {"k": 2, "folds": [0], "seed": 0} | params
    lines = [f"  {key}: {value}\n" for key, value in section.items()]
    (tmp_path / "params.yaml").write_text("split_folds:\n" + "".join(lines))
    folds = tmp_path / "out/folds.csv"
    main([str(tmp_path / "prepared"), str(folds), "--params", str(tmp_path / "params.yaml")])
    return folds.read_bytes()


def test_every_train_image_has_a_fold_and_no_other_image(tmp_path):
    rows = train_rows(4)
    rows += [{"name": f"val/{i}", "split": "val", "coverage": 0.5, "group": i} for i in range(3)]
    rows += [{"name": "test/0", "split": "test", "coverage": "", "group": "test/0"}]
    header, *lines = split(tmp_path, rows).decode().splitlines()
    assert header == "name,fold"
    assert [line.split(",")[0] for line in lines] == [f"train/00{i}" for i in range(4)]
    assert sorted(line.split(",")[1] for line in lines) == ["0", "0", "1", "1"]


def test_a_group_is_in_one_fold(tmp_path):
    rows = train_rows(30, per_group=3)
    folds = dict(line.split(",") for line in split(tmp_path, rows, k=4).decode().split()[1:])
    assert set(folds.values()) == {"0", "1", "2", "3"}
    for first in range(0, 30, 3):
        assert len({folds[f"train/{i:03}"] for i in range(first, first + 3)}) == 1


def test_group_names_are_text(tmp_path):
    rows = train_rows(4)
    for row, group in zip(rows, ["1", "01", "NA", ""], strict=True):
        row["group"] = group
    assert split(tmp_path, rows, k=4).decode().count("train/") == 4


def test_the_order_of_the_rows_changes_no_byte(tmp_path):
    rows = train_rows(40, per_group=2)
    written = split(tmp_path, rows, k=3)
    random.Random(0).shuffle(rows)
    assert split(tmp_path, rows, k=3) == written


def test_the_trained_folds_change_no_byte(tmp_path):
    rows = train_rows(12)
    assert split(tmp_path, rows, k=3, folds=[2, 0]) == split(tmp_path, rows, k=3, folds=[1])


def test_another_seed_divides_otherwise(tmp_path):
    rows = train_rows(40)
    assert split(tmp_path, rows, seed=1) != split(tmp_path, rows, seed=2)


def test_more_folds_than_groups_are_refused_with_both_numbers(tmp_path):
    with pytest.raises(InputError, match=r"split_folds\.k is 5 but the train images form 4 group"):
        split(tmp_path, train_rows(8, per_group=2), k=5)
    assert not (tmp_path / "out").exists()


def test_a_table_without_train_images_is_refused(tmp_path):
    rows = [{"name": "test/0", "split": "test", "coverage": "", "group": "test/0"}]
    with pytest.raises(InputError, match=r"images\.csv: no image of split train"):
        split(tmp_path, rows)


def test_an_absent_table_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("split_folds: {k: 2, folds: [0], seed: 0}")
    with pytest.raises(InputError, match=r"prepared.images\.csv: no such file; run prepare_masks"):
        main([str(tmp_path / "prepared"), "-", "--params", str(tmp_path / "params.yaml")])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"k": 1}, r"split_folds\.k: .*greater than or equal to 2, got 1"),
        ({"folds": []}, r"split_folds\.folds: .*at least 1 item"),
        ({"folds": [0, 2]}, r"split_folds\.folds: .*k 2 the folds are 0 to 1, got \[0, 2\]"),
        ({"folds": [-1]}, r"split_folds\.folds: .*k 2 the folds are 0 to 1, got \[-1\]"),
        ({"folds": [1, 1]}, r"split_folds\.folds: .*name each fold once, got \[1, 1\]"),
        ({"folds": ["a"]}, r"split_folds\.folds\.0: .*integer, got 'a'"),
        ({"seed": -1}, r"split_folds\.seed: .*greater than or equal to 0, got -1"),
    ],
)
def test_params_that_make_no_sense_are_refused(tmp_path, params, words):
    with pytest.raises(InputError, match=words):
        split(tmp_path, train_rows(4), **params)
