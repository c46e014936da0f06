"""Masks as text, run by run, the way submissions to Kaggle's competitions have them."""

from collections.abc import Sequence

import numpy as np


def encode_submission(
    mask: np.ndarray,
    x: int = 0,
    y: int = 0,
    size: Sequence[int] | None = None,
    *,
    order: str = "column",
    first: int = 1,
    starts: str = "absolute",
) -> str:
    """Write a mask as "start length start length ...".

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        All of an image, or the part of it that holds the object.
    x, y : int
        Column and row of the mask's upper left pixel in the image.
    size : sequence of int, optional
        (H, W) of the image; that of the mask if not given.
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
    height, width = size or mask.shape
    by_row = order == "row"
    lines, line, along, length = (mask, y, x, width) if by_row else (mask.T, x, y, height)
    lines = np.pad(lines, ((0, 0), (1, 1)))
    number, place = np.divmod(np.flatnonzero(lines[:, 1:] != lines[:, :-1]), lines.shape[1] - 1)
    edges = (number + line) * length + place + along
    goes_on = np.flatnonzero(edges[1:-1:2] == edges[2::2])  # at the begin of the next line
    edges = np.delete(edges, np.concatenate([2 * goes_on + 1, 2 * goes_on + 2]))
    runs = edges + first
    runs[1::2] = edges[1::2] - edges[::2]
    if starts == "relative":
        runs[::2] = edges[::2] - np.concatenate([[0], edges[1:-1:2]])
    return " ".join(map(str, runs.tolist()))
