"""Tables that one stage writes and another reads: CSV as text or of given types, and Parquet."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet

from src.base.changes import expect_file
from src.base.errors import InputError
from src.base.files import write_text

# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

TRUTHS = {"True": True, "False": False}


def read_table(path: Path, stage: str, columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV file cell by cell: a group may be called NA, or 007.

    Parameters
    ----------
    path : Path
        In UTF-8, its first line the names of the columns.
    stage : str
        What to run if the file is not as it should be, for the message.
    columns : iterable of str, or mapping of str to type
        Columns that must be there. A mapping gives their types too: str, float (an empty cell is
        NaN), int (whole, an empty cell is refused) or bool (True or False).

    Returns
    -------
    table : DataFrame
        All columns of the file in their order, text but for those that have another type; empty
        cells are empty texts.

    Raises
    ------
    InputError
        If the file is absent, empty or not UTF-8, a name of a column is there twice, a row has more
        or fewer cells than the first, a column is missing, or a cell is not of its type; the
        message names file, line and what to do.
    """
    path = _present(path, stage)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; run {stage} again") from None
    if "\0" in text:
        raise InputError(f"{path}: holds a NUL character; run {stage} again")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(lines, list[str]())
        if not names:
            raise InputError(f"{path}: is empty; run {stage} again")
        rows: list[list[str]] = []
        for row in lines:
            if len(row) != len(names):
                raise InputError(
                    f"{path}: line {lines.line_num} has {len(row)} cells and the first line "
                    f"{len(names)}; run {stage} again"
                )
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path}: line {lines.line_num}: {error}; run {stage} again") from None
    if len(set(names)) < len(names):
        twin = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: has two columns {twin}; run {stage} again")
    _check_columns(path, stage, columns, names)
    cells = zip(*rows, strict=True) if rows else ((),) * len(names)
    table = dict(zip(names, cells, strict=True))
    types = (
        cast("Mapping[str, type]", columns) if isinstance(columns, Mapping) else dict[str, type]()
    )
    return pd.DataFrame(
        {
            name: _typed(path, stage, name, column, types.get(name, str))
            for name, column in table.items()
        }
    )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table that `read_table` reads: no index, lines end in a line feed on every system.

    Parameters
    ----------
    path : Path
        Takes its name when it is complete; parents are made.
    table : DataFrame
        Round floats to what they are worth before; a missing number becomes an empty cell.
    """
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_parquet(path: Path, stage: str, columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a Parquet file that an earlier stage wrote.

    Parameters
    ----------
    path : Path
    stage : str
        What to run if the file is not as it should be, for the message.
    columns : iterable of str
        Columns that must be there.

    Returns
    -------
    table : DataFrame
        All columns of the file.

    Raises
    ------
    InputError
        If the file is absent, is no Parquet, or lacks a column.
    """
    path = _present(path, stage)
    try:
        table = cast("pd.DataFrame", pyarrow.parquet.read_table(path).to_pandas())
    except (pyarrow.ArrowException, OSError):
        raise InputError(f"{path}: not a Parquet file; run {stage} again") from None
    _check_columns(path, stage, columns, table.columns)
    return table


def _present(path: Path, stage: str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run {stage}")
    expect_file(path)
    return path


def _check_columns(path: Path, stage: str, wanted: Iterable[str], there: Iterable[str]) -> None:
    known = set(there)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]}; run {stage} again")


def _typed(path: Path, stage: str, name: str, column: tuple[str, ...], kind: type) -> pd.Series:
    if kind is str:
        return pd.Series(column, dtype=str)
    values: list[float | int | bool] = []
    for number, cell in enumerate(column, start=2):
        try:
            values.append(_value(cell, kind))
        except (ValueError, KeyError, OverflowError):
            what = {int: "a whole number", float: "a number", bool: "True or False"}[kind]
            raise InputError(
                f"{path}: row {number}: {name} must be {what}, got {cell!r:.80}; run {stage} again"
            ) from None
    return pd.Series(np.array(values, {int: np.int64, float: np.float64, bool: bool}[kind]))


def _value(cell: str, kind: type) -> float | int | bool:
    if kind is bool:
        return TRUTHS[cell]
    if kind is float:
        return float(cell) if cell else math.nan
    return int(np.int64(int(cell)))
