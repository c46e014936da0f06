"""The curve of a training: a row for each epoch, as a table and as TensorBoard events."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from torch.utils.tensorboard import SummaryWriter


def curve_table(rows: list[dict]) -> pd.DataFrame:
    """Return the rows as a table of texts, numbers in six digits, empty where they are NaN.

    Parameters
    ----------
    rows : list of dict
        As `src.training.loop.fit` makes them.
    """
    cells = [
        {key: "" if math.isnan(value) else f"{value:.6g}" for key, value in row.items()}
        for row in rows
    ]
    return pd.DataFrame(cells)


def event_writer(folder: Path | None) -> Callable[[dict], None]:
    """Return what writes a row of the curve as TensorBoard events, or does nothing.

    Parameters
    ----------
    folder : Path, optional
        Emptied first; None writes no events.
    """
    if folder is None:
        return lambda row: None
    shutil.rmtree(folder, ignore_errors=True)  # else two runs are drawn over each other
    writer = SummaryWriter(folder)

    def write(row: dict) -> None:
        for key in row.keys() - {"epoch"}:
            if not math.isnan(row[key]):
                writer.add_scalar(key, row[key], row["epoch"])
        writer.flush()

    return write
