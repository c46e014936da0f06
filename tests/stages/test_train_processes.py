"""Two processes train as one does, die as one does, and go on."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from src.base.errors import InputError
from src.training import checkpoint, loop, processes
from tests.processes import run_in
from tests.stages.started_training import started_trainings
from tests.stages.test_train import PHASE, phase, train_on, weights, write_squares
from tests.stages.test_train_resume import Died

LAUNCHED = {"launcher": {"command": "torchrun --standalone --nproc-per-node=2"}}
# Adam makes whole steps of gradients that are nothing but rounding; large steps make it grow.
LEARNING = {"optimiser": "sgd", "lr": 0.01}
FROZEN = {"train__freeze_batch_norm": True}
TWENTY = {"train__batch_size": 2} | phase(epochs=10, **LEARNING)  # two steps to an epoch
HEADS = ("border_weight", "embedding_weight", "empty_weight")
EQUAL = {
    "batch norm frozen": TWENTY | FROZEN,
    "batch norm synchronised": TWENTY | phase(epochs=3, **LEARNING),
    "shares of two and one, replayed and accumulated": phase(epochs=3, **LEARNING)
    | {"train__batch_size": 3, "train__replay": 1, "train__accumulate": 2},
    "all that the loop keeps": {"train__batch_size": 2, "train__holdout": 0.25}
    | FROZEN
    | phase(epochs=6, freeze="encoder", **LEARNING)
    | {"train__snapshots": 2, "train__gradient_clip": 0.1, "train__choose_by": "ap50"},
    "held to its average": TWENTY | FROZEN | {"options": ["--consistency", "10"]},
    "heads": {f"loss__{weight}": 1.0 for weight in HEADS}
    | {"train__batch_size": 2, "loss__ohem": 0.5, "loss__normalise_weights": True}
    | FROZEN
    | phase(epochs=3, **LEARNING),
    "heads that are off in the second phase": {f"loss__{weight}": 0.1 for weight in HEADS}
    | {"train__batch_size": 2, "train__weight_decay": 0.1}
    | {
        "train__phases": [
            PHASE | LEARNING | {"epochs": 1},
            PHASE | LEARNING | {"epochs": 2, "loss": dict.fromkeys(HEADS, 0.0)},
        ]
    }
    | FROZEN,
}


def furthest(a, b):
    assert a.keys() == b.keys()
    return max((a[key].double() - b[key].double()).abs().max().item() for key in a)


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_give_the_network_of_one(tmp_path, name):
    write_squares(tmp_path)
    one = train_on(tmp_path, "one", **EQUAL[name])
    run_in(2, partial(train_on, tmp_path, "two", **EQUAL[name]))
    start = train_on(tmp_path, "start", **EQUAL[name] | phase(epochs=1, lr=1e-12))
    moved = furthest(weights(start), weights(one))
    assert furthest(weights(one), weights(tmp_path / "two")) < 1e-5 < moved / 100
    curves = [pd.read_csv(tmp_path / name / "curve.csv") for name in ("one", "two")]
    pd.testing.assert_frame_equal(*curves, rtol=1e-4)


def test_batch_norms_by_share_are_another_training_whose_statistics_are_evened_out(tmp_path):
    write_squares(tmp_path)
    options = {"train__batch_size": 4, "train__sync_batch_norm": False} | phase(**LEARNING)
    one = weights(train_on(tmp_path, "one", **options))
    run_in(2, partial(train_on, tmp_path, "two", **options))
    two = weights(tmp_path / "two")
    # The first sees what no other has normalised: the mean over shares is that over the batch.
    first = "encoder.model.conv1.1.running_mean"
    assert furthest({first: one[first]}, {first: two[first]}) < 1e-6
    last = [key for key in one if key.endswith("running_var")]
    assert furthest({key: one[key] for key in last}, {key: two[key] for key in last}) > 1e-4


def die_after(steps, root, **options):
    """Train, and die in the place of SIGKILL once the optimiser has stepped so often."""
    own_steps, seen = loop._steps, []

    def stepping(*args):
        for _ in own_steps(*args):
            seen.append(1)
            if len(seen) > steps:
                raise Died
            yield

    loop._steps = stepping  # in a forked process
    train_on(root, "two", options=["--checkpoints", str(root / "checkpoints")], **options)


@pytest.mark.slow
def test_two_processes_go_on_and_end_with_the_bytes_of_two_that_did_not_die(tmp_path, monkeypatch):
    write_squares(tmp_path)
    monkeypatch.setenv("CHECKPOINT_MINUTES", "0")
    options = {"train__batch_size": 2, "train__holdout": 0.25, "train__sync_batch_norm": False}
    options |= {"model__architecture": "FPN"} | phase(epochs=3)  # which has dropout
    run_in(2, partial(train_on, tmp_path, "whole", **options))
    with pytest.raises(AssertionError, match=r"\[1, 1\]"):
        run_in(2, partial(die_after, 2, tmp_path, **options))
    [kept] = (tmp_path / "checkpoints").iterdir()
    run_in(2, partial(die_after, 9, tmp_path, **options))
    for part in ("model.safetensors", "model.json", "curve.csv"):
        assert (tmp_path / "whole" / part).read_bytes() == (tmp_path / "two" / part).read_bytes()
    assert not kept.exists()


def test_more_processes_than_images_in_a_batch_are_refused(tmp_path, monkeypatch):
    write_squares(tmp_path)
    monkeypatch.setattr(processes, "count", lambda: 3)
    words = "launcher.command starts 3 processes, of which a batch of 2 image"
    with pytest.raises(InputError, match=words):
        train_on(tmp_path, train__batch_size=2)


def test_a_launcher_that_cannot_be_run_is_named(tmp_path):
    write_squares(tmp_path)
    with pytest.raises(InputError, match="launcher.command 'torchrnu -x': 'torchrnu' cannot be"):
        train_on(tmp_path, launcher={"command": "torchrnu -x"})
    with pytest.raises(InputError, match=r"launcher.command: .*No closing quotation"):
        train_on(tmp_path, launcher={"command": "torchrun '"})
    with pytest.raises(InputError, match=r"launcher.command: .*must be none or a command"):
        train_on(tmp_path, launcher={"command": ""})


def test_no_shell_reads_the_launcher(tmp_path, monkeypatch):
    write_squares(tmp_path)
    monkeypatch.setenv("WHERE", f"{tmp_path}/a b; touch {tmp_path}/made")
    script = "import sys, json; open(sys.argv[1], 'w').write(json.dumps(sys.argv[2:]))"
    told = tmp_path / "told.json"
    command = f'{sys.executable} -c "{script}" {told} $WHERE > $(touch {tmp_path}/made)'
    train_on(tmp_path, launcher={"command": command})
    given = json.loads(told.read_text())
    assert given[:3] == [os.environ["WHERE"], ">", "$(touch"]
    assert given[4:6] == ["-m", "stages.train"]
    assert given[6] == str(tmp_path / "prepared")
    assert not (tmp_path / "made").exists()


def test_a_launcher_that_fails_is_told_with_where_training_goes_on(tmp_path):
    write_squares(tmp_path)
    kept = tmp_path / "checkpoints/0123456789abcdef"
    kept.mkdir(parents=True)
    (kept / checkpoint.FILE).touch()
    options = ["--checkpoints", str(kept.parent)]
    with pytest.raises(InputError, match="launcher.command 'false' ended with status 1") as caught:
        train_on(tmp_path, options=options, launcher={"command": "false"})
    assert caught.value.__notes__ == [f"the same command goes on from {kept.parent}"]


LONG = {"train__batch_size": 2} | FROZEN | phase(epochs=12)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Function that starts the stage as a process that launches two, and waits for a checkpoint."""
    write_squares(tmp_path)
    monkeypatch.setenv("CHECKPOINT_MINUTES", "0")
    with pytest.raises(InputError):
        train_on(tmp_path, "two", launcher={"command": "false"}, **LONG)  # writes params.yaml
    file = tmp_path / "params.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | LAUNCHED))
    with started_trainings(tmp_path, "two") as start:
        yield start


def ranks_of(process):
    """Return the numbers of the processes that a launcher which this process started runs."""
    children = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields["PPid"]), []).append(int(fields["Pid"]))
    [launcher] = children[process.pid]
    return sorted(children[launcher])


@pytest.mark.slow
def test_a_killed_process_stops_all_with_a_sentence_and_they_go_on_to_the_same_bytes(
    start, tmp_path
):
    process = start()
    killed = ranks_of(process)
    os.kill(killed[1], signal.SIGKILL)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "launcher.command 'torchrun --standalone --nproc-per-node=2' ended" in error
    told = f"see above; the same command goes on from {tmp_path / 'checkpoints'}"
    assert error.splitlines()[-1].endswith(told)
    assert not any(Path(f"/proc/{number}").exists() for number in killed)
    assert not (tmp_path / "two").exists()
    process = start()
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    assert "goes on from epoch" in error
    run_in(2, partial(train_on, tmp_path, "whole", **LONG))
    for part in ("model.safetensors", "model.json", "curve.csv"):
        assert (tmp_path / "whole" / part).read_bytes() == (tmp_path / "two" / part).read_bytes()


@pytest.mark.slow
def test_sigterm_lets_all_stop_at_one_step_with_a_checkpoint(start, tmp_path):
    process = start()
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    told = f"stopped by SIGTERM; the same command goes on from {tmp_path / 'checkpoints'}"
    assert error.splitlines()[-1].endswith(told)
    assert not list(tmp_path.rglob("*.partial"))
