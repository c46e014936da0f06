"""Masks as text, run by run, the way submissions to Kaggle's competitions have them."""

import numpy as np


def encode_submission(
    mask: np.ndarray, *, order: str = "column", first: int = 1, starts: str = "absolute"
) -> str:
    """Write a mask as "start length start length ...".

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    order, first, starts
        As `rle_order`, `rle_first` and `rle_starts` of the section dataset, by which run lengths
        are read.

    Returns
    -------
    text : str
        By default pixels are counted from 1, down the first column, then down the next one; starts
        increase and runs never touch. Empty for an empty mask.

    Raises
    ------
    ValueError
        If `mask` is not a 2-D boolean array.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask must be 2-D bool, got {mask.dtype} {mask.shape}")
    lines = mask.ravel(order="C" if order == "row" else "F")
    lines = np.concatenate([[False], lines, [False]])
    edges = np.flatnonzero(lines[1:] != lines[:-1])
    runs = edges + first
    runs[1::2] = edges[1::2] - edges[::2]
    if starts == "relative":
        runs[::2] = edges[::2] - np.concatenate([[0], edges[1:-1:2]])
    return " ".join(map(str, runs.tolist()))
