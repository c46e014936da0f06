import json

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.archive import ImageArchive, write_archive
from src.errors import InputError
from stages import ensemble

SPLITS = {"val": ["val/a"], "test": []}
FOLDS = {"train/a": 0, "train/b": 1, "train/c": 2}


def write_predictions(root, name, values, heads=("mask",), spreads=()):
    """Write what two folds predicted: constant maps and numbers, each fold's values in a row."""
    kinds = {*heads, *(f"{spread}_spread" for spread in spreads)}
    for fold, (oof, val) in enumerate(zip(values[::2], values[1::2], strict=True)):
        folder = root / f"probabilities/{name}/fold{fold}"
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
        listed = {"heads": list(heads)} | ({"spreads": list(spreads)} if spreads else {})
        (folder / "maps.json").write_text(json.dumps(listed))


@pytest.fixture
def data(tmp_path):
    """Two members, two folds; each map holds one value by which it can be recognised."""
    pd.DataFrame(FOLDS.items(), columns=["name", "fold"]).to_csv(
        tmp_path / "folds.csv", index=False
    )
    write_predictions(tmp_path, "main", [10, 20, 40, 50])
    write_predictions(tmp_path, "other", [70, 80, 100, 110])
    return tmp_path


def run(data, merge="mean", folds=(0, 1), members=("main", "other"), weights=None, soups=None):
    params = {
        "ensemble": {"merge": merge, "weights": weights or {}},
        "split_folds": {"k": 3, "folds": list(folds), "seed": 0},
        "members": {name: {} for name in members},
        "soups": soups or {},
    }
    YAML().dump(params, data / "params.yaml")
    paths = [str(data / name) for name in ("folds.csv", "probabilities", "out")]
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
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(data, changes, message):
    with pytest.raises(InputError, match=message):
        run(data, **changes)
    assert not (data / "out").exists()
