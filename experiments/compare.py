"""Tell whether experiments differ from a base by more than chance, as a Markdown table.

    python -m experiments.compare HEAD watershed workspace --split val --metric ap50 f1_50

Reads  data/evaluation/images_<split>.csv and detections_<split>.parquet of each: a git revision,
       the name of an experiment (`dvc get` fetches it from the cache), or "workspace", the folder
       as it is; and reports/metrics.json, which names the data that were judged

All have to be judged on the same data. They are computed on the same draws of groups of images, so
what makes an image hard for both cancels out. A difference whose 95 % interval holds 0 is marked
"not sure"; of many experiments some are sure by chance, one in twenty of those without effect.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

from experiments.revisions import WORKSPACE, commit_of, data_of
from src.base.errors import InputError
from src.formats.tables import read_parquet, read_table
from src.judging.bootstrap import METRICS, PERCENTS, Sampled, paired_difference, resample

SPLITS = ("oof", "val")
SHOWN = ("ap50", "f1_50", "ap", "detection_accuracy", "dice_mean")
EVALUATION = "data/evaluation"
TEXTS = ("name", "group", "clean")  # columns of images_<split>.csv that are no numbers
COLUMNS = ("split", "metric", "experiment", "value", "difference", "low", "high", "above 0", "")


class Judged(NamedTuple):
    """One experiment on the images it judged."""

    name: str
    data: str  # fingerprint of the truth, "" if unknown
    images: dict[str, pd.DataFrame]  # split -> name, group, objects; splits with images
    sampled: dict[str, dict[str, Sampled]]  # split -> metric -> values


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
        judge_revision(name, args.split, args.metric, args.resamples, args.seed)
        for name in (args.base, *args.experiments)
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


def differences(base: Judged, other: Judged) -> list[dict]:
    """Compare two experiments that were judged alike.

    Returns
    -------
    rows : list of dict
        split, metric, value (of the other), difference (other minus base), low and high (95 %
        interval of it) and above (share of draws above 0), None where undefined.

    Raises
    ------
    InputError
        If they were not judged on the same data, as far as that is known, or images.
    """
    if base.data and other.data and base.data != other.data:
        raise InputError(
            f"{other.name}: judged on other data ({other.data}) than {base.name} ({base.data}); "
            "compare experiments on the same data set and folds"
        )
    rows = []
    for split, sampled in base.sampled.items():
        _refuse_other_images(split, base, other)
        for metric, of_base in sampled.items():
            difference = paired_difference(of_base, other.sampled[split][metric])
            value = other.sampled[split][metric].value
            rows.append({"split": split, "metric": metric, "value": value, **difference._asdict()})
    return rows


def table(base: Judged, compared: list[tuple[Judged, list[dict]]]) -> str:
    """Write the base and what `differences` says of each other experiment as Markdown."""
    lines = [COLUMNS, ["---"] * 3 + ["---:"] * 5 + ["---"]]
    for place, (split, metric) in enumerate((s, m) for s in base.sampled for m in base.sampled[s]):
        value = _text(base.sampled[split][metric].value, ".4f")
        lines.append([split, metric, base.name, value, "", "", "", "", ""])
        for other, rows in compared:
            row = rows[place]
            cells = [_text(row["value"], ".4f")]
            cells += [_text(row[key], "+.4f") for key in ("difference", "low", "high")]
            cells += [_text(row["above"], ".1%"), _verdict(row)]
            lines.append([split, metric, other.name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _verdict(row: dict) -> str:
    if row["low"] is None:
        return "no interval"
    return "not sure" if row["low"] <= 0 <= row["high"] else ""


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
