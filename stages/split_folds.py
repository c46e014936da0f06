"""Assign every training image to a fold: whole groups, by one of four methods.

    python -m stages.split_folds data/prepared data/groups data/split \
        data/folds.csv data/fold_summary.csv

Reads  prepared/train/images.csv  name, height, width, objects, coverage (0..1), and the column that
                                  split_folds.column names where the method is `column`
       groups/train.csv      name, group, cluster (of near-duplicates, empty without)
       split/likeness.csv    name, test_likeness (empty where there is no test)
Writes folds.csv             name,fold,repeat,group,copies,copy,test_likeness  the images of split
                             train, by repeat, then name; fold in repeat * k .. repeat * k + k - 1;
                             copies: train images in its cluster (1 if alone), copy: its place
                             among these by name, from 0; test_likeness: empty unless the method
                             goes by it or split_folds.likeness is true: or else folds, and with
                             them all networks, would change with the images of test
       fold_summary.csv      fold,images,groups,duplicated,empty,coverage,objects,object_area,
                             test_likeness: see src/dividing/fold_summary.py

Images of one group (duplicates, one car, one block of ground) share a fold. `split_folds.folds`
says which of the folds are trained; it is checked here and changes nothing in folds.csv.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.base.params import load_params
from src.base.running import run_stage
from src.dividing.assignment import assign_folds, check_given_folds, draw_folds, folds_by_likeness
from src.dividing.fold_summary import summarise_folds
from src.folds.fold_table import TYPES, SplitFoldsParams
from src.folds.image_numbers import image_numbers
from src.formats.prepared import read_images
from src.formats.tables import read_table, write_table


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("groups", type=Path, help="folder of find_duplicates")
    parser.add_argument("split", type=Path, help="folder of validate_split")
    parser.add_argument("folds", type=Path, help="table to write")
    parser.add_argument("summary", type=Path, help="table to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "split_folds", SplitFoldsParams)

    table = read_images(args.prepared, "train")
    if table.empty:
        raise InputError(f"{args.prepared}: no image of train; folds are made of these alone")
    table["group"], cluster = _of_each(table, args.groups / "train.csv", "group", "cluster")
    (likeness,) = _of_each(table, args.split / "likeness.csv", "test_likeness")
    table["test_likeness"] = pd.to_numeric(likeness)
    alone = cluster == ""
    cluster = cluster.where(~alone, table["name"])
    table["copies"] = cluster.groupby(cluster).transform("size")
    table["copy"] = cluster.groupby(cluster).cumcount()
    folds = pd.concat(
        table.assign(fold=params.k * repeat + _divide(table, repeat, params, args), repeat=repeat)
        for repeat in range(params.repeats)
    )[list(TYPES)]
    numbers = table.set_index("name")[["height", "width", "objects", "coverage"]]
    summary = summarise_folds(folds, numbers).round(6)
    if params.method != "test_likeness" and not params.likeness:
        folds["test_likeness"] = np.nan
    write_table(args.folds, folds)
    write_table(args.summary, summary)
    print(summary.round(3).to_string(index=False, na_rep="-"))
    print(f"{len(table)} train images of {table['group'].nunique()} groups -> {args.folds}")


def _of_each(table: pd.DataFrame, path: Path, *columns: str) -> list[pd.Series]:
    """Look up columns of another table for each image."""
    stage = {"train.csv": "find_duplicates", "likeness.csv": "validate_split"}[path.name]
    rows = read_table(path, stage, ["name", *columns]).set_index("name")
    missing = table.loc[~table["name"].isin(rows.index), "name"]
    if len(missing):
        raise InputError(f"{path}: no row for '{missing.iloc[0]}'; run {stage} again")
    return [table["name"].map(rows[column]) for column in columns]


def _divide(table: pd.DataFrame, repeat: int, params: SplitFoldsParams, args) -> np.ndarray:
    """Return the fold of each image, 0 to k - 1, in one division."""
    groups, k = table["group"].to_numpy(str), params.k
    count = len(set(groups))
    if params.method == "leave_one_group_out" and k != count:
        raise InputError(
            f"{args.params}: split_folds.k is {k} but the train images form {count} group(s), each "
            f"of which split_folds.method leave_one_group_out leaves out once; set k to {count}"
        )
    if count < k:
        raise InputError(
            f"{args.params}: split_folds.k is {k} but the train images form {count} "
            f"group(s), which are never split; lower split_folds.k or add images of other groups; "
            f"{_reason_of_groups(table, args.groups)}"
        )
    if params.method == "leave_one_group_out":
        return np.unique(groups, return_inverse=True)[1]
    if params.method == "column":
        numbers = image_numbers(table, params.column, "split_folds.column")
        try:
            return check_given_folds(numbers, groups, k)
        except InputError as error:
            where = args.prepared / "train/images.csv"
            raise InputError(f"{where}: column '{params.column}': {error}") from None
    if params.method == "test_likeness":
        if table["test_likeness"].isna().any():
            raise InputError(
                f"{args.split / 'likeness.csv'}: no test_likeness, since there are no or too few "
                "test images; set split_folds.method to another or add images to test"
            )
        return folds_by_likeness(table["test_likeness"].to_numpy(), groups, k)
    levels = np.zeros(len(table))
    if params.balance != "none":
        levels = table[params.balance].to_numpy(np.float64)
    if repeat:
        return draw_folds(levels, groups, k, params.seed, repeat)
    return assign_folds(levels, groups, k, params.seed)


def _reason_of_groups(table: pd.DataFrame, groups: Path) -> str:
    """Say what joined the images, and what to do where they should not be joined."""
    copies = table["copies"].max()
    if copies == 1:
        return f"{groups / 'train.csv'} of find_duplicates lists them"
    return (
        f"find_duplicates holds {copies} of the {len(table)} for near-duplicates of one another: "
        "if they are no copies, lower find_duplicates.local_difference or set "
        "find_duplicates.distance to -1"
    )


if __name__ == "__main__":
    run_stage(main)
