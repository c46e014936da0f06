"""Assign every training image to a fold: whole groups, alike in mask coverage.

    python -m stages.split_folds data/prepared data/folds.csv

Reads  prepared/images.csv  columns name, split, coverage (0..1), group and others
Writes folds.csv            name,fold  the images of split train, sorted by name; fold in 0..k-1

Images of one group (duplicates, one car, one block of ground) share a fold. `split_folds.folds`
says which of the folds are trained; it is checked here and changes nothing in folds.csv.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from src.errors import InputError
from src.folds import assign_folds
from src.new_folder import write_text
from src.params import Params, load_params


class SplitFoldsParams(Params):
    k: int = Field(ge=2)  # number of folds
    folds: list[int] = Field(min_length=1)  # the ones that are trained
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("folds")
    @classmethod
    def _name_folds_once(cls, folds: list[int], info: ValidationInfo) -> list[int]:
        k = info.data.get("k")  # absent if it was refused itself
        if k is not None and not set(folds) <= set(range(k)):
            raise ValueError(f"with split_folds.k {k} the folds are 0 to {k - 1}")
        if len(set(folds)) < len(folds):
            raise ValueError("name each fold once")
        return folds


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "split_folds", SplitFoldsParams)

    names, coverage, groups = _read_train_images(args.prepared / "images.csv")
    group_count = len(set(groups))
    if group_count < params.k:
        raise InputError(
            f"{args.params}: split_folds.k is {params.k} but the train images form {group_count} "
            f"group(s), which are never split; lower split_folds.k or add images of other groups"
        )
    folds = assign_folds(np.array(coverage), np.array(groups), params.k, params.seed)
    write_text(args.folds, _folds_table(names, folds))
    sizes = ", ".join(str(size) for size in np.bincount(folds))
    print(f"{len(names)} train images of {group_count} groups in folds of {sizes} -> {args.folds}")


def _read_train_images(path: Path) -> tuple[list[str], list[float], list[str]]:
    """Return names, coverages and groups of the train images, sorted by name."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; run prepare_masks")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    if not rows:
        raise InputError(f"{path}: no image of split train; folds are made of these alone")
    rows.sort(key=lambda row: row["name"])
    coverage = [float(row["coverage"]) for row in rows]
    return [row["name"] for row in rows], coverage, [row["group"] for row in rows]


def _folds_table(names: list[str], folds: np.ndarray) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "fold"])
    writer.writerows(zip(names, folds.tolist(), strict=True))
    return text.getvalue()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
