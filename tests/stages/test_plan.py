import itertools
import time

import joblib
import numpy as np
import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.base.files import read_json
from src.base.params import load_params
from src.formats.archive import write_archive
from src.training.params import TrainParams
from stages import plan
from tests.image_tables import write_image_tables
from tests.sections import PARAMS

READ = ("plan", "model", "loss", "train", "members", "split_folds", "workers")


@pytest.fixture
def run(tmp_path):
    """Function that plans for images with squares and returns the folder of the plan."""

    def run(maps, changes=None):
        rows = [{"name": name, "split": "train"} for name in maps]
        for row, instances in zip(rows, maps.values(), strict=True):
            row |= {"height": instances.shape[0], "width": instances.shape[1]}
            row |= {"objects": int(instances.max()), "coverage": float((instances > 0).mean())}
        write_image_tables(tmp_path / "prepared", rows)
        write_archive(tmp_path / "prepared/labels/train/instances.zip", maps.items())
        params = {section: dict(PARAMS[section]) for section in READ}
        phase = params["train"]["phases"][0] | {"epochs": "auto"}
        params["train"] |= {"crop_size": "auto", "batch_size": "auto", "phases": [phase]}
        params["model"]["resize"] = params["loss"]["sigma"] = "auto"
        for section, values in (changes or {}).items():
            params[section] |= values
        YAML(typ="safe").dump(params, tmp_path / "params.yaml")
        paths = [str(tmp_path / name) for name in ("prepared", "plan")]
        plan.main([*paths, "--params", str(tmp_path / "params.yaml")])
        return tmp_path / "plan"

    return run


def squares(gap, side=20, size=96):
    """Two squares in a row, so many pixels of background between them."""
    instances = np.zeros((size, size), np.uint16)
    instances[10 : 10 + side, 5 : 5 + side] = 1
    instances[10 : 10 + side, 5 + side + gap : 5 + side + gap + side] = 2
    return instances


def images(gap=5, count=16):
    return {f"train/{number:02}": squares(gap) for number in range(count)}


def test_values_and_reasons_follow_from_the_images(run, capsys):
    folder = run(images(), {"plan": {"steps": 100}})
    told = read_json(folder / "plan.json")
    assert told["loss.sigma"]["value"] == 6.0  # the nearest pixels are 6 px apart
    assert told["loss.sigma"]["reason"].startswith("100% of the objects have another one within 32")
    assert read_json(folder / "train.json") == {"crop_size": 96, "batch_size": 8, "epochs": 100}
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == list(told)
    assert printed[0].split()[1] == "1"


def test_the_plan_is_what_a_section_takes_for_auto(run, tmp_path):
    folder = run(images(), {"plan": {"steps": 60}})
    train = load_params(tmp_path / "params.yaml", "train", TrainParams, plan=folder)
    assert (train.crop_size, train.batch_size, train.phases[0].epochs) == (96, 8, 60)


def test_images_like_those_there_are_change_reasons_alone(run):
    folder = run(images())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run(images() | {"train/16": squares(50)})
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"plan.json"}


def test_members_with_numbers_of_their_own_are_counted_in(run):
    folder = run(images(), {"members": {"far": {"loss": {"sigma": 9.0}}}})
    assert read_json(folder / "weight_maps.json") == {"max_distance": 27}


def test_more_folds_leave_more_images_to_learn_from_and_fewer_epochs(run):
    folder = run(images(count=32), {"plan": {"steps": 120}, "split_folds": {"k": 4}})
    assert read_json(folder / "train.json")["epochs"] == 40  # 24 images, 3 batches


def test_minutes_are_shared_by_the_networks_of_all_members_and_folds(run, monkeypatch):
    clock = itertools.count()  # a step takes a second, 1.15 with all that comes with it
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    tiny = {"encoder": "tu-test_resnet", "encoder_depth": 3, "encoder_weights": "none"}
    changes = {"plan": {"minutes": 4.6}, "model": tiny, "members": {"main": {}, "other": {}}}
    folder = run(images(), changes)
    assert read_json(folder / "train.json")["epochs"] == 60  # of 8 images, one batch
    assert read_json(folder / "plan.json")["train.epochs"]["reason"].endswith(
        "and plan.minutes 4.6 have room for 60 steps of every network, which take 4.6 s each here"
    )


def test_images_without_objects_have_a_plan_too(run):
    folder = run({"train/a": np.zeros((64, 64), np.uint16)})
    told = read_json(folder / "plan.json")
    assert told["postprocess.min_area"]["reason"] == "there is no object to go by"
    assert read_json(folder / "train.json")["crop_size"] == 64


def test_without_images_of_train_there_is_nothing_to_plan_by(run, tmp_path):
    with pytest.raises(InputError, match="no image of split train; there is nothing to plan by"):
        run({})
    assert not (tmp_path / "plan").exists()


def test_any_number_of_workers_gives_the_same_bytes(run, monkeypatch):
    alone = {path.name: path.read_bytes() for path in run(images()).iterdir()}
    monkeypatch.setattr("src.parallel.workers.ALONE", 0)
    with joblib.parallel_config(backend="loky"):
        folder = run(images())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == alone
