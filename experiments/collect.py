"""Collect finished experiments into the ablation table: what each changed, and its scores.

    python -m experiments.collect reports/ablation.csv
    python -m experiments.collect reports/ablation.csv --fill

Reads  `dvc exp show --json`: the last commit and the experiments that start from it
       data/evaluation of each, from the cache
Writes ablation.csv: experiment, changes, data, seeds, against, then one column per metric, then the
       95 % interval of the difference to the row `against`: <metric>_difference_low and _high,
       empty where data/evaluation cannot be had. The commit comes first. `data` is the
       fingerprint of the truth that was judged by, empty where it is unknown: the report shows the
       rows of its own data alone

Experiments NAME-s1, NAME-s2, ..., as `experiments.run NAME --seeds N` runs them, are one row NAME
with the means over seeds. It is compared with its base under the same seeds: from LEAST_SEEDS the
interval is one over images and seeds, with one it is that of the images, the networks held fixed,
and with two there is none. Other experiments have one seed, and are compared with the commit.

An experiment that failed, is queued or still runs is left out: DVC lists it with the figures of the
commit. So is one that changed no param, since its figures would only repeat the commit's.

With --fill nothing is collected: rows of a table from before the metrics named their data get those
of the last commit, if its figures are those of the table's baseline to the last digit. Rows that
changed what the truth is made of stay as they are.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

from experiments.compare import Judged, differences, judge_revision
from experiments.plans import base_of
from experiments.revisions import DATA, METRICS_FILE, read_metrics
from src.base.errors import InputError
from src.formats.tables import read_table, write_table

METRICS = [f"{split}.{name}" for split in ("oof", "val") for name in ("ap50", "f1_50", "dice_mean")]
COMPARED = ("ap50",)  # of oof and val
BOUNDS = [
    f"{split}.{name}_difference_{bound}"
    for split in ("oof", "val")
    for name in COMPARED
    for bound in ("low", "high")
]
LEAST_SEEDS = 3  # that tell chance
SEED = re.compile(r"-s([1-9][0-9]*)")  # at the end of the name of a run
BASELINE = "baseline"  # name of the row of the commit
MAKE_TRUTH = ("sample", "dataset", "images", "prepare_masks")  # sections


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("ablation", type=Path)
    parser.add_argument("--fill", action="store_true", help="add the data to a table without")
    args = parser.parse_args(argv)
    if args.fill:
        old = read_table(args.ablation, "experiments.collect", ["experiment", "changes", *METRICS])
        table, count = fill_data(old, read_metrics("HEAD"), str(args.ablation))
        told = f"{count} of {len(table)} rows now name their data -> {args.ablation}"
    else:
        table = _collected()
        told = f"{len(table) - 1} experiments -> {args.ablation}; `make report` draws them"
    write_table(args.ablation, table)
    print(told)


def _collected() -> pd.DataFrame:
    """Collect the experiments of the last commit, and say of which there is no interval and why."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise InputError(f"dvc exp show failed: {run.stderr.strip()}")
    rows, runs = pooled(collect(json.loads(run.stdout)))
    alike = [row for row in rows[1:] if row[DATA] == rows[0][DATA]]
    bounds, problems = intervals({row["experiment"]: row["against"] for row in alike}, runs)
    rows = [row | bounds.get(row["experiment"], {}) for row in rows]
    if problems:
        print(f"no interval for {', '.join(problems)}: {next(iter(problems.values()))}")
    if len(alike) < len(rows) - 1:
        others = [str(row["experiment"]) for row in rows[1:] if row[DATA] != rows[0][DATA]]
        print(f"judged on other data than the commit, not compared: {', '.join(others)}")
    columns = ["experiment", "changes", DATA, "seeds", "against", *METRICS, *BOUNDS]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def collect(shown: list[dict]) -> list[dict]:
    """Turn the JSON of `dvc exp show` into rows, the commit first, then by name.

    Parameters
    ----------
    shown : list of dict
        Its first entry is the workspace, its second the commit with its experiments.

    Returns
    -------
    rows : list of dict
        Keys `experiment`, `changed` (dict of key to value, empty for the commit), `data` and
        METRICS; what the metrics of a run do not have is an empty string.

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
        told = {key: params.get(key, "none") for key in changed}
        if told and _metrics(last):
            rows.append({"experiment": last["name"], "changed": told, **_metrics(last)})
    first = {"experiment": BASELINE, "changed": {}, **_metrics(commit)}
    return [first, *sorted(rows, key=lambda row: row["experiment"])]


def pooled(rows: list[dict]) -> tuple[list[dict], dict[str, list[str]]]:
    """Make one row of the runs of an experiment under several seeds.

    Parameters
    ----------
    rows : list of dict
        From `collect`.

    Returns
    -------
    pooled : list of dict
        Keys `experiment`, `changes` ("key=value key=value": what all runs changed alike), `data`,
        `seeds` (how many), `against` (name of the row to compare with, "" where there is none),
        and METRICS, means over seeds, empty where a run lacks one.
    runs : dict
        Name of the row -> those of its runs by growing seed.
    """
    first, *others = rows
    families: dict[tuple[str, str], list[tuple[int, dict]]] = {}
    for row in others:
        stem, seed = split_seed(row["experiment"])
        families.setdefault((stem, row[DATA]), []).append((seed, row))
    twins = [stem for stem, _ in families]
    made, runs, bases = [_pooled_row(BASELINE, [first])], {}, {}
    for (stem, data), of in families.items():
        of.sort(key=lambda pair: pair[0])
        name = stem if twins.count(stem) == 1 else f"{stem} on {data or 'unknown data'}"
        made.append(_pooled_row(name, [row for _, row in of]))
        runs[name] = [row["experiment"] for _, row in of]
        bases[name] = base_of(stem) if of[0][0] else BASELINE
    known = {row["experiment"]: row for row in made}
    for row in made[1:]:
        base = bases[row["experiment"]]
        row["against"] = base if base in known and known[base][DATA] == row[DATA] else ""
    return made, runs


def split_seed(name: str) -> tuple[str, int]:
    """Part the name of a run from the number of its seed, which is 0 where the name tells none."""
    place = name.rfind("-s")
    found = SEED.fullmatch(name[place:]) if place > 0 else None
    return (name[:place], int(found[1])) if found else (name, 0)


def _pooled_row(name: str, rows: list[dict]) -> dict:
    changed = rows[0]["changed"]
    alike = [key for key in changed if all(r["changed"].get(key) == changed[key] for r in rows)]
    row = {"experiment": name, "changes": " ".join(f"{key}={changed[key]}" for key in alike)}
    row |= {DATA: rows[0][DATA], "seeds": len(rows), "against": ""}
    for metric in METRICS:
        values = [one[metric] for one in rows]
        known = all(isinstance(value, int | float) for value in values)
        row[metric] = round(sum(values) / len(values), 6) if known else ""
    return row


def intervals(
    against: dict[str, str], runs: dict[str, list[str]], base: str = "HEAD"
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Compute the intervals of the differences between experiments and what each is compared with.

    Parameters
    ----------
    against : dict
        Experiment -> what it is compared with, BASELINE or another experiment; "" nothing.
    runs : dict
        Experiment -> names of its runs.
    base : str
        The revision that BASELINE stands for.

    Returns
    -------
    bounds : dict
        Experiment -> BOUNDS -> number, rounded to 6 decimals; what is undefined is left out.
    problems : dict
        Experiment -> why there are none: tables cannot be had, seeds are too few or others.
    """
    judged: dict[str, Judged] = {}

    def judge(name: str) -> list[Judged]:
        names = [base] if name == BASELINE else runs[name]
        for one in names:
            if one not in judged:
                judged[one] = judge_revision(one, metrics=COMPARED)
        return [judged[one] for one in names]

    bounds, problems = {}, {}
    for name, other in against.items():
        if not other:
            continue
        try:
            if other != BASELINE:
                _refuse_seeds(name, other, runs)
            rows = differences(judge(other), judge(name))
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


def _refuse_seeds(name: str, other: str, runs: dict[str, list[str]]) -> None:
    """Refuse runs that are not of the same seeds, or of too few that are several."""
    seeds, others = ([split_seed(run)[1] for run in runs[of]] for of in (name, other))
    if seeds != others:
        raise InputError(
            f"{name} has the seeds {', '.join(map(str, seeds))} and {other} "
            f"{', '.join(map(str, others))}; run both under the same ones"
        )
    if 1 < len(seeds) < LEAST_SEEDS:
        raise InputError(f"{len(seeds)} seeds do not tell chance; run {LEAST_SEEDS} or more")


def fill_data(table: pd.DataFrame, metrics: dict, origin: str) -> tuple[pd.DataFrame, int]:
    """Give rows of a table the data of a commit whose figures are those of the baseline.

    Parameters
    ----------
    table : DataFrame
        experiment, changes, METRICS as text, the baseline first; other columns stay.
    metrics : dict
        Of the commit.
    origin : str
        Of the table, for messages.

    Returns
    -------
    filled : DataFrame
        With the column `data` behind `changes`. Rows that had one, or changed params of a section
        of MAKE_TRUTH, are as they were.
    count : int
        Rows that were filled.

    Raises
    ------
    InputError
        If the commit does not name its data, or has other figures than the baseline.
    """
    if not metrics.get(DATA):
        raise InputError(
            f"{METRICS_FILE} of the last commit does not name its data; run `make repro`, commit, "
            "then fill"
        )
    for name in METRICS if len(table) else ():
        text, value = table[name].iloc[0], metrics.get(name)
        if (float(text) if text else None) != value:
            raise InputError(
                f"{origin}: {name} of {table['experiment'].iloc[0]} is {text or 'empty'}, and that "
                f"of the last commit {value}: run the experiments again and collect them, or write "
                f"{metrics[DATA]} into the column {DATA} where the truth is the same"
            )
    filled = table.copy()
    if DATA not in filled:
        filled.insert(2, DATA, "")
    sections = tuple(f"{section}." for section in MAKE_TRUTH)
    kept = [any(w.startswith(sections) for w in words.split()) for words in filled["changes"]]
    empty = (filled[DATA] == "") & ~pd.Series(kept, filled.index, dtype=bool)
    filled.loc[empty, DATA] = metrics[DATA]
    return filled, int(empty.sum())


def _metrics(revision: dict) -> dict:
    files = (revision.get("data") or {}).get("metrics") or {}
    values = (files.get(METRICS_FILE) or {}).get("data") or {}
    return {name: values.get(name, "") for name in (DATA, *METRICS)} if values else {}


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
