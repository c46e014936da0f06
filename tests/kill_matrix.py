"""Kill a stage, dvc or both at random moments, and compare what the next run ends with.

    python -m tests.kill_matrix                        # everything once, which takes an hour or two
    python -m tests.kill_matrix --minutes 20           # some of it, drawn
    python -m tests.kill_matrix --stages train@main-0 rescore --victims dvc --signals KILL

A stage of a tiny sample is run again, killed, and `dvc repro` is run. All outputs and the lock
files must then have the bytes that they have without the kill, and nothing partial must be left.
When it is killed is drawn from the time of a processor that it takes, so that the moments lie all
over it however busy the machine is. Prints a row for each trial and a table of all, and ends with
an error if one differs.
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
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from tests.small_repository import TINY, dvc_command, dvc_run, small_repository

VICTIMS = ("stage", "dvc", "both")
SIGNALS = ("KILL", "TERM", "INT")
LOCKS = ("dvc.lock", "data/dvc.lock")
VARIES = {"reports/made.txt"}  # no output of DVC, since it tells when and where
OUTCOMES = ("identical", "different", "refused")
TICKS = os.sysconf("SC_CLK_TCK")  # a second
PATIENCE = 0.03  # s


class Repository(NamedTuple):
    """A copy of the repository that has been run, and what it came to."""

    root: Path
    targets: list[str]  # what is run; none: everything
    digests: dict[str, str]
    seconds: dict[str, float]  # of a processor, by command of a stage


class Trial(NamedTuple):
    outcome: str  # of OUTCOMES; refused: the next run failed, and the one after it did not differ
    killed: bool  # before it had ended by itself
    after: float  # s of a processor
    told: str  # of the next run
    differs: list[str]  # files


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--stages", nargs="+", help="all if not given")
    parser.add_argument("--victims", nargs="+", default=VICTIMS, choices=VICTIMS)
    parser.add_argument("--signals", nargs="+", default=SIGNALS, choices=SIGNALS)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for trials")
    parser.add_argument("--rounds", type=int, default=1, help="trials of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else what is started may ignore it
    with tempfile.TemporaryDirectory() as folder:
        repository = run_repository(Path(folder) / "repository")
        named = args.stages or stages(repository.root)
        trials = list(itertools.product(named, args.victims, args.signals)) * args.rounds
        random.Random(args.seed).shuffle(trials)
        table = run_trials(repository, trials, 60 * args.minutes, args.seed)
    print(f"\n{summary(table)}")
    failed = sum(count for (*_, outcome), count in table.items() if outcome == "different")
    raise SystemExit(f"{failed} differ" if failed else 0)


def run_repository(root: Path, *targets: str) -> Repository:
    """Make a tiny repository, run it, and measure its stages."""
    root.mkdir(parents=True)
    small_repository(root, TINY)
    command, environment = dvc_command(root, "repro", *targets)
    log = root.parent / "first_run.log"
    with log.open("w") as file:
        running = subprocess.Popen(
            command, cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        seconds: dict[str, float] = {}
        while running.poll() is None:
            process = stage_process(running.pid)
            if process is not None:
                seconds[command_of(process)] = processor_seconds(process) or 0.0
            time.sleep(10 * PATIENCE)  # all processes are looked through
    assert running.returncode == 0, log.read_text()
    seconds.pop("", None)  # it had just ended
    return Repository(root, list(targets), digests(root), seconds)


def run_trials(
    repository: Repository, trials: list[tuple[str, str, str]], most: float, seed: int
) -> Counter:
    """Make trials for so many seconds; return the counts by stage, signal and outcome."""
    rng, began, table = random.Random(seed), time.monotonic(), Counter()
    print("| stage | killed | signal | after, s | next run | differs |\n|---|---|---|---:|---|---|")
    for stage, victim, name in trials:
        if time.monotonic() - began > most:
            break
        found = trial(repository, stage, victim, name, rng.random())
        after = f"{found.after:.2f}" if found.killed else "its end"
        cells = stage, victim, name, after, found.told, ", ".join(found.differs[:5])
        print(f"| {' | '.join(cells)} |", flush=True)
        table[stage, name, found.outcome] += 1
    return table


def summary(table: Counter) -> str:
    """Return the counts as a table in Markdown, with their sum."""
    lines = [f"| stage | signal | trials | {' | '.join(OUTCOMES)} |", f"|---|---|{'---:|' * 4}"]
    for stage, name in sorted({key[:2] for key in table}):
        counts = [table[stage, name, outcome] for outcome in OUTCOMES]
        lines.append(f"| {stage} | {name} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    counts = [sum(n for key, n in table.items() if key[2] == outcome) for outcome in OUTCOMES]
    lines.append(f"| all | | {sum(counts)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def trial(repository: Repository, stage: str, victim: str, name: str, share: float) -> Trial:
    """Kill once, after a share of what the stage takes of a processor, and run again."""
    root = repository.root
    # Else outputs come from former runs. Without all of the cache every stage would run again.
    shutil.rmtree(root / ".dvc/cache/runs", ignore_errors=True)
    command, environment = dvc_command(root, "repro", "--single-item", "--force", stage)
    running = subprocess.Popen(
        command, cwd=root, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    process, after = None, 0.0
    while process is None and running.poll() is None:
        process = stage_process(running.pid)
        time.sleep(PATIENCE)
    if process is not None:
        after = share * repository.seconds.get(command_of(process), 3.0)
        while alive(process) and (processor_seconds(process) or 0.0) < after:
            time.sleep(PATIENCE)
    killed = process is not None and alive(process)
    if victim != "dvc" and killed:
        os.kill(process, signal.Signals[f"SIG{name}"])
    if victim != "stage":
        running.send_signal(signal.Signals[f"SIG{name}"])
    if victim != "dvc":
        running.wait()
    again = dvc_run(root, "--wait-for-lock", "repro", *repository.targets)
    running.wait()
    while process is not None and alive(process):  # an orphan that runs on
        time.sleep(0.1)
    told, outcome = f"runs {again.stdout.count('Running stage')}", "identical"
    if again.returncode:
        last = (again.stderr.strip() or again.stdout.strip()).replace("\n", " ")[-200:]
        told, outcome = f"fails: {last}", "refused"
        dvc_run(root, "--wait-for-lock", "repro", *repository.targets)
    before, now = repository.digests, digests(root)
    differs = sorted(path for path in before | now if before.get(path) != now.get(path))
    return Trial("different" if differs else outcome, killed, after, told, differs)


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
    named = {path.relative_to(root).as_posix(): path for path in files if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if path.name != ".gitignore" and name not in VARIES
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


def command_of(process: int) -> str:
    """Return the command line of a process, "" if it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def processor_seconds(process: int) -> float | None:
    """Return what a process has taken of a processor, None if it has ended."""
    try:
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return None
    return sum(map(int, times)) / TICKS


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
