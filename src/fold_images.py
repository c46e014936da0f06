"""The images of a data set with the fold of each, and the depth that a network is fed with."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.errors import InputError
from src.image_numbers import image_numbers, relative_depths

NO_FOLD = -1


def fold_images(images: Path, folds: Path, fold: int) -> pd.DataFrame:
    """Read the table of images with the fold of each.

    Parameters
    ----------
    images : Path
        images.csv of prepare_masks.
    folds : Path
        folds.csv of split_folds.
    fold : int
        The fold that is left out; only looked for.

    Returns
    -------
    table : DataFrame
        The rows of images.csv sorted by name, `group` being text, with a column `fold`: an integer,
        `NO_FOLD` for images that are in none, as those of val and test.

    Raises
    ------
    InputError
        If a file is absent, or `fold` has no image or all that are in a fold.
    """
    for path, stage in ((folds, "split_folds"), (images, "prepare_masks")):
        if not path.is_file():
            raise InputError(f"{path}: no such file; run the {stage} stage")
    table = pd.read_csv(images, dtype={"group": str}, keep_default_na=False, na_values=[""])
    fold_of = pd.read_csv(folds).set_index("name")["fold"]
    table["fold"] = table["name"].map(fold_of).fillna(NO_FOLD).astype(int)
    known = sorted(set(table["fold"]) - {NO_FOLD})
    if fold not in known or len(known) == 1:
        raise InputError(f"{folds}: fold {fold} is not one of several; it has {known}")
    return table.sort_values("name", ignore_index=True)


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
        As `src.image_numbers.relative_depths` returns them; 0 without that channel.

    Raises
    ------
    InputError
        If an image has no depth.
    """
    if "depth" not in description["extra_channels"]:
        return np.zeros(len(table), np.float32)
    depths = image_numbers(table, description["depth_column"], "model.depth_column")
    return relative_depths(depths, description["depth_range"])
