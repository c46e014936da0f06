"""Collect finished experiments into the ablation table: what each changed, and its scores.

    python -m experiments.collect reports/ablation.csv

Reads  `dvc exp show --json`: the last commit and the experiments that start from it
       data/evaluation of each, from the cache
Writes ablation.csv: experiment, changes, then one column per metric, then the 95 % interval of the
       difference to the commit, which comes first: <metric>_difference_low and _high, empty where
       data/evaluation cannot be had

An experiment that failed, is queued or still runs is left out: DVC lists it with the figures of the
commit. So is one that changed no param, since its figures would only repeat the commit's.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

from experiments.compare import differences, judge_revision
from src.base.errors import InputError
from src.base.files import write_text

METRICS = [f"{split}.{name}" for split in ("oof", "val") for name in ("ap50", "f1_50", "dice_mean")]
COMPARED = ("ap50",)  # of oof and val
BOUNDS = [
    f"{split}.{name}_difference_{bound}"
    for split in ("oof", "val")
    for name in COMPARED
    for bound in ("low", "high")
]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ablation", type=Path)
    args = parser.parse_args(argv)
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise InputError(f"dvc exp show failed: {run.stderr.strip()}")
    rows = collect(json.loads(run.stdout))
    bounds, problems = intervals([row["experiment"] for row in rows[1:]])
    rows = [row | bounds.get(row["experiment"], {}) for row in rows]
    if problems:
        print(f"no interval for {', '.join(problems)}: {next(iter(problems.values()))}")
    text = io.StringIO()
    columns = ["experiment", "changes", *METRICS, *BOUNDS]
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(args.ablation, text.getvalue())
    print(f"{len(rows) - 1} experiments -> {args.ablation}; `make report` draws them")


def collect(shown: list[dict]) -> list[dict]:
    """Turn the JSON of `dvc exp show` into rows, the commit first, then by name.

    Parameters
    ----------
    shown : list of dict
        Its first entry is the workspace, its second the commit with its experiments.

    Returns
    -------
    rows : list of dict
        Keys `experiment`, `changes` ("key=value key=value", empty for the commit) and METRICS;
        a metric the run does not have is an empty string.

    Raises
    ------
    InputError
        If the commit has no metrics.
    """
    commit = shown[1]
    baseline = _params(commit)
    if not _metrics(commit):
        raise InputError("the last commit has no metrics; run `make repro`, commit, then collect")
    rows = []
    for experiment in commit.get("experiments") or []:
        last, executor = experiment["revs"][0], experiment.get("executor") or {}
        if executor.get("state", "success") != "success" or not last.get("data"):
            continue
        params = _params(last)
        keys = sorted(baseline.keys() | params.keys())
        changed = [key for key in keys if params.get(key, {}) != baseline.get(key, {})]
        changes = " ".join(f"{key}={params.get(key, 'none')}" for key in changed)
        if changes and _metrics(last):
            rows.append({"experiment": last["name"], "changes": changes, **_metrics(last)})
    first = {"experiment": "baseline", "changes": "", **_metrics(commit)}
    return [first, *sorted(rows, key=lambda row: row["experiment"])]


def intervals(
    experiments: list[str], base: str = "HEAD"
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Compute the intervals of the differences between experiments and the base.

    Parameters
    ----------
    experiments : list of str
        Names that start from the base.
    base : str
        A revision.

    Returns
    -------
    bounds : dict
        Experiment -> BOUNDS -> number, rounded to 6 decimals; what is undefined is left out.
    problems : dict
        Experiment -> why there are none: its tables, or those of the base, cannot be had.
    """
    if not experiments:
        return {}, {}
    try:
        judged = judge_revision(base, metrics=COMPARED)
    except InputError as error:
        return {}, dict.fromkeys(experiments, str(error))
    bounds, problems = {}, {}
    for name in experiments:
        try:
            rows = differences(judged, judge_revision(name, metrics=COMPARED))
        except InputError as error:
            problems[name] = str(error)
            continue
        bounds[name] = {
            f"{row['split']}.{row['metric']}_difference_{bound}": round(row[bound], 6)
            for row in rows
            for bound in ("low", "high")
            if row[bound] is not None
        }
    return bounds, problems


def _metrics(revision: dict) -> dict:
    files = (revision.get("data") or {}).get("metrics") or {}
    values = (files.get("reports/metrics.json") or {}).get("data") or {}
    return {name: values.get(name, "") for name in METRICS} if values else {}


def _params(revision: dict) -> dict:
    files = (revision.get("data") or {}).get("params") or {}
    return _flatten((files.get("params.yaml") or {}).get("data") or {}, "")


def _flatten(node, prefix: str) -> dict:
    if isinstance(node, dict) and node:
        parts = [_flatten(value, f"{prefix}.{key}") for key, value in node.items()]
    elif isinstance(node, list) and any(isinstance(value, dict) for value in node):
        parts = [_flatten(value, f"{prefix}.{key}") for key, value in enumerate(node)]
    else:
        return {prefix.removeprefix("."): node}
    return {key: value for part in parts for key, value in part.items()}


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
