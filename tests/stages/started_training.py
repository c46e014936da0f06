"""The stage `train` as a process of its own, to be killed."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def started_trainings(folder, model):
    """Give a function that starts it and waits for a checkpoint; those left are stopped.

    `folder` holds what it reads, params.yaml too, and gets the folder `model`.
    """
    names = ("prepared", "plan", "folds.csv", "weights.zip", model)
    command = [sys.executable, "-m", "stages.train", *(str(folder / name) for name in names)]
    command += ["--member", "main", "--fold", "0", "--params", str(folder / "params.yaml")]
    command += ["--checkpoints", str(folder / "checkpoints")]
    started = []

    def start():
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        started.append(process)
        while not list((folder / "checkpoints").rglob("*.safetensors")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.terminate()  # not kill: a launcher is to end its processes
        process.communicate()
