"""Agreement of two unions of masks, and of their outlines."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from src.formats.prepared import Rle
from src.judging.mask_runs import mask_runs, run_bits
from src.matching.unions import union_of

WIDTH = 0.02  # of the band along an outline, as a part of the image's diagonal
TOGETHER = 1 << 17  # words of 64 pixels that are worked on at once


class Masks(NamedTuple):
    """The masks of one image, each any number of compressed RLEs of its size."""

    predicted: Sequence[Rle]
    truth: Sequence[Rle]
    ignored: Sequence[Rle]


class Agreement(NamedTuple):
    """Pixels in unions of masks of N images, ignored ones left out, int64 (N,) each."""

    predicted: np.ndarray
    truth: np.ndarray
    both: np.ndarray
    predicted_band: np.ndarray
    truth_band: np.ndarray
    both_bands: np.ndarray


def boundary_width(height: int, width: int) -> int:
    """Return the width in px of the band inside an outline: 2 % of the diagonal, at least 1."""
    return max(1, round(WIDTH * math.sqrt(height**2 + width**2)))


def agreement(images: Sequence[Masks]) -> Agreement:
    """Count what the unions of masks of each image have in common, and the bands of their outlines.

    A union's band is the union without its erosion by `boundary_width` steps in the eight
    directions, as for boundary IoU (Cheng et al. 2021). What lies beyond the image's edge is
    background, so an object cut off there has a band along the edge too. The bands are those of
    the whole unions, so no outline arises where `ignored` ends.

    Parameters
    ----------
    images : sequence of Masks
        N; an image without masks has no pixel.

    Returns
    -------
    agreement : Agreement

    Raises
    ------
    ValueError
        If masks of one image are of different sizes, or the runs of one are longer than its image.
    """
    of_size: dict[tuple[int, int], list[int]] = {}
    for place, masks in enumerate(images):
        sizes = {(rle["size"][0], rle["size"][1]) for of_kind in masks for rle in of_kind}
        if len(sizes) > 1:
            raise ValueError(f"masks of one image must have one size, got {sorted(sizes)}")
        for size in sizes:
            of_size.setdefault(size, []).append(place)
    counts = np.zeros((len(Agreement._fields), len(images)), np.int64)
    for size, places in of_size.items():
        many = max(1, TOGETHER // ((size[0] // 64 + 1) * max(size[1], 1)))
        for first in range(0, len(places), many):
            some = places[first : first + many]
            counts[:, some] = _counts([images[place] for place in some], size)
    return Agreement(*counts)


def _counts(images: Sequence[Masks], size: tuple[int, int]) -> np.ndarray:
    """Return the columns of `Agreement` of images of one size."""
    steps = boundary_width(*size)
    predicted, truth, ignored = (
        _union_bits([masks[kind] for masks in images], size) for kind in range(3)
    )
    inside = slice(steps, max(size[1] - steps, steps))
    cores = [_eroded(bits, steps) & ~ignored[..., inside] for bits in (predicted, truth)]
    unions = [bits & ~ignored for bits in (predicted, truth)]
    near = [bits[..., inside] for bits in unions]  # where a core can be
    areas = [_pixels(bits) for bits in (*unions, unions[0] & unions[1])]
    without = [_pixels(core) for core in cores]
    of_one = _pixels(cores[0] & near[1]) + _pixels(near[0] & cores[1])
    without.append(of_one - _pixels(cores[0] & cores[1]))
    return np.array([*areas, *(a - b for a, b in zip(areas, without, strict=True))])


def _union_bits(images: Sequence[Sequence[Rle]], size: tuple[int, int]) -> np.ndarray:
    """Set the bits of the union of the masks of each image, as `run_bits` does."""
    owner = np.repeat(np.arange(len(images)), [len(masks) for masks in images])
    mask, start, stop = mask_runs([rle for masks in images for rle in masks])
    image = owner[mask]
    bits = run_bits(image, start, stop, len(images), size)
    # Where no masks overlap, what an odd number of them covers is what one of them does.
    areas = np.bincount(image, weights=stop - start, minlength=len(images))
    for place in np.flatnonzero(_pixels(bits) != areas).tolist():
        _, *runs = mask_runs([union_of(images[place])])
        bits[place] = run_bits(np.zeros(len(runs[0]), np.int64), *runs, 1, size)[0]
    return bits


def _eroded(bits: np.ndarray, steps: int) -> np.ndarray:
    """Erode by so many steps; returns the columns from `steps` on that can be left, at both ends.

    Each round makes a window of ones twice as long, up to 2 * steps + 1.
    """
    for moved in (_with_rows_below, _with_columns_beside):
        done, window = 1, 2 * steps + 1
        while done < window:
            by = min(done, window - done)
            bits = moved(bits, by)
            done += by
        if moved is _with_rows_below:
            bits = _down(bits, steps)
    return bits


def _with_rows_below(bits: np.ndarray, by: int) -> np.ndarray:
    whole, rest = divmod(by, 64)
    kept = np.zeros_like(bits)
    last = max(bits.shape[1] - whole, 0)
    kept[:, :last] = bits[:, whole:] >> np.uint64(rest)
    if rest:
        kept[:, : max(last - 1, 0)] |= bits[:, whole + 1 :] << np.uint64(64 - rest)
    kept &= bits
    return kept


def _with_columns_beside(bits: np.ndarray, by: int) -> np.ndarray:
    return bits[..., :-by] & bits[..., by:]


def _down(bits: np.ndarray, by: int) -> np.ndarray:
    whole, rest = divmod(by, 64)
    moved = np.zeros_like(bits)
    last = max(bits.shape[1] - whole, 0)
    moved[:, whole:] = bits[:, :last] << np.uint64(rest)
    if rest:
        moved[:, whole + 1 :] |= bits[:, : max(last - 1, 0)] >> np.uint64(64 - rest)
    return moved


def _pixels(bits: np.ndarray) -> np.ndarray:
    return np.bitwise_count(bits).sum(axis=(1, 2), dtype=np.int64)
