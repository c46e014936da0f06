"""Masks as text, run by run, the way submissions to Kaggle's competitions have them."""

import numpy as np


def encode_submission(mask: np.ndarray) -> str:
    """Write a mask as "start length start length ...".

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)

    Returns
    -------
    text : str
        Pixels are counted from 1, down the first column, then down the next one; starts increase
        and runs never touch. Empty for an empty mask.

    Raises
    ------
    ValueError
        If `mask` is not a 2-D boolean array.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask must be 2-D bool, got {mask.dtype} {mask.shape}")
    columns = np.concatenate([[False], mask.ravel(order="F"), [False]])
    runs = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    runs[1::2] -= runs[::2]
    return " ".join(map(str, runs.tolist()))
