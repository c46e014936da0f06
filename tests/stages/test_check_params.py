from pathlib import Path

import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from stages.check_params import main

ROOT = Path(__file__).parents[2]
PACKAGED = {"encoder": "resnet18", "encoder_weights": "packaged"}
CLIPPED = {"loss.contact_width": 70.0, "weight_maps.max_distance": 63}


@pytest.fixture
def check(tmp_path):
    """Function that checks params.yaml with changes, as dotted keys, and returns what it wrote."""

    def run(changes):
        params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
        for key, value in changes.items():
            *sections, name = key.split(".")
            place = params
            for section in sections:
                place = place[int(section) if isinstance(place, list) else section]
            place[name] = value
        with (tmp_path / "params.yaml").open("w") as file:
            YAML().dump(params, file)
        main([str(tmp_path / "checked.txt"), "--params", str(tmp_path / "params.yaml")])
        return (tmp_path / "checked.txt").read_bytes()

    return run


def test_what_is_written_does_not_depend_on_the_values(check):
    assert check({}) == check({"loss.w0": 7.0, "members.big": {"train": {"seed": 3}}})


def test_what_is_left_to_the_plan_is_not_held_against_a_number(check):
    check({"loss.contact_weight": 1.0, "loss.contact_width": 40.0})
    check({"members.big": {"train": {"crop_size": "auto"}, "loss": {"sigma": "auto"}}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"postprocess.treshold": 0.4}, "postprocess.treshold: unknown key; did you mean thresh"),
        ({"rescore.skore": "mean"}, r"rescore.skore: unknown key; did you mean score\?"),
        ({"postproces": {}}, r"postproces: unknown section; did you mean postprocess\?"),
        ({"zzz": {}}, "zzz: unknown section; known: sample, workers, launcher, trackers, "),
        ({"outlines.simplify": -1.0}, "outlines.simplify: .* greater than or equal to 0, got -1"),
        ({"model.stem_stride": True}, "model.stem_stride: .*got True"),
        ({"loss.boundary_kernel": 4}, "loss.boundary_kernel: .*odd.*got 4"),
        ({"members.big": {"los": {}}}, "members.big.los: a member overrides only augment, loss,"),
        ({"members.big": {"loss": {"w0": -1.0}}}, "members.big.loss.w0: .*got -1"),
        ({"loss.contact_weight": 1.0, **CLIPPED}, "loss.contact_width 70.0 must"),
        ({"train.phases.0.loss": {"diceweight": 1.0}}, "train.phases.0.loss.*dice"),
        ({"members.big": {"model": PACKAGED}}, "model.encoder_weights packaged: no .*'resnet18'"),
        ({"model.mean": [0.5, 0.5]}, "model.mean: .*give three numbers, or auto"),
        ({"soups.mix": ["main", "other"]}, "soups.mix: no member 'other'; known: main"),
        ({"ensemble.weights": {"mian": 1.0}}, "ensemble.weights.mian: no such member or soup"),
        ({"student.folds": [0]}, r"student.folds \[0\] must be split_folds.folds \[0, 1\]"),
        ({"postprocess.method": "threshold", "search.threshold": []}, "search.threshold lists no"),
        ({"split_folds.folds": [2]}, r"split_folds.folds: .*got \[2\]"),
    ],
)
def test_a_mistake_in_any_section_is_refused_and_nothing_is_written(
    check, tmp_path, changes, words
):
    with pytest.raises(InputError, match=words):
        check(changes)
    assert not (tmp_path / "checked.txt").exists()


def test_a_file_without_sections_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="params.yaml: holds no sections; restore it from git"):
        main([str(tmp_path / "checked.txt"), "--params", str(tmp_path / "params.yaml")])
