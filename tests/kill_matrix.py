"""Kill a stage, dvc or both at random moments, and compare what the next run ends with.

    python -m tests.kill_matrix                        # everything once
    python -m tests.kill_matrix --minutes 20           # some of it, drawn
    python -m tests.kill_matrix --stages train@main-0 rescore --victims dvc --signals KILL

A stage of a tiny sample is run again, killed, and at once `dvc --wait-for-lock repro` runs it. All
outputs and the lock files must then have the bytes that they have without the kill, and nothing
partial must be left. Where dvc is sent SIGINT alone it lives on until its stage has ended, and DVC
refuses the next run; then that is repeated after it. When a stage is killed is drawn from the time
of a processor that it takes, so that the moments lie all over it however busy the machine is.
Prints a row for each trial and a table of all, and ends with an error if one differs or fails.

Most of the time of small stages goes into imports. So dvc is forked from this process, and a stage
from dvc, with all imported before; else they are what they always are, a process and its child.
`--fresh` starts them anew as DVC does.
"""

import argparse
import gc
import hashlib
import importlib
import itertools
import multiprocessing
import os
import random
import runpy
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import dvc.stage.run
from dvc.cli import main as dvc_main
from dvc.stage.exceptions import StageCmdFailedError
from ruamel.yaml import YAML

from tests.small_repository import TINY, small_repository

VICTIMS = ("stage", "dvc", "both")
SIGNALS = ("KILL", "TERM", "INT")
LOCKS = ("dvc.lock", "data/dvc.lock")
VARIES = {"reports/made.txt"}  # no output of DVC, since it tells when and where
OUTCOMES = ("identical", "refused", "failed", "different")
RUNS = "Running stage '"
ALIVE = "is being blocked by"  # what DVC says while another of it runs the same stage
TICKS = os.sysconf("SC_CLK_TCK")  # a second
PATIENCE = 0.02  # s
# Processes of joblib take seconds to start and little of the work, which is the same in one.
SETTINGS = {"LOKY_MAX_CPU_COUNT": "1", "OMP_NUM_THREADS": "1"}
FORK = multiprocessing.get_context("fork")


class Repository(NamedTuple):
    """A copy of the repository that has been run, and what it came to."""

    root: Path
    log: Path  # of the dvc that ran last
    digests: dict[str, str]
    seconds: dict[str, float]  # of a processor, by stage


class Trial(NamedTuple):
    outcome: str  # refused: by DVC, since the one sent SIGINT lived; after it nothing differed
    killed: bool  # before it had ended by itself
    after: float  # s of a processor
    told: str  # of the next run
    differs: list[str]  # files


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--stages", nargs="+", help="all if not given")
    parser.add_argument("--victims", nargs="+", default=VICTIMS, choices=VICTIMS)
    parser.add_argument("--signals", nargs="+", default=SIGNALS, choices=SIGNALS)
    parser.add_argument("--targets", nargs="+", default=[], help="what is run of the pipeline")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for trials")
    parser.add_argument("--trials", type=int, help="at most so many")
    parser.add_argument("--rounds", type=int, default=1, help="trials of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="import anew in each process")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else what is started may ignore it
    with tempfile.TemporaryDirectory() as folder:
        root = small_repository(Path(folder) / "repository", TINY)
        prepare_to_fork(root, fresh=args.fresh)
        repository = run_repository(root, *args.targets)
        named = args.stages or stages(root)
        trials = list(itertools.product(named, args.victims, args.signals)) * args.rounds
        random.Random(args.seed).shuffle(trials)
        table = run_trials(repository, trials[: args.trials], 60 * args.minutes, args.seed)
        _, told = run_dvc(repository, "repro", *args.targets)
    print(f"\n{summary(table)}\n\nThe last `dvc repro` runs {told.count(RUNS)} stages.")
    wrong = sum(count for (*_, outcome), count in table.items() if outcome in OUTCOMES[2:])
    raise SystemExit(f"{wrong} fail or differ" if wrong or told.count(RUNS) else 0)


def prepare_to_fork(root: Path, *, fresh: bool) -> None:
    """Go to a copy of the repository, and import its code, all that a stage may need."""
    os.environ |= SETTINGS | {"DVC_SITE_CACHE_DIR": str(root.parent / "dvc-site")}
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.chdir(root)
    if fresh:
        return
    sys.path.insert(0, str(root))
    for script in sorted((root / "stages").glob("[!_]*.py")):
        importlib.import_module(f"stages.{script.stem}")
        del sys.modules[f"stages.{script.stem}"]  # it will be run as a script
    gc.freeze()  # else collections copy all of it in each process
    dvc.stage.run._run = fork_stage


def fork_stage(executable: str, command: str, **options) -> None:
    """Run the command of a stage in the place of `dvc.stage.run._run`, and as that does."""
    process = FORK.Process(target=_stage, args=(shlex.split(command), options["env"]))
    process.start()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.join()
    finally:
        signal.signal(signal.SIGINT, before)
    if process.exitcode:
        raise StageCmdFailedError(command, process.exitcode)


def _stage(words: list[str], environment: dict[str, str]) -> None:
    assert words[:2] == ["python", "-m"]
    sys.argv = words[2:]
    os.environ.update(environment)
    runpy.run_module(words[2], run_name="__main__", alter_sys=True)


def start_dvc(repository: Repository, *arguments: str) -> BaseProcess:
    process = FORK.Process(target=_dvc, args=(repository.log, arguments))
    process.start()
    return process


def run_dvc(repository: Repository, *arguments: str) -> tuple[int | None, str]:
    """Run it to its end; return its exit status and what it said."""
    process = start_dvc(repository, *arguments)
    process.join()
    return process.exitcode, repository.log.read_text()


def _dvc(log: Path, arguments: tuple[str, ...]) -> None:
    os.setsid()
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(dvc_main(list(arguments)))


def run_repository(root: Path, *targets: str) -> Repository:
    """Run a tiny repository, and measure its stages."""
    repository = Repository(root, root.parent / "dvc.log", {}, {})
    running = start_dvc(repository, "repro", *targets)
    while running.is_alive():
        process = stage_process(running)
        if process is not None and (seconds := processor_seconds(process)) is not None:
            repository.seconds[stage_named(repository.log)] = seconds
        time.sleep(PATIENCE)
    assert running.exitcode == 0, repository.log.read_text()
    return repository._replace(digests=digests(root))


def stage_named(log: Path) -> str:
    """Return the stage that dvc has said last it runs."""
    return log.read_text().rpartition(RUNS)[2].partition("'")[0]


def run_trials(
    repository: Repository, trials: list[tuple[str, str, str]], most: float, seed: int
) -> Counter:
    """Make trials for so many seconds; return the counts by stage, victim, signal and outcome."""
    rng, began, table = random.Random(seed), time.monotonic(), Counter()
    head = ("stage", "killed", "signal", "after, s", "next run", "outcome", "differs")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for stage, victim, name in trials:
        if time.monotonic() - began > most:
            break
        found = trial(repository, stage, victim, name, rng.random())
        after = f"{found.after:.2f}" if found.killed else "its end"
        cells = stage, victim, name, after, found.told, found.outcome, ", ".join(found.differs[:5])
        print(f"| {' | '.join(cells)} |", flush=True)
        table[stage, victim, name, found.outcome] += 1
    return table


def summary(table: Counter) -> str:
    """Return the counts by stage, and by what was killed how, as tables in Markdown."""
    head = f"trials | {' | '.join(OUTCOMES)} |"
    lines = [f"| stage | {head}", f"|---|{'---:|' * 5}"]
    for stage in sorted({key[0] for key in table}):
        lines.append(_row(stage, table, lambda key, stage=stage: key[0] == stage))
    lines += ["", f"| killed | {head}", f"|---|{'---:|' * 5}"]
    for kind in sorted({key[1:3] for key in table}):
        lines.append(_row(" by SIG".join(kind), table, lambda key, kind=kind: key[1:3] == kind))
    return "\n".join([*lines, _row("all", table, lambda key: True)])


def _row(name: str, table: Counter, taken: Callable[[tuple], bool]) -> str:
    counts = [
        sum(count for key, count in table.items() if taken(key) and key[-1] == outcome)
        for outcome in OUTCOMES
    ]
    return f"| {name} | {sum(counts)} | {' | '.join(map(str, counts))} |"


def trial(repository: Repository, stage: str, victim: str, name: str, share: float) -> Trial:
    """Kill once, after a share of what the stage takes of a processor, and run it again."""
    root, again = repository.root, ("--wait-for-lock", "repro", "--single-item", stage)
    forget_outputs(root, stage)
    running, process = start_dvc(repository, "repro", "--single-item", "--force", stage), None
    while process is None and running.is_alive():
        process = stage_process(running)
        time.sleep(PATIENCE)
    after = share * repository.seconds.get(stage, 1.0)
    while process and alive(process) and (processor_seconds(process) or 0.0) < after:
        time.sleep(PATIENCE)
    killed = process is not None and alive(process)
    if victim != "dvc" and killed:
        os.kill(process, signal.Signals[f"SIG{name}"])
    if victim != "stage" and running.pid and running.is_alive():
        os.kill(running.pid, signal.Signals[f"SIG{name}"])
    if (victim, name) != ("dvc", "INT"):
        running.join()  # a zombie counts as alive for the locks of DVC
    status, said = run_dvc(repository, *again)
    told, outcome = f"runs {said.count(RUNS)}", "identical"
    if status:
        outcome = "refused" if running.is_alive() and ALIVE in said else "failed"
        told = " ".join(said.split())[-300:]
        running.join()
        run_dvc(repository, *again)
    running.join()
    while process is not None and alive(process):  # an orphan that runs on
        time.sleep(PATIENCE)
    before, now = repository.digests, digests(root)
    differs = sorted(path for path in before | now if before.get(path) != now.get(path))
    return Trial("different" if differs else outcome, killed, after, told, differs)


def forget_outputs(root: Path, stage: str) -> None:
    """Take the outputs of a stage from DVC's cache, which gives them back without a run else."""
    shutil.rmtree(root / ".dvc/cache/runs", ignore_errors=True)
    folder, _, name = stage.rpartition("dvc.yaml:")
    recorded = YAML(typ="safe").load((root / folder / "dvc.lock").read_text())["stages"][name]
    for output in recorded["outs"]:
        kept = root / ".dvc/cache/files/md5" / output["md5"][:2] / output["md5"][2:]
        kept.unlink(missing_ok=True)


def stages(root: Path) -> list[str]:
    """Name the stages as `dvc repro` takes them, of a matrix the first."""
    names: dict[str, str] = {}
    for lock in LOCKS:
        folder = Path(lock).parent.as_posix()
        prefix = "" if folder == "." else f"{folder}/dvc.yaml:"
        for one in YAML(typ="safe").load((root / lock).read_text())["stages"]:
            names.setdefault(one.split("@")[0], prefix + one)
    return list(names.values())


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


def stage_process(running: BaseProcess) -> int | None:
    """Return the number of the process of a stage that dvc runs, if it has begun."""
    found = children(running.pid) if running.pid else []
    if dvc.stage.run._run is not fork_stage:  # a shell takes the place of dvc, a stage that of it
        found = [one for one in found if "\0stages." in command_of(one)]
    return found[0] if found else None


def children(process: int) -> list[int]:
    try:
        files = Path(f"/proc/{process}/task").glob("*/children")
        return [int(number) for file in files for number in file.read_text().split()]
    except OSError:  # it has ended
        return []


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
