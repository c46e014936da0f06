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


def decode_submission(text: str, height: int, width: int) -> np.ndarray:
    """Return the mask, bool (height, width), of what `encode_submission` wrote.

    Raises
    ------
    ValueError
        If the text is not pairs of numbers, or its runs overlap, touch, come out of order or
        leave the image.
    """
    words = text.split()
    if len(words) % 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise ValueError(f"not pairs of start and length: '{text[:40]}'")
    starts, lengths = np.array(words, np.int64).reshape(-1, 2).T
    stops = starts + lengths
    if np.any(lengths < 1) or np.any(starts <= np.append(0, stops)[:-1]):
        raise ValueError(f"runs overlap, touch or come out of order: '{text[:40]}'")
    if np.any(stops > height * width + 1):
        raise ValueError(f"runs leave the image of {height * width} pixels: '{text[-40:]}'")
    changes = np.zeros(height * width + 1, np.int8)
    changes[starts - 1] = 1
    changes[stops - 1] = -1
    return np.cumsum(changes[:-1], dtype=np.int8).astype(bool).reshape(width, height).T
