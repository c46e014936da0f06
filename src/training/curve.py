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


def scalars_of(row: dict) -> dict[str, float]:
    """Return what a row of the curve tells of its epoch, without what there is not (NaN)."""
    return {key: row[key] for key in row if key != "epoch" and not math.isnan(row[key])}


def event_writer(folder: Path | None) -> Callable[[int, dict[str, float]], None]:
    """Return what writes the figures of a step as TensorBoard events, or does nothing.

    Parameters
    ----------
    folder : Path, optional
        Emptied first; None writes no events.
    """
    if folder is None:
        return lambda step, scalars: None
    shutil.rmtree(folder, ignore_errors=True)  # else two runs are drawn over each other
    writer = SummaryWriter(folder)

    def write(step: int, scalars: dict[str, float]) -> None:
        for key, value in scalars.items():
            writer.add_scalar(key, value, step)
        writer.flush()

    return write
