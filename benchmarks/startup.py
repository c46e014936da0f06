"""Show what starting each light stage costs, and the whole of it, beside an older checkout.

    python -m benchmarks.startup RUN [--against CHECKOUT] [--stages plan export] [--repeats 3]

RUN is a checkout in which `dvc repro` has ended, best on a small data set such as the sample. Its
data and reports are copied, and each stage but those that train or use networks on every image
runs there, by the code of this checkout and of the older one in turns. Beside the whole stage its
imports alone are timed, and `python -c "import numpy"`, which is the unit: a machine that is
slower or busier is so for all. Times are processor time of a process and of those it starts.

The least of the repeats counts. Outputs of both must be equal to the byte, or it ends there.

Writes benchmarks/results/startup.json
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

from tqdm import tqdm

from benchmarks.processor import processor_name
from src.base.params import read_yaml

HERE = Path(__file__).parents[1]
COPIED = ("data", "reports", ".tensorboard", "params.yaml", "dvc.yaml")
DESCRIBED = ("data/dvc.yaml", "dvc.yaml")
HEAVY = ("stages.train", "stages.predict")
UNIT = "import numpy"
RESULT = Path(__file__).parent / "results" / "startup.json"


class Cost(NamedTuple):
    """Of a command."""

    cpu: float  # s, of all its processes
    wall: float  # s


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--against", type=Path, help="an older checkout")
    parser.add_argument("--stages", nargs="*", help="by name; all that are light")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    ways = {"now": HERE} | ({"before": args.against.absolute()} if args.against else {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _copy(args.run, folder)
        unit = min(_cost(["-c", UNIT], HERE, folder).cpu for _ in range(2 * args.repeats))
        found = {
            name: _compare(stage, ways, folder, args.repeats, unit)
            for name, stage in tqdm(_light(folder, args.stages).items(), unit="stage")
        }
    keys = list(next(iter(found.values())))
    found["all"] = {key: sum(costs[key] for costs in found.values()) for key in keys}
    if args.against:
        for costs in found.values():
            costs |= {f"{key}_ratio": _ratio(costs, key) for key in ("cpu_s", "wall_s")}
    rows = [
        {"stage": name} | {key: round(value, 3) for key, value in costs.items()}
        for name, costs in found.items()
    ]
    result = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "unit": f'python -c "{UNIT}"',
        "unit_s": round(unit, 3),
        "repeats": args.repeats,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(key.replace("_", " ") for key in rows[0]) + " |")
    print("|---" + "|---:" * (len(rows[0]) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


def _copy(run: Path, folder: Path) -> None:
    for name in COPIED:
        if (run / name).is_dir():
            shutil.copytree(run / name, folder / name)
        elif (run / name).exists():
            shutil.copy(run / name, folder / name)


def _light(folder: Path, wanted: list[str] | None) -> dict[str, dict[str, Any]]:
    """Return the stages to run: without matrix, and of no heavy module."""
    stages: dict[str, dict[str, Any]] = {}
    for name in DESCRIBED:
        stages |= cast("dict[str, dict[str, Any]]", read_yaml(folder / name)["stages"])
    light = {
        name: stage
        for name, stage in stages.items()
        if "matrix" not in stage and not any(heavy in stage["cmd"] for heavy in HEAVY)
    }
    return {name: light[name] for name in wanted or light}


def _compare(
    stage: dict[str, Any], ways: dict[str, Path], folder: Path, repeats: int, unit: float
) -> dict[str, float]:
    """Run a stage and its imports by each way in turn."""
    root = str(read_yaml(folder / "params.yaml")["dataset"]["root"])
    words = stage["cmd"].replace("${dataset.root}", root).replace('"', "").split()[1:]
    found: dict[str, float] = {}
    digests: set[str] = set()
    for _ in range(repeats):
        for way, code in ways.items():
            imports = _cost(["-c", f"import {words[1]}"], code, folder)
            for out in _outputs(stage):  # make_sample draws nothing anew
                _remove(folder / _path(out))
            whole = _cost(words, code, folder)
            digests.add(_digest(folder / _path(out) for out in _outputs(stage)))
            least = {"import_s": imports.cpu, "cpu_s": whole.cpu, "wall_s": whole.wall}
            for key, value in least.items():
                found[f"{way}_{key}"] = min(value, found.get(f"{way}_{key}", value))
    if len(digests) > 1:
        raise SystemExit(f"{words[1]}: its outputs differ")
    return found | {"now_units": found["now_cpu_s"] / unit}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _outputs(stage: dict[str, Any]) -> list[Any]:
    return [*stage.get("outs", []), *stage.get("metrics", [])]


def _path(out: str | dict[str, Any]) -> str:
    return out if isinstance(out, str) else next(iter(out))


def _cost(words: list[str], code: Path, folder: Path) -> Cost:
    """Run Python in a folder, with the modules of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-P", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall)


def _digest(paths: Iterable[Path]) -> str:
    """Return one SHA-256 of files, and of all files in folders."""
    digest = hashlib.sha256()
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file():
                digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
    return digest.hexdigest()


def _ratio(costs: dict[str, float], key: str) -> float:
    return costs[f"now_{key}"] / costs[f"before_{key}"]


if __name__ == "__main__":
    main()
