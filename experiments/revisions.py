"""What git keeps of commits and experiments: their references and their metrics."""

import json
import subprocess
from pathlib import Path
from typing import cast

from src.base.errors import InputError
from src.base.files import read_json

METRICS_FILE = "reports/metrics.json"
DATA = "data"  # its key for the fingerprint of the truth; absent in older ones
WORKSPACE = "workspace"  # the folder as it is


def git(*arguments: str) -> str:
    """Return what git prints. Raises InputError with what it complains of if it fails."""
    run = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if run.returncode:
        raise InputError(f"git {' '.join(arguments)} failed: {run.stderr.strip()}")
    return run.stdout


def experiment_reference(name: str, start: str = "HEAD") -> str:
    """Return the reference under which DVC keeps an experiment that starts from a commit."""
    head = git("rev-parse", start).strip()
    return f"refs/exps/{head[:2]}/{head[2:]}/{name}"


def commit_of(name: str) -> str:
    """Return the commit of an experiment that starts from HEAD; any other name as it is."""
    return git("for-each-ref", "--format=%(objectname)", experiment_reference(name)).strip() or name


def read_metrics(revision: str) -> dict:
    """Read the metrics of a commit, or of the workspace.

    Raises
    ------
    InputError
        If there are none, or they are not JSON.
    """
    if revision == WORKSPACE:
        return cast("dict", read_json(Path(METRICS_FILE)))
    text = git("show", f"{revision}:{METRICS_FILE}")
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(
            f"{revision}: its {METRICS_FILE} is not valid JSON; run evaluate"
        ) from None


def data_of(revision: str) -> str:
    """Return the fingerprint of the truth that a revision was judged by, "" if it is unknown."""
    try:
        return str(read_metrics(revision).get(DATA, ""))
    except InputError:
        return ""
