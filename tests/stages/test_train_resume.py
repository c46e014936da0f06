"""A training that dies at any moment goes on, and ends with the bytes of one that did not."""

import shutil
import signal
import time
import zipfile
from contextlib import contextmanager
from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from src.base.errors import InputError
from tests.stages.started_training import started_trainings
from tests.stages.test_train import PHASE, phase, train_on, write_squares

PARTS = ("model.safetensors", "model.json", "curve.csv")
SMALL = {"train__batch_size": 2}  # two steps to an epoch
OPTIONS = {
    "as params.yaml has it": phase(epochs=3, schedule="one_cycle"),
    "all that the loop keeps": phase(epochs=3, freeze="gradual", optimiser="adam")
    | {"train__holdout": 0.25, "train__early_stopping": 2, "train__snapshots": 2}
    | {"train__batch_size": 1, "train__replay": 2, "train__accumulate": 2},
    "two phases, twice": {
        "train__phases": [
            PHASE
            | {"schedule": "triangular2", "cycle_epochs": 2, "epochs": 2, "freeze": "encoder"},
            PHASE | {"optimiser": "sgd", "schedule": "warm_restarts", "loss": {"bce_weight": 2.0}},
        ],
        "train__repeat": 2,
        "train__snapshots": 3,
    },
}
MATRIX = {
    **{f"schedule {name}": phase(epochs=3, schedule=name, cycle_epochs=2, min_lr=0.1)
       for name in ("constant", "step", "cosine", "one_cycle", "triangular2", "warm_restarts")},
    **{f"optimiser {name}": phase(epochs=3, optimiser=name)
       for name in ("adam", "adamw", "sgd", "rmsprop")},
    **{f"freeze {name}": phase(epochs=4, freeze=name) for name in ("none", "encoder", "gradual")},
    "no average": phase(epochs=2) | {"train__ema_decay": 0.0},
    "snapshots": phase(epochs=4) | {"train__snapshots": 3},
    "hold-out": phase(epochs=4) | {"train__holdout": 0.25, "train__snapshots": 2},
    "early stopping": {
        "train__phases": [PHASE | {"epochs": 9, "lr": 1e-12, "optimiser": "sgd"}, PHASE],
        "train__holdout": 0.25,
        "train__early_stopping": 2,
    },
    "chosen by objects": phase(epochs=4) | {"train__holdout": 0.5, "train__choose_by": "ap50"},
    **{f"replay {every}": phase(epochs=3) | {"train__batch_size": 1, "train__replay": every}
       for every in (1, 2, 3)},
    **{f"accumulate {count}": phase(epochs=3) | {"train__batch_size": 1, "train__accumulate": count}
       for count in (2, 3)},
    "frozen batch norm": phase(epochs=2) | {"train__freeze_batch_norm": True},
    "drawn by size": phase(epochs=3, fraction=0.7) | {"train__sampling": "size"},
    "dropout": phase(epochs=2) | {"model__architecture": "FPN"},
    "dropout, workers": phase(epochs=2) | {"model__architecture": "FPN", "train__workers": 1},
    "augmented": phase(epochs=2) | {"augment__set": "heavy", "augment__mosaic": 0.5},
    "bf16": phase(epochs=2) | {"train__precision": "bf16"},
    "heads": phase(epochs=2) | {"loss__border_weight": 1.0, "loss__embedding_weight": 1.0},
    "looks at times": phase(epochs=5) | {"train__evaluate_every": 2, "train__holdout": 0.25},
}  # fmt: skip


class Died(BaseException):
    """In the place of SIGKILL, which tests cannot come back from."""


@contextmanager
def dying(register, counts, allowed):
    """Die when something happens once more than is allowed."""
    happened = []

    def hook(module, *_):
        if counts(module):
            happened.append(1)
            if len(happened) > allowed:
                raise Died

    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


def a_step(optimiser):
    return True


def a_look(module):
    return isinstance(module, smp.base.SegmentationModel) and torch.is_inference_mode_enabled()


def a_refresh(module):
    means = (getattr(one, "momentum", 0) is None for one in module.modules())  # over all batches
    return isinstance(module, smp.base.SegmentationModel) and any(means)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Function that trains on bright squares, with a checkpoint after every step."""
    write_squares(tmp_path)
    monkeypatch.setenv("CHECKPOINT_MINUTES", "0")
    options = ["--checkpoints", str(tmp_path / "checkpoints")]
    return partial(train_on, tmp_path, "interrupted", options=options)


def deaths_until_done(run, register, counts, allowed, **options):
    """Start again and again; return how often it died."""
    for deaths in range(60):
        try:
            with dying(register, counts, allowed):
                run(**options)
            return deaths
        except Died:
            continue
    raise AssertionError("it makes no headway")


def assert_same_bytes(tmp_path, **options):
    whole = train_on(tmp_path, "whole", **options)
    for part in PARTS:
        assert (whole / part).read_bytes() == (tmp_path / "interrupted" / part).read_bytes(), part
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", OPTIONS)
def test_dying_in_every_step_changes_no_bit(run, tmp_path, name):
    options = SMALL | OPTIONS[name]
    deaths = deaths_until_done(run, register_optimizer_step_post_hook, a_step, 1, **options)
    assert deaths >= 4
    assert_same_bytes(tmp_path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", MATRIX)
def test_dying_in_every_step_changes_no_bit_whatever_is_on(run, tmp_path, name):
    options = SMALL | MATRIX[name]
    assert deaths_until_done(run, register_optimizer_step_post_hook, a_step, 1, **options) >= 2
    assert_same_bytes(tmp_path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS | MATRIX)
def test_dying_while_images_are_looked_at_changes_no_bit(run, tmp_path, name):
    options = SMALL | OPTIONS.get(name, MATRIX.get(name))
    looks = 3 if options["train__batch_size"] == 2 else 6  # batches looked at in an epoch
    register = register_module_forward_pre_hook
    assert deaths_until_done(run, register, a_look, looks, **options) >= 1
    assert_same_bytes(tmp_path, **options)


def test_dying_while_statistics_are_measured_trains_no_step_again(run, tmp_path):
    options = SMALL | phase(epochs=2) | {"train__snapshots": 2}
    with pytest.raises(Died), dying(register_module_forward_pre_hook, a_refresh, 1):
        run(**options)
    with dying(register_optimizer_step_post_hook, a_step, 0):
        run(**options)
    assert_same_bytes(tmp_path, **options)


def test_a_network_held_to_its_average_is_held_by_the_same_views(run, tmp_path):
    options, held = SMALL | phase(epochs=3), ["--consistency", "10"]
    run = partial(run, options=run.keywords["options"] + held)
    deaths = deaths_until_done(run, register_optimizer_step_post_hook, a_step, 1, **options)
    assert deaths >= 4
    assert_same_bytes(tmp_path, options=held, **options)
    free = train_on(tmp_path, "free", **options)
    assert (free / PARTS[0]).read_bytes() != (tmp_path / "whole" / PARTS[0]).read_bytes()


def test_dying_between_checkpoints_loses_the_steps_since_the_last(run, tmp_path, monkeypatch):
    options = SMALL | phase(epochs=3)
    with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 3):
        run(**options)
    monkeypatch.setenv("CHECKPOINT_MINUTES", "60")
    with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 2):
        run(**options)
    with dying(register_optimizer_step_post_hook, a_step, 3):  # of six steps three were kept
        run(**options)
    assert_same_bytes(tmp_path, **options)


def test_the_bar_says_from_which_epoch_it_goes_on_and_events_start_anew(run, tmp_path, capsys):
    events = tmp_path / "events"
    options = ["--checkpoints", str(tmp_path / "checkpoints"), "--tensorboard", str(events)]
    run = partial(run, **SMALL | phase(epochs=3) | {"options": options})
    with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 4):
        run()
    assert "goes on" not in capsys.readouterr().err
    run()
    assert "train main 0, goes on from epoch 3: " in capsys.readouterr().err
    [file] = events.iterdir()
    found = EventAccumulator(str(file)).Reload().Scalars("train_loss")
    assert [one.step for one in found] == [1, 2, 3]


def test_another_training_starts_anew_and_removes_what_it_cannot_use(run, tmp_path):
    options = SMALL | phase(epochs=2)
    seen = set()
    changes = [{}, {"train__seed": 1}, {"fold": 1}, {"loss__w0": 9.0}]
    for change in changes:
        with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 1):
            run(**options | change)
        [kept] = (tmp_path / "checkpoints").iterdir()
        seen.add(kept.name)
    assert len(seen) == len(changes)


@pytest.mark.parametrize("file", ["prepared/train/images.csv", "folds.csv", "weights.zip"])
def test_other_inputs_are_another_training(run, tmp_path, file):
    names = []
    for _ in range(2):
        with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 1):
            run(**SMALL)
        names += [path.name for path in (tmp_path / "checkpoints").iterdir()]
        if file.endswith("csv"):
            text = (tmp_path / file).read_text()
            (tmp_path / file).write_text(text.replace("0.14", "0.1400").replace("g0", "g9"))
        else:
            with zipfile.ZipFile(tmp_path / file, "a") as archive:
                archive.comment = b"other"
    assert len(set(names)) == 2


def test_a_checkpoint_that_cannot_be_read_is_named(run, tmp_path):
    with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 1):
        run(**SMALL)
    [file] = (tmp_path / "checkpoints").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="training.safetensors: no checkpoint .* remove it"):
        run(**SMALL)


@pytest.mark.parametrize("minutes", ["often", "-1", "nan"])
def test_the_time_between_checkpoints_is_a_number(run, monkeypatch, minutes):
    monkeypatch.setenv("CHECKPOINT_MINUTES", minutes)
    with pytest.raises(InputError, match=f"CHECKPOINT_MINUTES '{minutes}': must be a number"):
        run(**SMALL)


def test_a_loss_that_is_no_number_leaves_the_last_good_state_and_tells_where(run, tmp_path):
    options = phase(epochs=3, lr=1e30, optimiser="sgd") | {"train__gradient_clip": 0.0}
    with pytest.raises(InputError, match="the loss became") as caught:
        run(**options)
    [file] = (tmp_path / "checkpoints").rglob("*.safetensors")
    assert caught.value.__notes__ == [f"the same command goes on from {file}"]


LONG = SMALL | phase(epochs=60)


@pytest.fixture
def start(run, tmp_path):
    """Function that starts the stage as a process and waits for a checkpoint."""
    with pytest.raises(Died), dying(register_optimizer_step_post_hook, a_step, 0):
        run(**LONG)  # writes params.yaml and the plan
    shutil.rmtree(tmp_path / "checkpoints")
    with started_trainings(tmp_path, "interrupted") as start:
        yield start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGINT, "interrupted")]
)
def test_a_signal_leaves_a_checkpoint_and_nothing_else(start, tmp_path, number, told):
    process = start()
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    [file] = (tmp_path / "checkpoints").rglob("*.safetensors")
    assert error.splitlines()[-1].endswith(f"{told}; the same command goes on from {file}")
    assert process.returncode == 1
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_and_ends_with_the_same_bytes(start, tmp_path):
    for _ in range(2):
        process = start()
        time.sleep(2)
        process.kill()
        process.wait()
    process = start()
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    assert "goes on from epoch" in error
    assert_same_bytes(tmp_path, **LONG)
