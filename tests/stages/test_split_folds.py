import csv
import random

import numpy as np
import pytest

from src.base.errors import InputError
from src.dividing.assignment import assign_folds
from stages.split_folds import main
from tests.image_tables import write_image_tables as write_images

SECTION = {
    "method": "stratified",
    "balance": "coverage",
    "column": "zone",
    "k": 2,
    "repeats": 1,
    "folds": [0],
    "likeness": "false",
    "seed": 0,
}


def train_rows(count, per_group=1):
    """Rows of train images, `per_group` of which share a group, coverage 0 to 0.9."""
    return [
        {
            "name": f"train/{i:03}",
            "height": 10,
            "width": 10,
            "objects": i % 10,
            "coverage": i % 10 / 10,
            "group": i // per_group,
        }
        for i in range(count)
    ]


def write_table(path, columns, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def run(tmp_path, rows, **params):
    """Run the stage on a table; return the text of the two that it writes.

    A row's `cluster` and `test_likeness` go into the tables of the stages before.
    """
    elsewhere = ("cluster", "test_likeness")
    images = [{key: row[key] for key in row if key not in elsewhere} for row in rows]
    write_images(tmp_path / "prepared", images)
    rows = [{"cluster": "", "test_likeness": ""} | row for row in rows]
    write_table(tmp_path / "groups/train.csv", ["name", "group", "cluster"], rows)
    write_table(tmp_path / "split/likeness.csv", ["name", "test_likeness"], rows)
    lines = [f"  {key}: {value}\n" for key, value in (SECTION | params).items()]
    (tmp_path / "params.yaml").write_text("split_folds:\n" + "".join(lines))
    written = [tmp_path / "out/folds.csv", tmp_path / "out/fold_summary.csv"]
    inputs = [tmp_path / name for name in ("prepared", "groups", "split")]
    main([*map(str, inputs + written), "--params", str(tmp_path / "params.yaml")])
    return [path.read_text() for path in written]


def split(tmp_path, rows, **params):
    return run(tmp_path, rows, **params)[0]


def fold_of(written):
    return {row["name"]: int(row["fold"]) for row in csv.DictReader(written.splitlines())}


def test_every_train_image_has_a_fold_and_no_other_image(tmp_path):
    header, *lines = split(tmp_path, train_rows(4)).splitlines()
    assert header == "name,fold,repeat,group,copies,copy,test_likeness"
    assert [line.split(",")[0] for line in lines] == [f"train/00{i}" for i in range(4)]
    assert sorted(line.split(",")[1] for line in lines) == ["0", "0", "1", "1"]


def test_a_group_is_in_one_fold(tmp_path):
    rows = train_rows(30, per_group=3)
    folds = fold_of(split(tmp_path, rows, k=4))
    assert set(folds.values()) == {0, 1, 2, 3}
    for first in range(0, 30, 3):
        assert len({folds[f"train/{i:03}"] for i in range(first, first + 3)}) == 1


def test_group_names_are_text(tmp_path):
    rows = train_rows(4)
    for row, group in zip(rows, ["1", "01", "NA", ""], strict=True):
        row["group"] = group
    assert list(fold_of(split(tmp_path, rows, k=4)).values()).count(3) == 1


def test_the_order_of_the_rows_changes_no_byte(tmp_path):
    rows = train_rows(40, per_group=2)
    written = run(tmp_path, rows, k=3, repeats=2)
    random.Random(0).shuffle(rows)
    assert run(tmp_path, rows, k=3, repeats=2) == written


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


def test_too_few_groups_of_copies_name_find_duplicates(tmp_path):
    rows = [row | {"cluster": 0} for row in train_rows(8, per_group=8)]
    words = r"holds 8 of the 8 for near-duplicates .* find_duplicates\.local_difference or set"
    with pytest.raises(InputError, match=words):
        split(tmp_path, rows)
    with pytest.raises(InputError, match=r"groups/train\.csv of find_duplicates lists them"):
        split(tmp_path, train_rows(8, per_group=8))


def test_a_table_without_train_images_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"prepared: no image of train"):
        split(tmp_path, [])


def test_an_absent_table_is_refused(tmp_path):
    split(tmp_path, train_rows(4))
    stages = {"prepared/train/images": "prepare_masks", "groups/train": "find_duplicates"}
    stages["split/likeness"] = "validate_split"
    arguments = ["prepared", "groups", "split", "out/folds.csv", "out/fold_summary.csv"]
    arguments = [str(tmp_path / argument) for argument in arguments]
    for name, stage in stages.items():
        (tmp_path / f"{name}.csv").rename(tmp_path / "away")
        with pytest.raises(InputError, match=rf"{name}\.csv: no such file; run {stage}"):
            main([*arguments, "--params", str(tmp_path / "params.yaml")])
        (tmp_path / "away").rename(tmp_path / f"{name}.csv")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"k": 1}, r"split_folds\.k: .*greater than or equal to 2, got 1"),
        ({"method": "random"}, r"split_folds\.method: .*'leave_one_group_out' or 'column'"),
        ({"balance": "size"}, r"split_folds\.balance: .*'objects' or 'none', got 'size'"),
        ({"repeats": 0}, r"split_folds\.repeats: .*greater than or equal to 1, got 0"),
        ({"repeats": 2, "folds": [4]}, r"k 2 and repeats 2 the folds are 0 to 3, got \[4\]"),
        (
            {"method": "test_likeness", "repeats": 2},
            r"split_folds\.repeats: .*test_likeness knows one division, set it to 1, got 2",
        ),
        ({"method": "column", "repeats": 2}, "method column knows one division"),
        ({"method": "leave_one_group_out", "repeats": 2}, "leave_one_group_out knows one division"),
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


def test_folds_are_those_of_the_groups_and_coverages_whatever_else_is_known(tmp_path):
    rows = train_rows(24, per_group=2)
    folds = assign_folds(
        np.arange(24) % 10 / 10, np.array([str(i // 2) for i in range(24)]), k=3, seed=7
    )
    assert list(fold_of(split(tmp_path, rows, k=3, seed=7)).values()) == folds.tolist()


def test_copies_are_counted_among_train_images(tmp_path):
    rows = train_rows(6, per_group=3)
    clusters = ["", "0", "", "0", "1", "0"]
    rows = [row | {"cluster": c} for row, c in zip(rows, clusters, strict=True)]
    for row, group in zip(rows, "xyxyzy", strict=True):  # groups that the clusters joined
        row["group"] = group
    written = list(csv.DictReader(split(tmp_path, rows).splitlines()))
    assert [row["group"] for row in written] == list("xyxyzy")
    assert [row["copies"] for row in written] == ["1", "3", "1", "3", "1", "3"]
    assert [row["copy"] for row in written] == ["0", "0", "0", "1", "0", "2"]


def test_every_image_has_a_row_in_every_division(tmp_path):
    rows = train_rows(12, per_group=2)
    written, summary = run(tmp_path, rows, k=3, repeats=2, folds=[5, 0])
    table = list(csv.DictReader(written.splitlines()))
    assert [row["name"] for row in table] == [f"train/{i:03}" for i in range(12)] * 2
    assert [row["repeat"] for row in table] == ["0"] * 12 + ["1"] * 12
    assert {row["fold"] for row in table[:12]} == {"0", "1", "2"}
    assert {row["fold"] for row in table[12:]} == {"3", "4", "5"}
    assert written.startswith(split(tmp_path, rows, k=3))
    assert [line.split(",")[0] for line in summary.splitlines()] == ["fold", *"012345"]


def test_objects_can_be_balanced_instead_of_coverage(tmp_path):
    rows = [row | {"objects": 0 if i < 4 else 3} for i, row in enumerate(train_rows(8))]
    for seed in range(5):
        folds = fold_of(split(tmp_path, rows, balance="objects", seed=seed))
        assert sum(folds[f"train/{i:03}"] for i in range(4)) == 2


def test_without_balance_folds_are_equal_in_images_alone(tmp_path):
    sizes = [5, 3, 1, 1]
    rows = train_rows(10)
    for row, group in zip(rows, np.repeat(range(4), sizes).tolist(), strict=True):
        row["group"] = group
    folds = fold_of(split(tmp_path, rows, balance="none"))
    assert [folds[f"train/{i:03}"] for i in range(5)].count(folds["train/000"]) == 5
    assert folds["train/000"] not in {folds[f"train/{i:03}"] for i in range(5, 10)}


def test_fold_0_is_what_resembles_test_most(tmp_path):
    rows = train_rows(6, per_group=2)
    likeness = [0.1, 0.3, 0.9, 0.5, 0.4, 0.2]
    rows = [row | {"test_likeness": p} for row, p in zip(rows, likeness, strict=True)]
    written, summary = run(tmp_path, rows, method="test_likeness", k=3)
    assert list(fold_of(written).values()) == [2, 2, 0, 0, 1, 1]
    assert [row["test_likeness"] for row in csv.DictReader(summary.splitlines())] == [
        *("0.7", "0.3", "0.2")
    ]
    assert written.splitlines()[3] == "train/002,0,0,1,1,0,0.9"


def test_likeness_is_told_only_where_asked_since_it_changes_with_the_images_of_test(tmp_path):
    rows = train_rows(4)
    one, other = ([row | {"test_likeness": p} for row in rows] for p in (0.25, 0.75))
    assert split(tmp_path, one) == split(tmp_path, other) == split(tmp_path, rows)
    told = list(csv.DictReader(split(tmp_path, one, likeness="true").splitlines()))
    assert {row["test_likeness"] for row in told} == {"0.25"}


def test_folds_by_likeness_need_test_images(tmp_path):
    with pytest.raises(InputError, match=r"likeness\.csv: no test_likeness, .* no .* test images"):
        split(tmp_path, train_rows(6), method="test_likeness")


def test_every_group_is_a_fold_once(tmp_path):
    rows = train_rows(6, per_group=2)
    for row, group in zip(rows, ["b", "b", "10", "10", "9", "9"], strict=True):
        row["group"] = group
    written = split(tmp_path, rows, method="leave_one_group_out", k=3)
    assert list(fold_of(written).values()) == [2, 2, 0, 0, 1, 1]  # by name: 10, 9, b
    with pytest.raises(InputError, match=r"k is 2 but the train images form 3 group.* set k to 3"):
        split(tmp_path, rows, method="leave_one_group_out", k=2)


def test_folds_come_from_a_column(tmp_path):
    zones = [1, 0.0, 1, 0]
    rows = [row | {"zone": z} for row, z in zip(train_rows(4), zones, strict=True)]
    assert list(fold_of(split(tmp_path, rows, method="column")).values()) == [1, 0, 1, 0]


def test_a_column_that_holds_no_folds_is_refused(tmp_path):
    rows = [row | {"zone": i // 2} for i, row in enumerate(train_rows(4))]
    with pytest.raises(InputError, match=r"split_folds\.column names the column 'land'"):
        split(tmp_path, rows, method="column", column="land")
    with pytest.raises(
        InputError, match=r"images\.csv: column 'zone': no train image is of fold 2"
    ):
        split(tmp_path, rows, method="column", k=3)
    rows[1]["group"] = rows[2]["group"] = "block"
    with pytest.raises(InputError, match="the group 'block' lies in the folds 0 and 1"):
        split(tmp_path, rows, method="column")


def test_the_summary_is_what_the_folds_hold(tmp_path):
    rows = [row | {"zone": i // 3} for i, row in enumerate(train_rows(6))]
    rows[1]["cluster"] = rows[2]["cluster"] = "0"
    summary = run(tmp_path, rows, method="column")[1]
    assert summary.splitlines() == [
        "fold,images,groups,duplicated,empty,coverage,objects,object_area,test_likeness",
        "0,3,3,2,1,0.1,1.0,10.0,",
        "1,3,3,0,0,0.4,4.0,10.0,",
    ]


def test_an_image_that_an_earlier_stage_does_not_know_is_named(tmp_path):
    split(tmp_path, train_rows(4))
    rows = train_rows(5)
    write_images(tmp_path / "prepared", rows)
    arguments = ["prepared", "groups", "split", "out/folds.csv", "out/fold_summary.csv"]
    arguments = [str(tmp_path / argument) for argument in arguments]
    with pytest.raises(InputError, match=r"train\.csv: no row for 'train/004'; run find_dup"):
        main([*arguments, "--params", str(tmp_path / "params.yaml")])
