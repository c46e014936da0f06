"""Runs of many masks at once, and the bits of the pixels that they cover."""

from collections.abc import Sequence

import numpy as np

from src.formats.prepared import Rle


def mask_runs(masks: Sequence[Rle]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the run lengths of many masks in one pass over their text.

    `src.objects.rle` tells how they are written. A run without pixels is left out.

    Parameters
    ----------
    masks : sequence of compressed RLEs
        M; may be empty.

    Returns
    -------
    mask, start, stop : ndarray of int64, shape (K,)
        Of each run of pixels inside, mask by mask: number of the mask, first pixel and the one
        after the last, counted down the columns.
    """
    counts = [mask["counts"] for mask in masks]
    parts = [text.encode() if isinstance(text, str) else text for text in counts]
    groups = np.frombuffer(b"".join(parts), np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(groups & 32 == 0)  # of each number
    if not len(last):
        return last, last, last
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((groups & 31) << (5 * place), first)
    values -= np.where(groups[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    mask = np.repeat(np.arange(len(parts)), [len(text) for text in parts])[last]
    number = np.arange(len(mask)) - _first_of_equal(mask)
    for chain in (number % 2 == 1, (number % 2 == 0) & (number > 0)):
        values[chain] = _sums_within(values[chain], mask[chain])
    stop = _sums_within(values, mask)
    inside = (number % 2 == 1) & (values > 0)
    return mask[inside], (stop - values)[inside], stop[inside]


def run_bits(
    image: np.ndarray, start: np.ndarray, stop: np.ndarray, count: int, size: tuple[int, int]
) -> np.ndarray:
    """Set the bit of every pixel that an odd number of the runs of an image cover.

    Parameters
    ----------
    image, start, stop : ndarray of int64, shape (K,)
        Image of each run, 0 .. N - 1, its first pixel and the one after its last, counted down the
        columns.
    count : int
        N.
    size : tuple of int
        Height H and width W of every image, px.

    Returns
    -------
    bits : ndarray of uint64, shape (N, H // 64 + 1, W)
        Row r of a column is bit r % 64 of its word r // 64; bits from row H on are 0.

    Raises
    ------
    ValueError
        If a run ends beyond its image.
    """
    height, width = size
    words = height // 64 + 1
    if stop.max(initial=0) > height * width:
        raise ValueError(f"a mask has runs of {stop.max()} px in an image of {height} x {width} px")
    left, right = start // height, (stop - 1) // height
    run = np.repeat(np.arange(len(image)), right - left + 1)  # one through the bottom goes on
    column = left[run] + np.arange(len(run)) - _first_of_equal(run)
    top = np.maximum(start[run] - column * height, 0)
    bottom = np.minimum(stop[run] - column * height, height)
    bits = np.zeros((count, words, width), np.uint64)
    rows = image[run] * words
    for edge in (top, bottom):
        where = (rows + edge // 64) * width + column
        np.bitwise_xor.at(bits.reshape(-1), where, np.uint64(1) << (edge % 64).astype(np.uint64))
    for shift in (1, 2, 4, 8, 16, 32):  # from where a run begins on, up to where it ends
        bits ^= bits << np.uint64(shift)
    for word in range(1, words):
        bits[:, word] ^= (bits[:, word - 1] >> np.uint64(63)) * ~np.uint64(0)
    return bits


def _sums_within(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Sum up the values of each owner, which lie side by side."""
    sums = np.cumsum(values)
    return sums - (sums - values)[_first_of_equal(owner)]


def _first_of_equal(numbers: np.ndarray) -> np.ndarray:
    """Return for each of some rising numbers the place of the first that equals it."""
    places = np.arange(len(numbers))
    places[1:][numbers[1:] == numbers[:-1]] = 0
    return np.maximum.accumulate(places)
