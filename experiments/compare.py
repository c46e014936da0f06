"""Tell whether experiments differ from a base by more than chance, as a Markdown table.

    python -m experiments.compare HEAD watershed workspace --split val --metric ap50 f1_50
    python -m experiments.compare defaults-s1,defaults-s2,defaults-s3 tta-none-s1,tta-none-s2,...

Runs of one experiment under several seeds are joined by commas, and paired seed by seed: the
interval is then one over images and seeds. With one seed it holds the networks fixed.

Reads  data/evaluation/images_<split>.csv and detections_<split>.parquet of each: a git revision,
       the name of an experiment (`dvc get` fetches it from the cache), or "workspace", the folder
       as it is; and reports/metrics.json, which names the data that were judged

All have to be judged on the same data. They are computed on the same draws of groups of images, so
what makes an image hard for both cancels out. A difference whose 95 % interval holds 0 is marked
"not sure", and "not sure of N" one that may be chance among the N experiments compared: p is
corrected for their number (Holm), metric by metric.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.differences import holm, paired_difference
from experiments.revisions import WORKSPACE, commit_of, data_of
from src.base.errors import InputError
from src.formats.tables import read_parquet, read_table
from src.judging.bootstrap import METRICS, PERCENTS, resample
from src.judging.group_draws import Sampled

SPLITS = ("oof", "val")
SHOWN = ("ap50", "f1_50", "ap", "detection_accuracy", "dice_mean")
EVALUATION = "data/evaluation"
SURE = 0.05  # p below which a difference is sure
TEXTS = ("name", "group", "clean")  # columns of images_<split>.csv that are no numbers
COLUMNS = ("split", "metric", "experiment", "seeds", "value", "difference", "low", "high", "p", "")


class Judged(NamedTuple):
    """One run of an experiment on the images it judged."""

    name: str
    data: str  # fingerprint of the truth, "" if unknown
    images: dict[str, pd.DataFrame]  # split -> name, group, objects; splits with images
    sampled: dict[str, dict[str, Sampled]]  # split -> metric -> values


Runs = list[Judged]  # of one experiment, one for each seed


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("base", metavar="BASE", help="a revision, an experiment, or workspace")
    parser.add_argument("experiments", metavar="EXP", nargs="+", help="likewise")
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=SPLITS)
    parser.add_argument("--metric", nargs="+", choices=METRICS, default=SHOWN, metavar="METRIC")
    parser.add_argument("--resamples", type=int, default=1000, help="sets drawn (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of these draws (default: 0)")
    args = parser.parse_args(argv)
    if args.resamples < 100:
        raise InputError(f"--resamples {args.resamples}: too few for an interval; take 1000")
    base, *others = (
        [
            judge_revision(name, args.split, args.metric, args.resamples, args.seed)
            for name in names.split(",")
        ]
        for names in (args.base, *args.experiments)
    )
    print(table(base, [(other, differences(base, other)) for other in others]), end="")


def judge_revision(
    name: str,
    splits: tuple[str, ...] = SPLITS,
    metrics: tuple[str, ...] = SHOWN,
    resamples: int = 1000,
    seed: int = 0,
) -> Judged:
    """Compute metrics of a revision or experiment, or of "workspace", on draws of its groups.

    Raises
    ------
    InputError
        If its tables cannot be fetched, or lack what is needed.
    """
    if name == WORKSPACE:
        return judge(Path(EVALUATION), name, data_of(name), splits, metrics, resamples, seed)
    commit = commit_of(name)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "evaluation"
        command = [sys.executable, "-m", "dvc", "get", ".", EVALUATION]
        command += ["--rev", commit, "--out", str(path)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode or not path.is_dir():
            errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR: ")]
            reason = errors[0].removeprefix("ERROR: ") if errors else "dvc get failed"
            raise InputError(
                f"{name}: its {EVALUATION} cannot be fetched ({reason}); check the name, or run "
                "the experiment again if the cache has lost it"
            )
        return judge(path, name, data_of(commit), splits, metrics, resamples, seed)


def judge(
    folder: Path,
    name: str,
    data: str,
    splits: tuple[str, ...],
    metrics: tuple[str, ...],
    resamples: int,
    seed: int,
) -> Judged:
    """Compute metrics of a folder as `evaluate` writes it; `name` and `data` are for messages."""
    images, sampled = {}, {}
    for split in splits:
        table = _read_images(folder / f"images_{split}.csv", name)
        if len(table):
            at = [f"{kind}_{percent}" for kind in ("tp", "ignored") for percent in PERCENTS]
            columns = ["image_id", "score", "ranked", *at]
            found = _read(folder / f"detections_{split}.parquet", name, columns)
            images[split] = table[["name", "group", "objects"]]
            sampled[split] = resample(table, found, metrics=metrics, resamples=resamples, seed=seed)
    return Judged(name, data, images, sampled)


def differences(base: Runs, other: Runs) -> list[dict]:
    """Compare two experiments that were judged alike.

    Parameters
    ----------
    base, other : list of Judged
        Their runs under the same seeds, in the same order.

    Returns
    -------
    rows : list of dict
        split, metric, value (of the other, the mean over seeds), and what
        `experiments.differences.Difference` has, None where undefined.

    Raises
    ------
    InputError
        If they were not judged on the same data, as far as that is known, or images, or there are
        not as many runs of each.
    """
    if len(base) != len(other):
        raise InputError(
            f"{name_of(other)} has {len(other)} runs and {name_of(base)} {len(base)}; give as many "
            "of each, of the same seeds in the same order"
        )
    first = base[0]
    for one in (*base[1:], *other):
        if first.data and one.data and first.data != one.data:
            raise InputError(
                f"{one.name}: judged on other data ({one.data}) than {first.name} ({first.data}); "
                "compare experiments on the same data set and folds"
            )
        for split in first.sampled:
            _refuse_other_images(split, first, one)
    rows = []
    for split, sampled in first.sampled.items():
        for metric in sampled:
            pair = [[one.sampled[split][metric] for one in runs] for runs in (base, other)]
            value = float(np.mean([one.value for one in pair[1]]))
            found = paired_difference(*pair)
            rows.append({"split": split, "metric": metric, "value": value, **found._asdict()})
    return rows


def name_of(runs: Runs) -> str:
    """Name an experiment by its runs: what their names begin with, without what tells the seed."""
    names = [one.name for one in runs]
    return os.path.commonprefix(names).removesuffix("-s") if len(names) > 1 else names[0]


def table(base: Runs, compared: list[tuple[Runs, list[dict]]]) -> str:
    """Write the base and what `differences` says of each other experiment as Markdown."""
    lines = [COLUMNS, ["---"] * 3 + ["---:"] * 6 + ["---"]]
    sampled = base[0].sampled
    for place, (split, metric) in enumerate((s, m) for s in sampled for m in sampled[s]):
        value = float(np.mean([one.sampled[split][metric].value for one in base]))
        told = [split, metric, name_of(base), str(len(base)), _text(value, ".4f")]
        lines.append([*told, "", "", "", "", ""])
        corrected = holm([rows[place]["p"] for _, rows in compared])
        for (other, rows), p in zip(compared, corrected, strict=True):
            row = rows[place]
            cells = [split, metric, name_of(other), str(len(other)), _text(row["value"], ".4f")]
            cells += [_text(row[key], "+.4f") for key in ("difference", "low", "high")]
            lines.append([*cells, _text(p, ".3f"), _verdict(row, p, len(compared))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _verdict(row: dict, p: float | None, compared: int) -> str:
    if row["low"] is None or p is None:
        return "no interval"
    if row["low"] <= 0 <= row["high"]:
        return "not sure"
    return f"not sure of {compared}" if compared > 1 and p >= SURE else ""


def _text(number: float | None, form: str) -> str:
    return "–" if number is None or number != number else format(number, form)


def _refuse_other_images(split: str, base: Judged, other: Judged) -> None:
    known, found = base.images[split], other.images.get(split)
    for column, words in (("name", "images"), ("group", "groups of images"), ("objects", "truth")):
        if found is None or known[column].tolist() != found[column].tolist():
            raise InputError(
                f"{other.name}: judged on other {words} of {split} than {base.name}; "
                "compare experiments on the same data set and folds"
            )


def _read_images(path: Path, name: str) -> pd.DataFrame:
    """Read the table of a split: which of the other columns there are tells what it was made by."""
    columns = _read(path, name, ("name", "group", "image_id", "objects")).columns
    return _read(path, name, {column: str if column in TEXTS else float for column in columns})


def _read(path: Path, name: str, columns: Iterable[str]) -> pd.DataFrame:
    """Read a table, and name in a complaint the experiment rather than a folder that goes away."""
    read = read_parquet if path.suffix == ".parquet" else read_table
    try:
        return read(path, "the experiment", columns)
    except InputError as error:
        told = str(error).replace(str(path), f"{EVALUATION}/{path.name}")
        raise InputError(f"{name}: {told}") from None


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
