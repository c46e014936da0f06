"""64 bits that tell what a picture shows, for it and its eight mirrored and turned views at once.

Everything is computed in whole numbers, so the views of an image have exactly the hashes of its
mirrored and turned copies, and they are the same on every machine.
"""

from functools import lru_cache

import numpy as np

SIDE = 32  # px, of a thumbnail
FINE = 2 * SIDE  # px, of a finer one
FREQUENCIES = 9  # of the cosine transform, along either side
PRECISION = 1024  # the cosines are whole multiples of one over this
BLANK = 1.5  # grey levels; detail up to this is noise and rounding
VIEW_COUNT = 8
BLOCK = 4096  # thumbnails hashed together, to bound memory


def shrink(image: np.ndarray) -> np.ndarray:
    """Average an image over the cells of a square grid.

    A cell takes of each pixel the share that lies in it, so any size will do; what is not square
    is squeezed. A mirrored or turned image gives the mirrored or turned thumbnail, to the bit.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        Grey, from 1 x 1 px.

    Returns
    -------
    thumbnail : ndarray of uint8, shape (SIDE, SIDE)
    """
    return shrink_twice(image)[0]


def shrink_twice(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average an image over a grid as `shrink` does, and over one of half as large cells.

    Returns
    -------
    thumbnail : ndarray of uint8, shape (SIDE, SIDE)
    finer : ndarray of uint8, shape (FINE, FINE)
    """
    height, width = image.shape
    if height > width:
        thumbnail, finer = shrink_twice(image.T)
        return thumbnail.T, finer.T
    # whole numbers: below 2**24 while the shorter side is below 2**16, then below 2**53
    rows = _shares(height).astype(np.float32) @ image.astype(np.float32)
    cells = rows.astype(np.float64) @ _shares(width).T
    wider = cells.reshape(SIDE, 2, SIDE, 2).sum((1, 3)) / 4
    thumbnail, finer = (np.rint(c / (height * width)).astype(np.uint8) for c in (wider, cells))
    return thumbnail, finer


def view(images: np.ndarray, number: int) -> np.ndarray:
    """Return a view of images (..., H, W): mirrored left to right if `number` is odd, then turned.

    `number` // 2 counts the quarter turns, as in the views "d4" of `src.predicting.views`.
    """
    return np.rot90(images[..., ::-1] if number % 2 else images, number // 2, (-2, -1))


def undo(number):
    """Return the number of the view that undoes view `number` (int, or an array of them)."""
    return np.where(np.asarray(number) % 2, number, (VIEW_COUNT - number) % VIEW_COUNT)


def follow(first, second):
    """Return the number of the view that is `first` and then `second` (ints, or arrays)."""
    first, second = np.asarray(first), np.asarray(second)
    turns = second // 2 + np.where(second % 2, -(first // 2), first // 2)
    return turns % 4 * 2 + (first + second) % 2


def hash_views(thumbnails: np.ndarray) -> np.ndarray:
    """Hash the eight views of thumbnails.

    The bits are the signs of the 64 lowest frequencies of the discrete cosine transform, the mean
    left out. It is computed once: to mirror an image is to negate its odd frequencies, to
    transpose it is to transpose them, and every view is made of these.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (N, SIDE, SIDE)
        N may be 0.

    Returns
    -------
    hashes : ndarray of uint64, shape (N, VIEW_COUNT)
        Column v is the hash of `view(thumbnails, v)`; brighter or darker images, and those with
        more or less contrast, have the same hashes but for rounding. The least of a row is the
        same for all views of an image. What `is_blank` tells should not be compared.
    """
    hashes = np.empty((len(thumbnails), VIEW_COUNT), np.uint64)
    cosines = _cosines()
    sign = 1 - np.arange(FREQUENCIES) % 2 * 2
    down, across = np.indices((FREQUENCIES, FREQUENCIES))
    low = np.maximum(down, across) < FREQUENCIES - 1
    low[0, 0], low[-1, -1] = False, True  # 63 of a square, and one more that is symmetric
    for start in range(0, len(hashes), BLOCK):
        grey = thumbnails[start : start + BLOCK].astype(np.float64)
        waves = cosines @ grey @ cosines.T  # whole numbers below 2**39: exact
        for number in range(VIEW_COUNT):
            turned = waves * sign if number % 2 else waves
            for _ in range(number // 2):
                turned = (turned * sign).swapaxes(-2, -1)
            packed = np.packbits(turned[:, low] > 0, axis=1)
            bits = np.ascontiguousarray(packed).view(">u8")[:, 0]
            hashes[start : start + BLOCK, number] = bits
    return hashes


def is_blank(thumbnails: np.ndarray) -> np.ndarray:
    """Tell which thumbnails (N, SIDE, SIDE) show nothing: bool (N,).

    Sky, water, snow or missing data: the standard deviation of what is left when an even slope of
    brightness is taken off is `BLANK` at most. Hashes of such images are noise.
    """
    place, count = np.arange(1 - SIDE, SIDE, 2), SIDE * SIDE
    rows, columns = thumbnails.sum(2, dtype=np.int64), thumbnails.sum(1, dtype=np.int64)
    slope = ((rows @ place) ** 2 + (columns @ place) ** 2) / (SIDE * (place**2).sum())
    squares = np.einsum("nij,nij->n", thumbnails, thumbnails, dtype=np.int64)
    return squares - rows.sum(1) ** 2 / count - slope <= count * BLANK**2


@lru_cache(maxsize=8)  # images of a data set are of few sizes
def _shares(size: int) -> np.ndarray:
    """Tell how much of each pixel, in 1 / FINE, lies in each cell: float64 (FINE, size)."""
    edges = np.arange(FINE + 1.0)[:, None] * size
    before = edges - np.arange(size) * FINE
    return np.diff(np.clip(before, 0, FINE, out=before), axis=0)


def _cosines() -> np.ndarray:
    """Return the cosine transform, float64 (FREQUENCIES, SIDE), its symmetries exact."""
    place = 2 * np.arange(SIDE // 2) + 1
    frequency = np.arange(FREQUENCIES)[:, None]
    half = np.rint(PRECISION * np.cos(np.pi * place * frequency / (2 * SIDE)))
    return np.concatenate([half, half[:, ::-1] * (1 - frequency % 2 * 2)], axis=1)
