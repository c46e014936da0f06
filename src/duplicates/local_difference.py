"""Whether two pictures agree in their worst part too, and not only on average.

Scenes with a common background (cells on black, parts on a jig, a fixed camera) differ in a few
places alone: their mean difference is small, though they are other pictures. Here each place of a
thumbnail is judged by what lies around it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from src.duplicates.perceptual_hash import FINE, VIEW_COUNT, view

GROUND = 17  # px of FINE; what is wider, such as uneven light, is no detail
AROUND = 13  # px, of the window whose range of detail a difference is measured by
LEVEL = 16.0  # grey levels of even thumbnails; differences up to this are none
NOISE = 8.0  # grey levels of the image itself, likewise: sensors and compression
RICH = 0.5  # share of places that show detail, from which on an image is given full play
RISE = 3  # of play with that share: a power, so that little detail gives next to none
PLAY = 0.5  # of the limit, by which rich images may differ more
CELLS = 8  # along either side, which bounds of detail are kept for
STEPS = 64  # of a grey level; 16 bits hold it
PAIRS = 512  # judged together by their bounds
CLOSE = 32  # looked at closely together; more would leave the cache


class Details(NamedTuple):
    """Thumbnails, and what is known of their details; each is measured when it is first needed."""

    thumbnails: np.ndarray  # uint8 (N, FINE, FINE), grey levels
    contrasts: np.ndarray  # float32 (N,), which grey levels are multiplied by to be compared
    shares: np.ndarray  # float32 (N,), of the places that show detail; NaN: not yet measured
    # float32 (N, 5, CELLS, CELLS): most of detail, of detail around and of range in each cell,
    # least of detail around and of detail
    bounds: np.ndarray


def unmeasured_details(thumbnails: np.ndarray, contrasts: np.ndarray) -> Details:
    """Hold thumbnails for `agree_everywhere`.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (N, FINE, FINE)
        N may be 0.
    contrasts : ndarray of float, shape (N,)
        Which grey levels are multiplied by to be compared, above 0.
    """
    count = len(thumbnails)
    shares = np.full(count, np.nan, np.float32)
    bounds = np.empty((count, 5, CELLS, CELLS), np.float32)
    return Details(thumbnails, contrasts.astype(np.float32), shares, bounds)


def agree_everywhere(
    details: Details,
    first: np.ndarray,
    second: np.ndarray,
    turn: np.ndarray,
    limit: float,
    scale: float = 1.0,
) -> np.ndarray:
    """Tell which pairs of thumbnails agree in every place.

    Detail is the grey level less the mean around it. A place may differ by `limit` times the range
    of detail around it, of the image that has more, and by `LEVEL` and `NOISE` in any case.

    The fewer places show detail, the less they prove: two cells at one place on black are no copies
    yet, textures that agree all over are. So play grows with the share of places that show detail,
    of the image that has fewer, up to `RICH`: in full play `limit` is larger by `PLAY`, and what
    lies between a place and the next one's detail is no difference at all.

    Parameters
    ----------
    details : Details
    first, second : ndarray of int, shape (P,)
        Numbers of thumbnails; P may be 0.
    turn : ndarray of int, shape (P,)
        0..7, the view that turns the first into the second.
    limit : float
        Above 0.
    scale : float
        From 0 to 1; all tolerances are multiplied by it.

    Returns
    -------
    agree : ndarray of bool, shape (P,)
    """
    agree = np.empty(len(first), bool)
    for start in range(0, len(first), PAIRS):
        some = slice(start, start + PAIRS)
        _measure(details, np.unique([first[some], second[some]]))
        agree[some] = _agree(details, first[some], second[some], turn[some], limit, scale)
    return agree


def _measure(details: Details, numbers: np.ndarray) -> None:
    """Measure those that are not yet."""
    numbers = numbers[np.isnan(details.shares[numbers])]
    contrasts = details.contrasts[numbers]
    planes = _planes(details.thumbnails[numbers], contrasts)
    floors = np.maximum(LEVEL, NOISE * contrasts)[:, None, None]
    details.shares[numbers] = (planes[:, 1] - planes[:, 2] > floors).mean((1, 2))
    cells = planes.reshape(-1, 4, CELLS, FINE // CELLS, CELLS, FINE // CELLS)
    most, least = cells.max((3, 5)), cells[:, [2, 0]].min((3, 5))
    details.bounds[numbers] = np.concatenate([most[:, [0, 1, 3]], least], axis=1)


def _agree(details, first, second, turn, limit, scale) -> np.ndarray:
    contrast = np.maximum(details.contrasts[first], details.contrasts[second])
    floors = scale * np.maximum(LEVEL, NOISE * contrast)[:, None, None]
    shares = np.minimum(details.shares[first], details.shares[second])
    play = scale * np.minimum(shares / RICH, 1)[:, None, None] ** RISE
    limits = scale * limit * (1 + PLAY * play)

    top, roof, span, ground, low = np.moveaxis(_turned(details.bounds, first, turn), 1, 0)
    other_top, other_roof, other_span, other_ground, other_low = np.moveaxis(
        details.bounds[second], 1, 0
    )
    room = np.maximum(floors, limits * np.maximum(span, other_span))
    apart = np.maximum(top - other_roof, other_top - roof)
    apart = np.maximum(apart, np.maximum(other_ground - low, ground - other_low))
    agree = (apart <= room).all((1, 2))  # what differs even so need not be looked at closely

    left = np.flatnonzero(agree)
    for start in range(0, len(left), CLOSE):
        some = left[start : start + CLOSE]
        numbers, places = np.unique([first[some], second[some]], return_inverse=True)
        planes = _planes(details.thumbnails[numbers], details.contrasts[numbers])
        one, other = _turned(planes, places[0], turn[some]), planes[places[1]]
        room = np.maximum(one[:, 3], other[:, 3])
        room = np.maximum(floors[some], limits[some] * room)
        apart = np.maximum(_outside(one, other, play[some]), _outside(other, one, play[some]))
        agree[some] = (apart <= room).all((1, 2))
    return agree


def _outside(one: np.ndarray, other: np.ndarray, play: np.ndarray) -> np.ndarray:
    """Tell how far the detail of one lies outside of what the other shows: (P, FINE, FINE)."""
    detail, most, least = other[:, 0], other[:, 1], other[:, 2]
    above = one[:, 0] - (detail + play * (most - detail))
    below = detail - play * (detail - least) - one[:, 0]
    return np.maximum(above, below, out=above)


def _turned(planes: np.ndarray, numbers: np.ndarray, turn: np.ndarray) -> np.ndarray:
    turned = np.empty((len(numbers), *planes.shape[1:]), planes.dtype)
    for number in range(VIEW_COUNT):
        rows = turn == number
        turned[rows] = view(planes[numbers[rows]], number)
    return turned


def _planes(thumbnails: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Return detail, its most and least next to each place, and its range around it.

    Float32 (N, 4, FINE, FINE); whole numbers until the contrasts come in, so the same on every
    machine. All thumbnails are filtered as one tall image, each with its edges repeated.
    """
    count = len(thumbnails)
    if not count:
        return np.empty((0, 4, FINE, FINE), np.float32)
    edge = GROUND // 2
    grey = np.pad(thumbnails, ((0, 0), (edge, edge), (0, 0)), mode="edge").astype(np.int16) * STEPS
    tall = grey.reshape(-1, FINE)
    detail = tall - cv2.blur(tall, (GROUND, GROUND), borderType=cv2.BORDER_REPLICATE)
    inner = slice(edge, edge + FINE)
    detail = np.pad(
        detail.reshape(count, -1, FINE)[:, inner], ((0, 0), (edge, edge), (0, 0)), mode="edge"
    ).reshape(-1, FINE)
    near, wide = np.ones((3, 3), np.uint8), np.ones((AROUND, AROUND), np.uint8)
    planes = [detail, cv2.dilate(detail, near), cv2.erode(detail, near)]
    planes.append(cv2.dilate(detail, wide) - cv2.erode(detail, wide))
    stacked = np.stack([p.reshape(count, -1, FINE)[:, inner] for p in planes], axis=1)
    return stacked * (contrasts / STEPS)[:, None, None, None]
