import copy

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from src.archive import ImageArchive, write_archive
from src.errors import InputError
from src.model import build_model
from stages import train

PHASE = {
    "epochs": 1,
    "lr": 0.002,
    "fraction": 1.0,
    "freeze_encoder": False,
    "optimiser": "adamw",
    "schedule": "constant",
    "dice_scale": 1.0,
}
PARAMS = {
    "model": {
        "architecture": "Linknet",
        "encoder": "tu-test_resnet",  # timm's smallest
        "encoder_depth": 3,
        "encoder_weights": "none",
        "resize": 1.0,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    },
    "loss": {
        "bce_weight": 1.0,
        "dice_weight": 1.0,
        "jaccard_weight": 0.0,
        "distance": "none",
        "w0": 5.0,
        "sigma": 5.0,
        "size_weight": 0.0,
    },
    "augment": {
        "views": "d4",
        "shift": 0.0,
        "scale": 0.0,
        "rotate": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
        "hue": 0,
        "saturation": 0,
    },
    "train": {
        "seed": 0,
        "crop_size": 32,
        "batch_size": 4,
        "workers": 0,
        "precision": "float32",
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
        "ema_decay": 0.9,
        "holdout": 0.0,
        "evaluate_every": 1,
        "phases": [PHASE],
    },
    "members": {"main": {}},
}


@pytest.fixture
def run(tmp_path):
    """Function that trains on bright squares and returns the model's folder."""
    write_squares(tmp_path)

    def run(out="model", fold=0, member="main", **changes):
        params = copy.deepcopy(PARAMS)
        for key, value in changes.items():
            section, _, name = key.partition("__")
            params[section] = value if not name else params[section] | {name: value}
        YAML().dump(params, tmp_path / "params.yaml")
        paths = [tmp_path / name for name in ("prepared", "folds.csv", "weights.zip", out)]
        options = ["--member", member, "--fold", str(fold)]
        train.main([*map(str, paths), *options, "--params", str(tmp_path / "params.yaml")])
        return tmp_path / out

    return run


def write_squares(root, noise_in_fold=None):
    """Eight images, 32 x 32, of bright squares on dark ground; two folds, one group each pair."""
    rng = np.random.default_rng(1)
    names, content = [f"train/{i}" for i in range(8)], {"images": [], "instances": []}
    for i in range(8):
        instances = np.zeros((32, 32), np.uint16)
        row, column = rng.integers(2, 16, 2)
        instances[row : row + 12, column : column + 12] = 1
        image = np.where(instances[..., None] > 0, 200, 60) + rng.integers(-20, 20, (32, 32, 3))
        if noise_in_fold == i % 2:
            image = np.random.default_rng(i).integers(0, 256, (32, 32, 3))
        content["images"].append(image.astype(np.uint8))
        content["instances"].append(instances)
    for kind, arrays in content.items():
        write_archive(root / "prepared" / f"{kind}.zip", zip(names, arrays, strict=True))
    planes = [np.dstack([(i == 0) * 40, i * 0 + 255, i * 12]) for i in content["instances"]]
    planes = [p.astype(np.uint8) for p in planes]
    write_archive(root / "weights.zip", zip(names, planes, strict=True))
    groups = pd.DataFrame({"name": names, "group": [f"g{i // 2}" for i in range(8)]})
    groups.to_csv(root / "prepared" / "images.csv", index=False)
    folds = pd.DataFrame({"name": names, "fold": [i % 2 for i in range(8)]})
    folds.to_csv(root / "folds.csv", index=False)


def weights(folder):
    return load_file(folder / "model.safetensors")


def differ(a, b):
    return a.keys() != b.keys() or any(not torch.equal(a[key], b[key]) for key in a)


def test_it_learns_to_find_bright_squares(run):
    curve = pd.read_csv(run(train__phases=[PHASE | {"epochs": 25, "lr": 0.01}]) / "curve.csv")
    assert curve["epoch"].tolist() == list(range(1, 26))
    assert curve["train_loss"].iloc[-1] < 0.7 * curve["train_loss"].iloc[0]
    assert curve["fold_dice"].iloc[-1] > 0.8


def test_one_setting_gives_one_result_however_many_workers(run):
    first, second = run("a"), run("b", train__workers=2)
    for part in ("model.safetensors", "model.json", "curve.csv"):
        assert (first / part).read_bytes() == (second / part).read_bytes()


def test_the_left_out_fold_never_reaches_the_network(run, tmp_path):
    clean = run("clean")
    write_squares(tmp_path, noise_in_fold=0)
    noisy = run("noisy")
    assert (clean / "model.safetensors").read_bytes() == (noisy / "model.safetensors").read_bytes()
    assert (clean / "curve.csv").read_bytes() != (noisy / "curve.csv").read_bytes()


@pytest.mark.parametrize(
    "knob",
    [
        {"train__seed": 1},
        {"train__ema_decay": 0.0},
        {"train__gradient_clip": 0.0},
        {"train__weight_decay": 0.5},
        {"train__precision": "bf16"},
        {"train__phases": [PHASE | {"dice_scale": 9.0}]},
        {"train__phases": [PHASE | {"lr": 0.001}]},
        {"train__phases": [PHASE | {"schedule": "cosine", "epochs": 2}]},
        {"train__phases": [PHASE | {"optimiser": "sgd"}]},
        {"loss__bce_weight": 3.0},
        {"loss__dice_weight": 3.0},
        {"loss__jaccard_weight": 1.0},
        {"loss__distance": "d1"},
        {"loss__size_weight": 1.0},
        {"augment__views": "none"},
        {"augment__rotate": 20.0},
        {"augment__brightness": 0.3},
        {"model__mean": [0.1, 0.5, 0.5]},
        {"model__resize": 1.5},
        {"model__encoder_depth": 4},
        {"members": {"main": {"loss": {"dice_weight": 3.0}}}},
    ],
)
def test_every_knob_changes_the_network(run, knob):
    assert differ(weights(run("plain")), weights(run("changed", **knob)))


def test_a_member_is_the_defaults_with_its_overrides(run):
    direct = run("direct", loss__w0=9.0, loss__distance="d1")
    override = {"loss": {"w0": 9.0, "distance": "d1"}}
    member = run("member", member="other", members={"main": {}, "other": override})
    assert not differ(weights(direct), weights(member))


def test_a_frozen_encoder_stays_as_it_started(run):
    frozen = [PHASE | {"freeze_encoder": True, "epochs": 2}]
    learnt = weights(run(train__phases=frozen, train__ema_decay=0.0))
    torch.manual_seed(0)
    start = build_model(
        architecture="Linknet",
        encoder="tu-test_resnet",
        encoder_depth=3,
        encoder_weights=None,
        channels=1,
    ).state_dict()
    encoder = [key for key in start if key.startswith("encoder.")]
    assert all(torch.equal(start[key], learnt[key]) for key in encoder)
    assert differ({k: v for k, v in start.items() if k not in encoder}, learnt)


def test_phases_follow_each_other(run):
    phases = [PHASE | {"epochs": 2, "fraction": 0.5}, PHASE | {"lr": 0.0001}]
    curve = pd.read_csv(run(train__phases=phases, train__batch_size=2) / "curve.csv")
    assert curve["phase"].tolist() == [0, 0, 1]
    assert curve["lr"].tolist() == [0.002, 0.002, 0.0001]


def test_the_best_epoch_is_chosen_on_a_hold_out_and_not_on_the_fold(run):
    # The second phase is destructive; only the hold-out can tell.
    phases = [PHASE | {"epochs": 6}, PHASE | {"lr": 10.0, "optimiser": "sgd"}]
    common = {"train__ema_decay": 0.0, "train__gradient_clip": 0.0}
    folder = run("kept", train__phases=phases, train__holdout=0.25, **common)
    curve = pd.read_csv(folder / "curve.csv")
    best = curve["holdout_dice"].idxmax()
    assert best < 6
    short = run(
        "short", train__phases=[PHASE | {"epochs": int(best) + 1}], train__holdout=0.25, **common
    )
    assert not differ(weights(folder), weights(short))


def test_without_a_hold_out_the_last_epoch_is_kept(run):
    curve = pd.read_csv(run() / "curve.csv")
    assert curve["holdout_dice"].isna().all()


def test_nothing_is_watched_between_the_epochs_that_are_due(run):
    phases = [PHASE | {"epochs": 3}]
    curve = pd.read_csv(run(train__phases=phases, train__evaluate_every=2) / "curve.csv")
    assert curve["fold_dice"].notna().tolist() == [False, True, True]


def test_events_for_tensorboard_are_written_anew(run, tmp_path):
    events = tmp_path / "events"
    for _ in range(2):
        paths = [str(tmp_path / n) for n in ("prepared", "folds.csv", "weights.zip", "model")]
        run()
        options = ["--member", "main", "--fold", "0", "--tensorboard", str(events)]
        train.main([*paths, *options, "--params", str(tmp_path / "params.yaml")])
    assert len(list(events.iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 7}, r"folds.csv: fold 7 is not one of several; it has \[0, 1\]"),
        ({"train__crop_size": 36}, "train.crop_size 36 must be a multiple of 8"),
        ({"train__holdout": 0.99}, "train.holdout 0.99 leaves nothing to learn from"),
        ({"model__encoder": "resnet19"}, "model.encoder 'resnet19'"),
        ({"loss__distance": "d3"}, "loss.distance.*'d3'"),
        ({"train__phases": [PHASE | {"lr": "1e-5"}]}, "train.phases.0.lr.*'1e-5'"),
        ({"train__phases": []}, "train.phases"),
        ({"loss__dice": 1.0}, "loss.dice: unknown key"),
        ({"member": "linknet"}, "no member 'linknet' under 'members'; known: main"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        run(**changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_loss_that_is_no_number_stops_the_training(run, tmp_path):
    phases = [PHASE | {"lr": 1e30, "epochs": 3, "optimiser": "sgd"}]
    with pytest.raises(InputError, match="train.phases.0: the loss became .* in epoch .*lower lr"):
        run(train__phases=phases, train__gradient_clip=0.0)
    assert not (tmp_path / "model").exists()


def test_a_missing_input_says_which_stage_writes_it(run, tmp_path):
    (tmp_path / "folds.csv").unlink()
    with pytest.raises(InputError, match="folds.csv: no such file; run the split_folds stage"):
        run()
    assert ImageArchive(tmp_path / "weights.zip").names
