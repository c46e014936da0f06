"""The table of folds, which are trained, and the one fold of an image where one is needed."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from src.base.errors import InputError
from src.base.params import Params
from src.formats.tables import read_table

TYPES = {"name": str, "fold": int, "repeat": int, "group": str, "copies": int, "copy": int}
TYPES |= {"test_likeness": float}


class SplitFoldsParams(Params):
    """The keys of the section; what they may be is checked by split_folds, where they act."""

    method: str
    balance: str
    column: str
    k: int
    repeats: int
    folds: list[int]
    seed: int


def read_folds(path: Path) -> pd.DataFrame:
    """Read the table that split_folds writes.

    Parameters
    ----------
    path : Path
        CSV with the columns name, fold, repeat, group, copies, copy, test_likeness and perhaps
        others: a row for each training image and repeat.

    Returns
    -------
    table : DataFrame
        These columns, as many rows; name and group are text, test_likeness a float, NaN where it
        is empty, the others whole numbers.

    Raises
    ------
    InputError
        If the file is absent, lacks a column, holds something else than numbers, or has an image
        twice in one repeat.
    """
    table = read_table(path, "split_folds", TYPES)[list(TYPES)]
    twins = table.duplicated(["name", "repeat"])
    if twins.any():
        name = table["name"][twins].iloc[0]
        raise InputError(f"{path}: '{name}' is in two folds of one repeat; run split_folds again")
    return table


def first_trained_fold(table: pd.DataFrame, folds: Collection[int]) -> pd.Series:
    """Return the one fold of each image that counts where only one is needed.

    Parameters
    ----------
    table : DataFrame
        Columns name, fold and repeat, as `read_folds` gives them, in any order.
    folds : collection of int
        The folds that are trained.

    Returns
    -------
    fold_of : Series
        Name -> fold, sorted by name: of the trained folds that an image is in the one of the
        lowest repeat. Images that are in none are left out.
    """
    trained = table[table["fold"].isin(list(folds))]
    trained = trained.sort_values(["repeat", "name"]).drop_duplicates("name")
    return trained.set_index("name")["fold"].sort_index()
