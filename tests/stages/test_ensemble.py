import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.archive import ImageArchive, write_archive
from src.errors import InputError
from stages import ensemble

SPLITS = {"val": ["val/a"], "test": []}


@pytest.fixture
def data(tmp_path):
    """Two members, two folds; each map holds one value by which it can be recognised."""
    folds = pd.DataFrame({"name": ["train/a", "train/b", "train/c"], "fold": [0, 1, 2]})
    folds.to_csv(tmp_path / "folds.csv", index=False)
    value = 0
    for member in ("main", "other"):
        for fold, oof in enumerate([["train/a"], ["train/b"]]):
            for split, names in ({"oof": oof} | SPLITS).items():
                value += 10
                maps = [(name, np.full((2, 3), value, np.uint8)) for name in names]
                path = tmp_path / f"probabilities/{member}/fold{fold}/{split}.zip"
                write_archive(path, maps)
    return tmp_path


def run(data, merge="mean", folds=(0, 1), members=("main", "other")):
    params = {
        "ensemble": {"merge": merge},
        "split_folds": {"k": 3, "folds": list(folds), "seed": 0},
        "members": {name: {} for name in members},
    }
    YAML().dump(params, data / "params.yaml")
    paths = [str(data / name) for name in ("folds.csv", "probabilities", "out")]
    ensemble.main([*paths, "--params", str(data / "params.yaml")])
    archives = (ImageArchive(data / "out" / f"{s}.zip") for s in ("oof", "val", "test"))
    return {name: archive.read(name)[0, 0] for archive in archives for name in archive.names}


def test_out_of_fold_maps_come_from_the_fold_that_left_the_image_out(data):
    # values: main fold 0: oof 10, val 20; fold 1: 40, 50; other fold 0: 70, 80; fold 1: 100, 110
    assert run(data) == {"train/a": 40, "train/b": 70, "val/a": (20 + 50 + 80 + 110) / 4}


def test_images_of_folds_that_are_not_trained_have_no_map(data):
    assert run(data, folds=[1]) == {"train/b": 70, "val/a": 80}


def test_one_member_alone_passes_its_maps_on(data):
    assert run(data, members=["other"]) == {"train/a": 70, "train/b": 100, "val/a": 95}


def test_the_merge_is_the_one_asked_for(data):
    assert run(data, merge="gmean")["train/a"] == round((10 * 70) ** 0.5)


def test_a_missing_map_is_never_passed_over(data):
    (data / "probabilities/other/fold1/val.zip").unlink()
    with pytest.raises(InputError, match="other/fold1/val.zip: no such archive"):
        run(data)
    assert not (data / "out").exists()


def test_leftovers_of_members_that_are_no_more_are_not_read(data):
    before = run(data, members=["main"])
    assert before == {"train/a": 10, "train/b": 40, "val/a": 35}


@pytest.mark.parametrize("members", [[], ["../main"]])
def test_members_need_a_usable_name(data, members):
    with pytest.raises(InputError, match="members"):
        run(data, members=members)
