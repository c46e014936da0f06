"""Agreement of two unions of masks, and of their outlines."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from src.formats.prepared import Rle
from src.judging.mask_runs import mask_runs, run_bits
from src.matching.unions import union_of

WIDTH = 0.02  # of the band along an outline, as a part of the image's diagonal
TOGETHER = 1 << 16  # words of 64 pixels that are worked on at once


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
    steps, count = boundary_width(*size), len(images)
    kinds = (0, 1, 2) if any(len(masks.ignored) for masks in images) else (0, 1)
    bits = _union_bits([masks[kind] for kind in kinds for masks in images], size)
    inside = slice(steps, max(size[1] - steps, steps))  # where a core can be
    unions, ignored = bits[: 2 * count], bits[2 * count :]
    cores = _eroded(unions, steps)
    if len(ignored):
        cores &= ~np.concatenate([ignored, ignored])[..., inside]
        unions &= ~np.concatenate([ignored, ignored])
    predicted, truth = unions[:count], unions[count:]
    predicted_core, truth_core = cores[:count], cores[count:]
    areas = [*_pixels(unions).reshape(2, -1), _pixels(predicted & truth)]
    of_one = _pixels(predicted_core & truth[..., inside])
    of_one += _pixels(predicted[..., inside] & truth_core)
    of_both = of_one - _pixels(predicted_core & truth_core)
    cored = [*_pixels(cores).reshape(2, -1), of_both]
    return np.array([*areas, *(a - b for a, b in zip(areas, cored, strict=True))])


def _union_bits(images: Sequence[Sequence[Rle]], size: tuple[int, int]) -> np.ndarray:
    """Set the bits of the union of the masks of each image, as `run_bits` does."""
    owner = np.repeat(np.arange(len(images)), [len(masks) for masks in images])
    mask, start, stop = mask_runs([rle for masks in images for rle in masks])
    image = owner[mask]
    bits = run_bits(image, start, stop, len(images), size)
    # Where no masks overlap, what an odd number of them covers is what one of them does.
    areas = np.bincount(image, weights=stop - start, minlength=len(images))
    for place in np.flatnonzero(_pixels(bits) != areas).tolist():
        of_union, start, stop = mask_runs([union_of(images[place])])
        bits[place] = run_bits(of_union, start, stop, 1, size)[0]
    return bits


def _eroded(bits: np.ndarray, steps: int) -> np.ndarray:
    """Erode by so many steps, but for as many columns at both ends, which are left out.

    Each round makes a window of ones twice as long, up to 2 * steps + 1.
    """
    lengths = [1]
    while lengths[-1] < 2 * steps + 1:
        lengths.append(min(2 * lengths[-1], 2 * steps + 1))
    grown = [high - low for low, high in pairwise(lengths)]
    bits = bits.copy()
    for by in grown:
        _keep_if_below(bits, by)
    bits = _down(bits, steps)
    for by in grown:
        bits = bits[..., :-by] & bits[..., by:]
    return bits


def _keep_if_below(bits: np.ndarray, by: int) -> None:
    """Clear the bits that have none so many rows below."""
    whole, rest = divmod(by, 64)
    last = max(bits.shape[1] - whole, 0)
    below = bits[:, whole:] >> np.uint64(rest)
    if rest:
        below[:, :-1] |= bits[:, whole + 1 :] << np.uint64(64 - rest)
    bits[:, :last] &= below
    bits[:, last:] = 0


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
