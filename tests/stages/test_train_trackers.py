"""A training that is killed goes on in the runs of its trackers."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.src.training.test_trackers import ITS_OWN, records
from tests.stages.test_train import phase, train_on, write_squares

ROOT = Path(__file__).parents[2]
EPOCHS = 12
INSTALLED = [n for n in ("dvclive", "mlflow", "wandb") if importlib.util.find_spec(n)]


def steps_of_dvclive(folder):
    path = folder / ".dvclive/main/fold0/plots/metrics/train_loss.tsv"
    with path.open() as file:
        return [int(row["step"]) for row in csv.DictReader(file, delimiter="\t")]


def steps_of_mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / '.mlflow/runs.db'}")
    experiment = client.get_experiment_by_name("maskline").experiment_id
    [run] = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    return [one.step for one in client.get_metric_history(run.info.run_id, "train_loss")]


def steps_of_wandb(folder):
    [(_, rows, steps)] = records(folder).values()
    assert all("train_loss" in row for row in rows)
    return steps


STEPS = {"dvclive": steps_of_dvclive, "mlflow": steps_of_mlflow, "wandb": steps_of_wandb}


def start(folder):
    """Start the stage in the folder as a process, that keeps its state after every step."""
    names = ("prepared", "plan", "folds.csv", "weights.zip", "killed")
    command = [sys.executable, "-m", "stages.train", *names, "--member", "main", "--fold", "0"]
    command += ["--checkpoints", "checkpoints"]
    environment = os.environ | {"CHECKPOINT_MINUTES": "0", "DVC_ROOT": str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=pipe, text=True)


def wait_until_told(process, folder, step):
    """Wait until all trackers were told a step; return the file that says so."""
    while True:
        assert process.poll() is None, process.stderr.read()
        for path in folder.glob("checkpoints/*/trackers.json"):
            if min(one["step"] for one in json.loads(path.read_text()).values()) >= step:
                return path
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings(ITS_OWN)
@pytest.mark.skipif(not INSTALLED, reason="no tracker is installed")
def test_a_training_that_is_killed_goes_on_in_its_runs(tmp_path):
    options = phase(epochs=EPOCHS) | {"train__batch_size": 2}
    write_squares(tmp_path)
    whole = train_on(tmp_path, "whole", **options)
    params = json.loads((tmp_path / "params.yaml").read_text())
    params["trackers"]["names"] = INSTALLED
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    process = start(tmp_path)
    kept = wait_until_told(process, tmp_path, step=3)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1)  # W&B writes what it is told each 0.1 s, by a process of its own
    process.kill()
    process.communicate()
    last = {name: one["step"] for name, one in json.loads(kept.read_text()).items()}
    assert max(last.values()) < EPOCHS
    process = start(tmp_path)
    error = process.communicate(timeout=600)[1]
    assert process.returncode == 0, error
    for name in INSTALLED:
        steps = STEPS[name](tmp_path)
        again = [n for n in range(1, EPOCHS + 1) if steps.count(n) > 1]
        assert sorted(set(steps)) == list(range(1, EPOCHS + 1)), name
        assert again in ([], [last[name] + 1])  # killed between telling it and noting that
    for part in ("model.safetensors", "model.json", "curve.csv"):
        assert (whole / part).read_bytes() == (tmp_path / "killed" / part).read_bytes()
