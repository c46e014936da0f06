"""Numbers that images bring along in their metadata, such as the depth of a seismic tile."""

import numpy as np
import pandas as pd

from src.base.errors import InputError


def image_numbers(table: pd.DataFrame, column: str, param: str) -> np.ndarray:
    """Return one number per image.

    Parameters
    ----------
    table : DataFrame
        Rows of images.csv, with a column `name`; may be empty.
    column : str
        The column of numbers, in any unit.
    param : str
        The key of params.yaml that names the column, for the message.

    Returns
    -------
    numbers : ndarray of float64, shape (rows,)
        Finite.

    Raises
    ------
    InputError
        If there is no such column, or an image has no number in it; the message names the first.
    """
    if column not in table:
        raise InputError(
            f"params.yaml: {param} names the column '{column}', which images.csv does not have; "
            "name it in dataset.metadata"
        )
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        raise InputError(
            f"images.csv: {table['name'].to_numpy()[wrong][0]} has no number in the column "
            f"'{column}' that {param} names; correct the metadata and prepare the images again"
        )
    return numbers


def relative_depths(depths: np.ndarray, depth_range: list[float]) -> np.ndarray:
    """Return where depths lie in the range of the training images.

    Parameters
    ----------
    depths : ndarray of float64, shape (images,)
        In any unit.
    depth_range : list of float
        Smallest and largest depth of the training images, in the same unit.

    Returns
    -------
    relative : ndarray of float32, shape (images,)
        (z - min) / (max - min), 0 where min and max are equal; other images than those of training
        may lie outside [0, 1].
    """
    least, most = depth_range
    if least == most:
        return np.zeros(len(depths), np.float32)
    return ((depths - least) / (most - least)).astype(np.float32)
