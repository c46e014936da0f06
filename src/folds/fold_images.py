"""The images of a data set, which of them a fold leaves out, and the depths a network is fed."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.folds.fold_table import read_folds
from src.folds.image_numbers import image_numbers, relative_depths
from src.formats.prepared import read_images


def fold_images(
    prepared: Path, folds: Path, fold: int, splits: Iterable[str] = ("train",)
) -> pd.DataFrame:
    """Read the table of images and tell what networks of a fold may learn from.

    Parameters
    ----------
    prepared : Path
        The folder that prepare_masks writes.
    folds : Path
        folds.csv of split_folds, in which an image has a row for each time it was divided.
    fold : int
        The fold that is left out.
    splits : iterable of {"train", "val", "test"}
        Whose images are wanted.

    Returns
    -------
    table : DataFrame
        The rows of `src.formats.prepared.read_images`. `in_train`: bool, whether the image is in a
        fold, as those of val and test are not; `left_out`: bool, whether it is in this one. So
        what is learnt from is `in_train & ~left_out`. Images in a fold have `group`, `copies`,
        `copy` and `test_likeness` of folds.csv, the last may be NaN; of other images the three
        numbers are NaN.

    Raises
    ------
    InputError
        If a file is absent, folds.csv is not as `src.folds.fold_table.read_folds` wants it, or
        `fold` has no image or all that are in a fold.
    """
    table, rows = read_images(prepared, *splits), read_folds(folds)
    table["in_train"] = table["name"].isin(rows["name"])
    table["left_out"] = table["name"].isin(rows["name"][rows["fold"] == fold])
    if not table["left_out"].any() or table["left_out"].equals(table["in_train"]):
        known = sorted(set(rows["fold"]))
        raise InputError(f"{folds}: fold {fold} is not one of several; it has {known}")
    once = rows.drop_duplicates("name").set_index("name").reindex(table["name"])
    table["group"] = once["group"].fillna(table["group"].set_axis(once.index)).to_numpy()
    for column in ("copies", "copy", "test_likeness"):
        table[column] = once[column].to_numpy(float)
    return table


def fed_depths(table: pd.DataFrame, description: dict) -> np.ndarray:
    """Return what a network is fed with as the depth of each image.

    Parameters
    ----------
    table : DataFrame
        Rows of images.csv; may be empty.
    description : dict
        Of the network: `extra_channels`, and for the channel "depth" `depth_column` and
        `depth_range`.

    Returns
    -------
    depths : ndarray of float32, shape (rows,)
        As `src.folds.image_numbers.relative_depths` returns them; 0 without that channel.

    Raises
    ------
    InputError
        If an image has no depth.
    """
    if "depth" not in description["extra_channels"]:
        return np.zeros(len(table), np.float32)
    depths = image_numbers(table, description["depth_column"], "model.depth_column")
    return relative_depths(depths, description["depth_range"])
