"""A slice of the kill matrix: six kills of preparing and of training."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_what_was_killed_ends_with_the_same_bytes():
    command = [sys.executable, "-m", "tests.kill_matrix", "--targets", "train@main-0"]
    command += ["--stages", "prepare_masks", "train@main-0", "--signals", "KILL", "TERM"]
    run = subprocess.run([*command, "--trials", "6"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^\| all \| 6 \| 6 \| 0 \| 0 \| 0 \|$", run.stdout, re.MULTILINE)
