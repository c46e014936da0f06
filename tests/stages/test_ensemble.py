import json

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from stages import ensemble

SPLITS = {"val": ["val/a"], "test": []}
FOLDS = {"train/a": 0, "train/b": 1, "train/c": 2}


def write_folds(path, *divisions):
    """Write the table of folds: the fold of each image in one division after the other."""
    rows = [(*row, repeat) for repeat, folds in enumerate(divisions) for row in folds.items()]
    table = pd.DataFrame(rows, columns=["name", "fold", "repeat"])
    table["group"] = table["name"]
    table.assign(copies=1, copy=0, test_likeness=0.5).to_csv(path, index=False)


def write_predictions(root, name, values, heads=("mask",), spreads=(), of="probabilities"):
    """Write what two folds predicted: constant maps and numbers, each fold's values in a row."""
    kinds = {*heads, *(f"{spread}_spread" for spread in spreads)}
    for fold, (oof, val) in enumerate(zip(values[::2], values[1::2], strict=True)):
        folder = root / f"{of}/{name}/fold{fold}"
        names = {"oof": ["train/a", "train/b"][fold : fold + 1]} | SPLITS
        for split, of_split in names.items():
            value = oof if split == "oof" else val
            for kind in kinds - {"empty"}:
                file = f"{split}.zip" if kind == "mask" else f"{split}_{kind}.zip"
                shape = (2, 3, 3) if kind == "embedding" else (2, 3)
                maps = [(one, np.full(shape, value, np.uint8)) for one in of_split]
                write_archive(folder / file, maps)
            if "empty" in heads:
                table = pd.DataFrame(
                    {"name": of_split, "probability": [value / 255] * len(of_split)}
                )
                table.to_csv(folder / f"{split}_empty.csv", index=False)
        listed = {"heads": list(heads), "spreads": list(spreads)}
        (folder / "maps.json").write_text(json.dumps(listed))


@pytest.fixture
def data(tmp_path):
    """Two members, two folds; each map holds one value by which it can be recognised."""
    write_folds(tmp_path / "folds.csv", FOLDS)
    write_predictions(tmp_path, "main", [10, 20, 40, 50])
    write_predictions(tmp_path, "other", [70, 80, 100, 110])
    return tmp_path


SPLIT_FOLDS = {"method": "stratified", "balance": "none", "column": "fold", "k": 4, "seed": 0}
SPLIT_FOLDS |= {"likeness": False}


def run(
    data,
    merge="mean",
    folds=(0, 1),
    members=("main", "other"),
    weights=None,
    soups=None,
    students=(),
    predictions="both",
    networks="all",
):
    student = {"teachers": "data/probabilities", "weight": 1.0, "predictions": predictions}
    student |= {"consistency": 0.0}
    params = {
        "ensemble": {"merge": merge, "networks": networks, "weights": weights or {}},
        "split_folds": SPLIT_FOLDS | {"repeats": 1, "folds": list(folds)},
        "members": {name: {} for name in members},
        "soups": soups or {},
        "student": student | {"folds": list(students)},
    }
    YAML().dump(params, data / "params.yaml")
    names = ("folds.csv", "probabilities", "student_probabilities", "out")
    paths = [str(data / name) for name in names]
    ensemble.main([*paths, "--params", str(data / "params.yaml")])
    return values(data)


def values(data, suffix=""):
    archives = [ImageArchive(data / f"out/{s}{suffix}.zip") for s in ("oof", "val", "test")]
    return {
        name: archive.read(name)[0, 0].tolist() for archive in archives for name in archive.names
    }


def listed(data):
    return json.loads((data / "out/maps.json").read_text())


def test_out_of_fold_maps_come_from_the_fold_that_left_the_image_out(data):
    assert run(data) == {"train/a": 40, "train/b": 70, "val/a": (20 + 50 + 80 + 110) / 4}
    assert listed(data) == {"heads": ["mask"], "spreads": ["member"]}
    assert len(list((data / "out").iterdir())) == 7


def test_images_of_folds_that_are_not_trained_have_no_map(data):
    assert run(data, folds=[1]) == {"train/b": 70, "val/a": 80}


def test_one_member_alone_passes_its_maps_on(data):
    assert run(data, members=["other"]) == {"train/a": 70, "train/b": 100, "val/a": 95}


def test_new_images_may_be_merged_of_as_many_networks_as_those_left_out(data):
    """So that a model fitted on the latter sees maps of one kind."""
    found = run(data, networks="as_oof")
    assert found == {"train/a": 40, "train/b": 70, "val/a": (20 + 80) / 2}
    assert run(data, networks="as_oof", folds=[1, 0])["val/a"] == (50 + 110) / 2
    spread = values(data, "_member_spread")
    assert spread["val/a"] == round((110 - 50) / 2 / 255 * 510)


def test_the_merge_is_the_one_asked_for(data):
    assert run(data, merge="gmean")["train/a"] == round((10 * 70) ** 0.5)
    assert run(data, merge="max")["val/a"] == 110


def test_weights_count_by_member_in_every_split(data):
    found = run(data, weights={"main": 3.0})
    assert found == {"train/a": 25, "train/b": 55, "val/a": (3 * (20 + 50) + 80 + 110) / 8}


def test_a_weight_of_zero_leaves_a_member_out_unread(data):
    (data / "probabilities/main/fold0/maps.json").unlink()
    assert run(data, weights={"main": 0}) == {"train/a": 70, "train/b": 100, "val/a": 95}


def test_soups_take_part_beside_members(data):
    write_predictions(data, "mix", [130, 140, 160, 170])
    found = run(data, soups={"mix": ["main", "other"]}, weights={"main": 0, "mix": 2})
    assert found["train/a"] == (70 + 2 * 130) / 3
    assert found["val/a"] == round((80 + 110 + 2 * (140 + 170)) / 6)


def test_a_head_is_merged_over_the_networks_that_have_it(data):
    write_predictions(data, "other", [70, 80, 100, 110], ["mask", "empty", "border", "contact"])
    write_predictions(data, "third", [130, 140, 160, 170], ["mask", "contact"])
    found = run(data, members=["main", "other", "third"], weights={"third": 2})
    assert found["train/a"] == (10 + 70 + 2 * 130) / 4
    assert values(data, "_border") == {"train/a": 70, "train/b": 100, "val/a": 95}
    assert values(data, "_contact")["train/a"] == (70 + 2 * 130) / 3
    heads = ["mask", "border", "contact", "empty"]
    assert listed(data)["heads"] == heads


def test_values_that_are_no_probability_are_averaged_whatever_the_merge(data):
    for name, of_name in {"main": [10, 20, 40, 50], "other": [70, 80, 100, 110]}.items():
        write_predictions(data, name, of_name, ["mask", "boundary_distance"])
    assert run(data, merge="max")["train/a"] == 70
    assert values(data, "_boundary_distance") == {"train/a": 40, "train/b": 70, "val/a": 65}


def test_affinities_are_averaged_plane_by_plane_whatever_the_merge(data):
    write_predictions(data, "main", [10, 20, 40, 50], ["mask", "embedding"])
    write_predictions(data, "other", [70, 80, 100, 110], ["mask", "embedding"])
    for name, planes in {"main": (10, 0, 0), "other": (70, 255, 0)}.items():
        path = data / f"probabilities/{name}/fold0/oof_embedding.zip"
        write_archive(path, [("train/a", np.full((2, 3, 3), planes, np.uint8))])
    run(data, merge="max", weights={"main": 3.0})
    assert values(data, "_embedding")["train/a"] == [25, round(255 / 4), 0]
    assert listed(data)["heads"] == ["mask", "embedding"]


def test_the_spread_over_members_is_that_of_the_means_of_their_folds(data):
    write_predictions(data, "mix", [130, 140, 160, 170])
    run(data, soups={"mix": ["main"]}, weights={"main": 5.0, "mix": 0.1}, merge="max")
    of_val = np.std([(20 + 50) / 2, (80 + 110) / 2, (140 + 170) / 2])
    assert values(data, "_member_spread") == {
        "train/a": round(2 * np.std([10, 70, 130])),
        "train/b": round(2 * np.std([40, 100, 160])),
        "val/a": round(2 * of_val),
    }


def test_members_of_weight_0_and_folds_of_one_member_make_no_spread(data):
    run(data, weights={"main": 0})
    assert listed(data)["spreads"] == []
    assert not list((data / "out").glob("*spread*"))


def test_the_spread_over_views_is_averaged_by_weight_over_the_networks_of_the_image(data):
    write_predictions(data, "main", [10, 20, 40, 50], spreads=["view"])
    write_predictions(data, "other", [70, 80, 100, 110], spreads=["view"])
    run(data, weights={"main": 3.0}, merge="gmean")
    assert listed(data)["spreads"] == ["view", "member"]
    of_val = round((3 * (20 + 50) + 80 + 110) / 8)
    assert values(data, "_view_spread") == {"train/a": 25, "train/b": 55, "val/a": of_val}


def test_a_spread_over_views_that_one_network_lacks_is_left_out(data):
    write_predictions(data, "main", [10, 20, 40, 50], spreads=["view"])
    run(data)
    assert listed(data)["spreads"] == ["member"]
    run(data, weights={"other": 0})
    assert listed(data)["spreads"] == ["view"]
    assert values(data, "_view_spread") == {"train/a": 10, "train/b": 40, "val/a": 35}


def test_numbers_are_merged_as_maps_are(data):
    for name, of_name in {"main": [10, 20, 40, 50], "other": [70, 80, 100, 110]}.items():
        write_predictions(data, name, of_name, ["mask", "empty"])
    run(data, merge="gmean", weights={"main": 2})
    tables = {s: pd.read_csv(data / f"out/{s}_empty.csv") for s in ("oof", "val", "test")}
    assert tables["oof"]["name"].tolist() == ["train/a", "train/b"]
    expected = [(10 * 10 * 70) ** (1 / 3) / 255, (40 * 40 * 100) ** (1 / 3) / 255]
    np.testing.assert_allclose(tables["oof"]["probability"], expected, atol=1e-6)
    expected = ((20 * 50) ** 2 * 80 * 110) ** (1 / 6) / 255
    np.testing.assert_allclose(tables["val"]["probability"], [expected], atol=1e-6)
    assert tables["test"].columns.tolist() == ["name", "probability"]
    assert len(tables["test"]) == 0


def write_students(data, **values):
    for name, of_name in values.items():
        write_predictions(data, name, of_name, of="student_probabilities")


def test_students_are_merged_beside_members_and_soups_or_alone_or_not(data):
    write_students(data, main=[200, 210, 220, 230], other=[240, 242, 244, 246])
    write_predictions(data, "mix", [130, 140, 160, 170])
    asked = {"soups": {"mix": ["main"]}, "students": [1, 0]}
    assert run(data, **asked) == {
        "train/a": (10 + 70 + 130 + 200 + 240) / 5,
        "train/b": round((40 + 100 + 160 + 220 + 244) / 5),
        "val/a": round((20 + 50 + 80 + 110 + 140 + 170 + 210 + 230 + 242 + 246) / 10),
    }
    assert run(data, **asked, predictions="student") == {
        "train/a": 220,
        "train/b": 232,
        "val/a": 232,
    }
    off = run(data, soups={"mix": ["main"]})
    assert off == {"train/a": 70, "train/b": 100, "val/a": 95}
    assert run(data, **asked, predictions="teacher") == off


@pytest.mark.parametrize("predictions", ["both", "teacher", "student"])
def test_without_students_their_folder_is_not_looked_for(data, predictions):
    found = run(data, predictions=predictions)
    assert found == {"train/a": 40, "train/b": 70, "val/a": 65}
    assert not (data / "student_probabilities").exists()


def test_a_student_is_weighted_by_its_name(data):
    write_students(data, main=[200, 210, 220, 230], other=[240, 242, 244, 246])
    weights = {"student_main": 3.0, "main": 2.0, "student_other": 0}
    found = run(data, students=[0, 1], weights=weights)
    assert found["train/a"] == (2 * 10 + 70 + 3 * 200) / 6
    found = run(data, students=[0, 1], weights=weights, predictions="student")
    assert found["train/a"] == 200
    found = run(data, students=[0, 1], weights=weights, predictions="teacher")
    assert found["train/a"] == round((2 * 10 + 70) / 3)


def test_a_student_is_one_of_those_that_disagree(data):
    write_students(data, main=[200, 210, 220, 230])
    run(data, members=["main"], students=[0, 1])
    assert values(data, "_member_spread") == {
        "train/a": 200 - 10,  # twice the deviation of two values is their difference
        "train/b": 220 - 40,
        "val/a": (210 + 230) / 2 - (20 + 50) / 2,
    }
    run(data, members=["main"], students=[0, 1], predictions="student")
    assert listed(data)["spreads"] == []


def test_some_students_will_do_where_they_are_not_merged(data):
    assert run(data, students=[0], predictions="teacher")["train/b"] == 70


@pytest.fixture
def divided_twice(data):
    """Folds 2 and 3 divide the two images again, the other way round; fold 3 is of train/a."""
    again = {"train/a": 3, "train/b": 2}
    write_folds(data / "folds.csv", {"train/a": 0, "train/b": 1}, again)
    for name, values_of in {"main": [90, 120], "other": [150, 180]}.items():
        for fold, image, value in zip((2, 3), ("train/b", "train/a"), values_of, strict=True):
            folder = data / f"probabilities/{name}/fold{fold}"
            for split, one in {"oof": image, "val": "val/a"}.items():
                write_archive(folder / f"{split}.zip", [(one, np.full((2, 3), value, np.uint8))])
            write_archive(folder / "test.zip", [])
            (folder / "maps.json").write_text('{"heads": ["mask"], "spreads": []}')
    return data


def test_all_trained_networks_that_left_an_image_out_are_merged(divided_twice):
    assert run(divided_twice, folds=[0, 1, 2, 3]) == {
        "train/a": round((10 + 120 + 70 + 180) / 4),
        "train/b": round((40 + 90 + 100 + 150) / 4),
        "val/a": round((20 + 50 + 90 + 120 + 80 + 110 + 150 + 180) / 8),
    }


def test_of_several_folds_of_an_image_only_those_trained_count(divided_twice):
    found = run(divided_twice, folds=[0, 3], members=["main"])
    assert found == {"train/a": (10 + 120) / 2, "val/a": (20 + 120) / 2}
    found = run(divided_twice, folds=[0, 1, 3], members=["main"])
    assert (found["train/a"], found["train/b"]) == ((10 + 120) / 2, 40)


def test_members_disagree_by_the_means_of_the_folds_of_the_image(divided_twice):
    run(divided_twice, folds=[0, 1, 2, 3])
    found = values(divided_twice, "_member_spread")
    assert found["train/a"] == (70 + 180) / 2 - (10 + 120) / 2
    assert found["train/b"] == (100 + 150) / 2 - (40 + 90) / 2


MISSING = ["val.zip", "maps.json", "val_border.zip", "oof_empty.csv", "test_view_spread.zip"]


@pytest.mark.parametrize("file", MISSING)
def test_a_missing_file_is_never_passed_over(data, file):
    write_predictions(data, "main", [10, 20, 40, 50], spreads=["view"])
    heads = ["mask", "border", "empty"]
    write_predictions(data, "other", [70, 80, 100, 110], heads, ["view"])
    (data / f"probabilities/other/fold1/{file}").unlink()
    with pytest.raises(InputError, match=f"other/fold1/{file}: no such"):
        run(data)
    assert not (data / "out").exists()


def test_leftovers_of_members_that_are_no_more_are_not_read(data):
    before = run(data, members=["main"])
    assert before == {"train/a": 10, "train/b": 40, "val/a": 35}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": []}, "members must name at least one"),
        ({"members": ["../main"]}, "members.../main: use letters"),
        ({"weights": {"mian": 2}}, "ensemble.weights.mian: no such member or soup; known: main, o"),
        ({"weights": {"main": 0, "other": 0}}, "leaves nothing to merge"),
        ({"weights": {"main": -1}}, "ensemble.weights.main: .*greater than or equal to 0"),
        ({"weights": {"main": float("inf")}}, "ensemble.weights.main: .*finite"),
        ({"soups": {"main": ["other"]}}, "soups.main: there is a member 'main'; rename the soup"),
        ({"soups": {"../mix": ["other"]}}, "soups.*../mix.*pattern"),
        ({"merge": "median"}, "ensemble.merge.*'median'"),
        (
            {"students": [0]},
            r"student.folds \[0\] must be split_folds.folds \[0, 1\] where .* both",
        ),
        ({"students": [0, 1, 2], "predictions": "student"}, r"student.folds \[0, 1, 2\] must be"),
        ({"students": [0, 1]}, "student_probabilities/main/fold0/maps.json: no such file"),
        ({"predictions": "none"}, "student.predictions.*'none'"),
        ({"weights": {"student_main": 1}}, "student_main: no such member or soup; known: main, o"),
        (
            {"members": ["main", "student_main"], "students": [0, 1]},
            "'student_main' is the name of a student; rename the other",
        ),
        (
            {"students": [0, 1], "weights": {"student_main": 0}, "members": ["main"]}
            | {"predictions": "student"},
            "leaves nothing to merge; give one of student_main a weight above 0",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(data, changes, message):
    with pytest.raises(InputError, match=message):
        run(data, **changes)
    assert not (data / "out").exists()
