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
    values, last = _numbers(np.frombuffer(b"".join(parts), np.uint8))
    stops = np.searchsorted(last, np.cumsum([len(text) for text in parts]))
    lengths = np.diff(stops, prepend=0)
    pairs = (lengths + 1) // 2  # of a run outside and one inside
    first = np.cumsum(pairs) - pairs
    pairs_of = np.repeat(np.arange(len(parts)), pairs)
    runs = np.zeros((len(pairs_of), 2), np.int64)
    odd = np.cumsum(lengths % 2) - lengths % 2
    runs.reshape(-1)[np.arange(len(values)) + np.repeat(odd, lengths)] = values
    filled = first[pairs > 0]
    # From the fourth run on a number is the difference to the last but one; the third is whole.
    outside = runs[filled, 0]
    runs[filled, 0] = 0
    runs = _sums_within(runs, filled, pairs[pairs > 0])
    runs[filled, 0] = outside
    runs[(first + pairs)[lengths % 2 > 0] - 1, 1] = 0  # there is none
    stop = _sums_within(runs.sum(axis=1), filled, pairs[pairs > 0])
    inside = runs[:, 1] > 0
    return pairs_of[inside], (stop - runs[:, 1])[inside], stop[inside]


def _numbers(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read V numbers from characters, uint8; returns them and the place of the last of each."""
    groups = text - np.uint8(48)
    last = np.flatnonzero(groups < 32)
    first = np.append(0, last[:-1] + 1)[: len(last)]
    values = (groups[first] & 31).astype(np.int64)
    more, shift = np.flatnonzero(last > first), 5
    while len(more):
        values[more] += (groups[first[more] + shift // 5] & 31).astype(np.int64) << shift
        shift += 5
        more = more[last[more] - first[more] >= shift // 5]
    negative = np.flatnonzero(groups[last] & 16)
    values[negative] -= np.int64(32) << (5 * (last[negative] - first[negative]))
    return values, last


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
    moved = np.empty_like(bits)
    for shift in (1, 2, 4, 8, 16, 32):  # from where a run begins on, up to where it ends
        bits ^= np.left_shift(bits, np.uint64(shift), out=moved)
    for word in range(1, words):
        bits[:, word] ^= (bits[:, word - 1] >> np.uint64(63)) * ~np.uint64(0)
    return bits


def _sums_within(values: np.ndarray, first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum up the rows of each part by itself; parts begin at `first` and have so many rows."""
    sums = np.cumsum(values, axis=0)
    return sums - np.repeat(sums[first] - values[first], counts, axis=0)


def _first_of_equal(numbers: np.ndarray) -> np.ndarray:
    """Return for each of some rising numbers the place of the first that equals it."""
    places = np.arange(len(numbers))
    places[1:][numbers[1:] == numbers[:-1]] = 0
    return np.maximum.accumulate(places)
