import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STAGE = """
import os, time
from pathlib import Path
from src.base.running import run_stage
def main():
    Path({began!r}).touch()
    while not Path({ends!r}).exists():
        time.sleep(0.01)
run_stage(main)
"""
# In the place of dvc: starts the stage as its child, tells its number, and waits.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def stage(tmp_path):
    """Function that starts a stage which runs until a file is there, and waits for its begin."""
    started = []

    def start(name, *before, waits=True, **variables):
        began, ends = tmp_path / f"{name} began", tmp_path / f"{name} ends"
        code = STAGE.format(began=str(began), ends=str(ends))
        environment = os.environ | {"DVC_ROOT": str(tmp_path), "DVC_STAGE": "train@main-0"}
        process = subprocess.Popen(
            [sys.executable, *(before or ["-c"]), code], cwd=ROOT, env=environment | variables,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        if waits:
            wait_for(began)
        return process, began, ends

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(path):
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def ended(number):
    """Tell whether a process ends within a minute; one that nobody has waited for has too."""
    for _ in range(6000):
        with suppress(FileNotFoundError, ProcessLookupError):
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                time.sleep(0.01)
                continue
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stage_ends_when_its_dvc_is_killed_alone(stage, number):
    dvc, _, _ = stage("a", "-c", PARENT)
    child = int(dvc.stdout.readline())
    dvc.send_signal(number)
    error = dvc.communicate(timeout=60)[1]  # ends when all that may write there have ended
    assert error == "stopped by SIGTERM\n"
    assert ended(child)  # what it wrote to is closed a moment before


def test_a_stage_waits_for_a_process_of_an_earlier_run_of_it(stage):
    first, _, first_ends = stage("a")
    second, began, ends = stage("b", waits=False)
    told = second.stderr.readline()
    assert told == (
        f"train@main-0: process {first.pid} of an earlier run of this stage has not ended yet; "
        "waits for it\n"
    )
    assert not began.exists()
    first_ends.touch()
    wait_for(began)
    assert first.wait(60) == 0
    ends.touch()
    assert second.wait(60) == 0


def test_a_killed_process_holds_nothing(stage):
    first, _, _ = stage("a")
    first.kill()
    second, _, ends = stage("b")
    ends.touch()
    assert second.communicate(timeout=60) == ("", "")


@pytest.mark.parametrize(
    "variables", [{"DVC_STAGE": "train@main-1"}, {"RANK": "0"}], ids=["another", "a rank"]
)
def test_other_stages_and_ranks_of_a_launcher_run_beside_it(stage, variables):
    stage("a")
    second, _, ends = stage("b", **variables)
    ends.touch()
    assert second.communicate(timeout=60) == ("", "")
