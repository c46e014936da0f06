"""Tables that one stage writes and another reads."""

from pathlib import Path

import pandas as pd

from src.base.errors import InputError


def read_table(path: Path, stage: str) -> pd.DataFrame:
    """Read a CSV file as text, cell by cell: a group may be called NA, or 007.

    Parameters
    ----------
    path : Path
    stage : str
        What to run if there is no such file, for the message.

    Returns
    -------
    table : DataFrame of str
        Empty cells are empty texts.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run {stage}")
    return pd.read_csv(path, dtype=str, keep_default_na=False)
