"""Of which data set a page is, and when, where and from which commit it was made."""

import hashlib
import os
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import NamedTuple

MADE_BY_STAGES = ("reports", "dvc.lock", "data/dvc.lock")  # of no weight for what is uncommitted
PATIENCE = 20  # s
CPU_INFO = Path("/proc/cpuinfo")


class Provenance(NamedTuple):
    """When, where and from what a page was made; "" is unknown."""

    date: str  # YYYY-MM-DD, local
    commit: str  # short hash, "with uncommitted changes" behind it where there are any
    machine: str  # its processor, and its GPUs if it has any


def provenance() -> Provenance:
    """Tell when, where and from what a page is made that is made now."""
    return Provenance(date.today().isoformat(), commit_here(), machine_here())


def made_text(made: Provenance, page: str, minutes: dict[str, list[float]]) -> str:
    """Tell of a page what differs from run to run, and so must not stand in it.

    DVC holds a page to its bytes, which follow from what it is made of.

    Parameters
    ----------
    made : Provenance
    page : str
        The page, of which the SHA-256 is told: another page was made at another time.
    minutes : dict
        Member -> minutes that the training of each fold took; without those of which it is not
        known.

    Returns
    -------
    text : str
        A line on the page, one for each member, ending in a line feed.
    """
    digest = hashlib.sha256(page.encode()).hexdigest()
    commit = f" from commit {made.commit}" if made.commit else ""
    lines = [
        f"index.html (SHA-256 {digest}) was made on {made.date}{commit}, on {made.machine}; the "
        "networks may have been trained elsewhere."
    ]
    for member, times in minutes.items():
        told = ", ".join(f"{time:.1f}" for time in times)
        lines.append(f"Training of {member} took {told} minutes, fold by fold.")
    return "\n".join(lines) + "\n"


def data_set_name(root: str) -> str:
    """Return the last part of a data set's folder, such as "sample" of data/sample."""
    return Path(os.path.abspath(root)).name or root


def commit_here() -> str:
    """Return the short hash of the last commit, and whether what results come from differs from it.

    Returns
    -------
    commit : str
        "1a2b3c4" or "1a2b3c4 with uncommitted changes"; files that stages write do not count, nor
        do files that git does not know. Empty where there is no git, or no commit.
    """
    commit = _answer("git", "rev-parse", "--short", "HEAD")
    outputs = [f":(top,exclude){path}" for path in MADE_BY_STAGES]
    status = ("status", "--porcelain", "--untracked-files=no", "--", ":/", *outputs)
    changes = _answer("git", "--no-optional-locks", *status)
    if not commit or changes is None:
        return ""
    return f"{commit} with uncommitted changes" if changes else commit


def machine_here() -> str:
    """Name the processor of this machine with its cores, and its GPUs."""
    listed = _answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or ""
    gpus = listed.splitlines()
    several = f"{len(gpus)} x {gpus[0]}" if len(set(gpus)) == 1 < len(gpus) else ", ".join(gpus)
    cores = os.cpu_count() or 1
    cpu = f"{_processor()}, {cores} {'core' if cores == 1 else 'cores'}"
    return f"{cpu}, {several}" if gpus else f"{cpu}, no GPU"


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _answer(*command: str) -> str | None:
    """Return what a command prints, None where it is absent, fails or takes too long."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if run.returncode else run.stdout.strip()
