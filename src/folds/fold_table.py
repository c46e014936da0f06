"""The table of folds, which are trained, and the one fold of an image where one is needed."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, ValidationInfo, field_validator

from src.base.errors import InputError
from src.base.params import Params
from src.formats.tables import read_table

TYPES = {"name": str, "fold": int, "repeat": int, "group": str, "copies": int, "copy": int}
TYPES |= {"test_likeness": float}


class SplitFoldsParams(Params):
    """The section `split_folds` of params.yaml."""

    method: Literal["stratified", "test_likeness", "leave_one_group_out", "column"]
    balance: Literal["coverage", "objects", "none"]
    column: str
    k: int = Field(ge=2)  # number of folds
    repeats: int = Field(ge=1)  # divisions into k folds
    folds: list[int] = Field(min_length=1)  # the ones that are trained
    likeness: bool  # folds.csv tells how like test each image is
    seed: int = Field(ge=0, lt=2**32)

    @field_validator("repeats")
    @classmethod
    def _repeat_what_is_drawn(cls, repeats: int, info: ValidationInfo) -> int:
        method = info.data.get("method", "stratified")  # absent if it was refused itself
        if repeats > 1 and method != "stratified":
            raise ValueError(f"split_folds.method {method} knows one division, set it to 1")
        return repeats

    @field_validator("folds")
    @classmethod
    def _name_folds_once(cls, folds: list[int], info: ValidationInfo) -> list[int]:
        k, repeats = info.data.get("k"), info.data.get("repeats")
        if k and repeats and not set(folds) <= set(range(k * repeats)):
            times = f" and repeats {repeats}" if repeats > 1 else ""
            raise ValueError(f"with split_folds.k {k}{times} the folds are 0 to {k * repeats - 1}")
        if len(set(folds)) < len(folds):
            raise ValueError("name each fold once")
        return folds


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
