"""Kill a stage, dvc or both at random moments, and compare what the next run ends with.

    python -m tests.kill_matrix                        # everything, which takes hours
    python -m tests.kill_matrix --minutes 20           # some of it, drawn
    python -m tests.kill_matrix --stages train@main-0 rescore --victims dvc --signals KILL

A stage of a small sample is run again, killed, and `dvc repro` is run. All outputs and the lock
files must then have the bytes that they have without the kill, and nothing partial must be left.
Prints a row for each, and ends with an error if one differs.
"""

import argparse
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from tests.small_repository import dvc, dvc_command, small_repository

VICTIMS = ("stage", "dvc", "both")
SIGNALS = ("KILL", "TERM", "INT")
LOCKS = ("dvc.lock", "data/dvc.lock")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--stages", nargs="+", help="all if not given")
    parser.add_argument("--victims", nargs="+", default=VICTIMS, choices=VICTIMS)
    parser.add_argument("--signals", nargs="+", default=SIGNALS, choices=SIGNALS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repository", type=Path, help="made by a former call; else a new one")
    args = parser.parse_args(argv)
    root = args.repository or Path(tempfile.mkdtemp()) / "repository"
    if not root.exists():
        root.mkdir(parents=True)
        dvc(small_repository(root), "repro")
    print(f"--repository {root}")
    rng, began, failed = random.Random(args.seed), time.monotonic(), 0
    trials = list(itertools.product(args.stages or stages(root), args.victims, args.signals))
    rng.shuffle(trials)
    heads = ("stage", "killed", "signal", "after, s", "next run", "differs")
    print(f"| {' | '.join(heads)} |\n|---|---|---|---:|---|---|")
    for stage, victim, name in trials:
        if time.monotonic() - began > 60 * args.minutes:
            break
        row = trial(root, stage, victim, name, rng.uniform(0, 6))
        failed += bool(row[-1])
        print(f"| {' | '.join([stage, victim, name, *row])} |", flush=True)
    raise SystemExit(f"{failed} of them differ" if failed else 0)


def trial(root: Path, stage: str, victim: str, name: str, seconds: float) -> tuple[str, str, str]:
    """Kill once and run again; return when it was, how the next run went, and what differs."""
    before = digests(root)
    shutil.rmtree(root / ".dvc/cache", ignore_errors=True)  # else outputs come from there
    command, environment = dvc_command(root, "repro", "--single-item", "--force", stage)
    running = subprocess.Popen(
        command, cwd=root, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    process = None
    while process is None and running.poll() is None:
        process = stage_process(running.pid)
        time.sleep(0.02)
    time.sleep(seconds)
    ended = process is None or not alive(process)
    if victim != "dvc" and not ended:
        os.kill(process, signal.Signals[f"SIG{name}"])
    if victim != "stage":
        running.send_signal(signal.Signals[f"SIG{name}"])
    if victim != "dvc":
        running.wait()
    command, environment = dvc_command(root, "--wait-for-lock", "repro")
    again = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    running.wait()
    while process is not None and alive(process):  # an orphan that runs on
        time.sleep(0.1)
    ran = again.stdout.count("Running stage")
    told = f"runs {ran}" if again.returncode == 0 else f"fails: {again.stderr.strip()[-200:]}"
    after = digests(root)
    differing = sorted(name for name in before | after if before.get(name) != after.get(name))
    return ("the end" if ended else f"{seconds:.1f}", told, ", ".join(differing[:5]))


def stages(root: Path) -> list[str]:
    """Name the stages as `dvc repro` takes them."""
    names = []
    for lock in LOCKS:
        folder = Path(lock).parent.as_posix()
        prefix = "" if folder == "." else f"{folder}/dvc.yaml:"
        names += [
            prefix + one for one in YAML(typ="safe").load((root / lock).read_text())["stages"]
        ]
    return names


def digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each output and lock file, and of what should not be there."""
    files = [root / lock for lock in LOCKS]
    for folder in ("data", "reports", ".checkpoints"):
        files += (root / folder).rglob("*")
    files += root.rglob("*.partial")
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and path.name != ".gitignore"
    }


def stage_process(ancestor: int) -> int | None:
    """Return the number of the process of a stage below dvc, if it has begun."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if len(words) > 2 and words[1] == b"-m" and words[2].startswith(b"stages."):
                parents = [int(folder.name)]
                while parents[-1] > 1 and parents[-1] != ancestor:
                    status = Path(f"/proc/{parents[-1]}/stat").read_text()
                    parents.append(int(status.rpartition(")")[2].split()[1]))
                if parents[-1] == ancestor:
                    return int(folder.name)
        except (OSError, ValueError):
            continue  # it has just ended
    return None


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
