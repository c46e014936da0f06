"""Pairs of images that show the same, turned or mirrored, compressed anew, brighter or darker."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np

from src.duplicates.local_difference import Details, agree_everywhere, unmeasured_details
from src.duplicates.perceptual_hash import FINE, SIDE, VIEW_COUNT, follow, is_blank, undo, view
from src.duplicates.union_find import find, unite

CHUNK_BITS = 16
CHUNKS = 4  # of a hash
QUERIES = 256  # looked up together; more would leave the cache
CANDIDATES = 2**21  # compared together, to bound memory
PAIRS = 4096  # of thumbnails, likewise
JOINED = 512  # candidates compared before it is asked anew which of the others are joined already
CONTRAST = 50  # grey levels, the standard deviation thumbnails are brought to
COLLAPSED = 0.25  # of the differences allowed; images of one hash that close are taken for one
STEPS = 8  # of a grey level, which differences are told in; 16 bits hold the largest


class Pairs(NamedTuple):
    """Near-duplicates, sorted by first, then second."""

    first: np.ndarray  # int64 (P,), numbers of images
    second: np.ndarray  # int64 (P,), above first
    view: np.ndarray  # int64 (P,), 0..7, turns the first into the second
    distance: np.ndarray  # int64 (P,), bits
    difference: np.ndarray  # float64 (P,), grey levels


def find_pairs(
    thumbnails: np.ndarray,
    hashes: np.ndarray,
    *,
    distance: int,
    difference: float,
    local_difference: float = 0.4,
    finer: np.ndarray | None = None,
) -> Pairs:
    """Find near-duplicates among images.

    Two images are near-duplicates if, in one of the eight views, their hashes differ in few bits
    and their thumbnails in few grey levels once both have the same mean and contrast, on average
    and in the worst place (`agree_everywhere`). Equal hashes are collapsed first, and pairs that
    earlier ones join already are left out.

    Mean differences obey the triangle inequality: what is near to a copy of an image is nearly as
    near to the image, which is why collapsing copies may miss pairs only just below `difference`.
    Of copies that are collapsed the worst places differ by so much less, too.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (N, SIDE, SIDE)
        Of `shrink`; N may be 0. Blank ones (`is_blank`) are never paired.
    hashes : ndarray of uint64, shape (N, VIEW_COUNT)
        Of `hash_views`.
    distance : int
        Bits, of 64, at least 0.
    difference : float
        Mean absolute difference, in grey levels at a contrast (standard deviation) of `CONTRAST`.
    local_difference : float
        Of the worst place, in ranges of the detail around it; 0 looks at the mean alone.
    finer : ndarray of uint8, shape (N, FINE, FINE), or None
        Of `shrink_twice`, in which worst places are looked for; None: the thumbnails, enlarged,
        which show less of small objects.

    Returns
    -------
    pairs : Pairs
        Just enough to join each cluster. With a `local_difference` of 0 all images are joined that
        a comparison of all pairs would join with (1 - `COLLAPSED`) * `difference`; none ever that
        it would not join.
    """
    shown = np.flatnonzero(~is_blank(thumbnails))
    details = None
    if local_difference > 0:
        if finer is None:
            finer = thumbnails.repeat(FINE // SIDE, axis=1).repeat(FINE // SIDE, axis=2)
        contrasts = CONTRAST / thumbnails[shown].std((1, 2))
        details = unmeasured_details(finer[shown], contrasts)
    hashes, even = hashes[shown], _even(thumbnails[shown])
    alike = partial(_alike, even, details, difference=difference, local=local_difference)
    leaders, found = _collapse(hashes, partial(alike, scale=COLLAPSED))
    parents = np.arange(len(shown))
    for query, hit in near_hashes(hashes[leaders].ravel(), hashes[leaders, 0], distance):
        leader, turn = np.divmod(query, VIEW_COUNT)
        once = leader < hit
        first, second, turn = leaders[leader[once]], leaders[hit[once]], turn[once]
        found += _join(parents, first, second, turn, alike)
    first, second = np.array(sorted(found), np.int64).reshape(-1, 2).T
    turn, bits, gaps = _best_views(even, hashes, first, second, distance, alike)
    return Pairs(shown[first], shown[second], turn, bits, gaps)


def near_hashes(
    queries: np.ndarray, hashes: np.ndarray, distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Find all hashes within a distance of queries, without comparing all with all.

    Hashes are cut into four chunks. Where two differ in few bits, at least one chunk differs in at
    most a fourth as many: it is looked up with so many bits changed, in every way.

    Parameters
    ----------
    queries : ndarray of uint64, shape (Q,)
    hashes : ndarray of uint64, shape (N,)
    distance : int
        Bits, at least 0.

    Yields
    ------
    query, hash : ndarray of int64, shape (P,)
        Numbers of a query and of a hash near it, every such pair once, some of them at a time.
    """
    radii = [(distance + 1 + CHUNKS - 1 - c) // CHUNKS - 1 for c in range(CHUNKS)]
    chunks = hashes.view(np.uint16).reshape(-1, CHUNKS)
    orders = [np.argsort(chunks[:, c], kind="stable") for c in range(CHUNKS)]
    bounds = [_bounds(chunks[orders[c], c]) for c in range(CHUNKS)]
    flips = [_flips(radius) for radius in radii]
    for start in range(0, len(queries), QUERIES):
        block = queries[start : start + QUERIES]
        for c in range(CHUNKS):
            keys = block.view(np.uint16).reshape(-1, CHUNKS)[:, c, None] ^ flips[c]
            keys = keys.ravel().astype(np.int64)
            for rows, places in _ranges(bounds[c][keys], bounds[c][keys + 1]):
                rows //= len(flips[c])
                near = _near_first_in(block, hashes, rows, orders[c][places], distance, radii[:c])
                if len(near[0]):
                    yield near[0] + start, near[1]


def _near_first_in(block, hashes, rows, numbers, distance, radii) -> tuple[np.ndarray, np.ndarray]:
    """Keep the candidates that are near and that no earlier chunk, with its radius, has found."""
    apart = block[rows] ^ hashes[numbers]
    near = np.bitwise_count(apart) <= distance
    apart, rows, numbers = apart[near], rows[near], numbers[near]
    bits = np.bitwise_count(apart.view(np.uint16).reshape(-1, CHUNKS)[:, : len(radii)])
    new = (bits > np.array(radii, np.int64)).all(axis=1)
    return rows[new], numbers[new]


def _flips(radius: int) -> np.ndarray:
    """Return all chunks with at most `radius` bits set, uint16; none for -1."""
    ones = [1 << bit for bit in range(CHUNK_BITS)]
    return np.array([sum(c) for k in range(radius + 1) for c in combinations(ones, k)], np.uint16)


def _bounds(chunks: np.ndarray) -> np.ndarray:
    """Return where each value begins among sorted chunks, and where the last one ends."""
    return np.searchsorted(chunks, np.arange(2**CHUNK_BITS + 1))


def _ranges(starts: np.ndarray, stops: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Write ranges out as the number of the range and the place in it, so many at a time."""
    filled = np.flatnonzero(stops > starts)
    ends = np.cumsum((stops - starts)[filled])
    while len(filled):
        take = max(1, int(np.searchsorted(ends, CANDIDATES, side="right")))
        some, count = filled[:take], ends[take - 1]
        lengths, shifts = stops[some] - starts[some], stops[some] - ends[:take]
        yield np.repeat(some, lengths), np.arange(count) + np.repeat(shifts, lengths)
        filled, ends = filled[take:], ends[take:] - count


def _collapse(hashes, alike) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Compare images that have one hash, in some view, with the first of them.

    Returns the images to search with, int64, sorted, and the pairs found.
    """
    views, least = hashes.argmin(axis=1), hashes.min(axis=1)
    _, firsts, numbers = np.unique(least, return_index=True, return_inverse=True)
    first = firsts[numbers]
    turn = follow(views[first], undo(views))
    copies = np.flatnonzero(first != np.arange(len(first)))
    copies = copies[alike(first[copies], copies, turn[copies])]
    found = zip(first[copies].tolist(), copies.tolist(), strict=True)
    return np.setdiff1d(np.arange(len(first)), copies), list(found)


def _join(parents, first, second, turn, alike) -> list[tuple[int, int]]:
    """Compare those candidates that nothing joins yet, and join the alike ones."""
    found = []
    for start in range(0, len(first), PAIRS):
        some = slice(start, start + PAIRS)
        a, b, turns = first[some], second[some], turn[some]
        while len(a):
            apart = find(parents, a) != find(parents, b)
            a, b, turns = a[apart], b[apart], turns[apart]
            near = alike(a[:JOINED], b[:JOINED], turns[:JOINED])
            pairs = zip(a[:JOINED][near].tolist(), b[:JOINED][near].tolist(), strict=True)
            found += [pair for pair in pairs if unite(parents, *pair)]
            a, b, turns = a[JOINED:], b[JOINED:], turns[JOINED:]
    return found


def _best_views(even, hashes, first, second, distance, alike):
    """Return view, bits and difference of pairs, in the most alike of the views that are near."""
    bits = np.bitwise_count(hashes[first] ^ hashes[second, :1]).astype(np.int64)
    pair, turn = np.nonzero(bits <= distance)
    near = alike(first[pair], second[pair], turn)
    pair, turn = pair[near], turn[near]
    gaps = np.full(bits.shape, np.inf)
    gaps[pair, turn] = _differences(even, first[pair], second[pair], turn)
    best = gaps.argmin(axis=1)[:, None]
    columns = best, np.take_along_axis(bits, best, 1), np.take_along_axis(gaps, best, 1)
    return [column[:, 0] for column in columns]


def _alike(
    even, details: Details | None, first, second, turn, *, difference, local, scale=1.0
) -> np.ndarray:
    """Tell which pairs differ by `scale` of what is allowed at most, bool (P,)."""
    near = _differences(even, first, second, turn) <= scale * difference
    if details is not None:
        left = np.flatnonzero(near)
        few = first[left], second[left], turn[left]
        near[left] = agree_everywhere(details, *few, local, scale)
    return near


def _differences(even, first, second, turn) -> np.ndarray:
    """Return by how many grey levels, float64 (P,), pairs differ under their views."""
    steps = np.empty(len(first), np.int64)
    for number in range(VIEW_COUNT):
        rows = np.flatnonzero(turn == number)
        for start in range(0, len(rows), PAIRS):
            some = rows[start : start + PAIRS]
            apart = view(even[first[some]], number) - even[second[some]]
            steps[some] = np.abs(apart, out=apart).sum((1, 2), dtype=np.int32)
    return steps / (SIDE * SIDE * STEPS)


def _even(thumbnails: np.ndarray) -> np.ndarray:
    """Bring thumbnails that are not blank to mean 0 and one contrast: int16, in steps."""
    even = np.empty(thumbnails.shape, np.int16)
    count = SIDE * SIDE
    for start in range(0, len(even), PAIRS):
        grey = thumbnails[start : start + PAIRS].astype(np.int64)
        total = grey.sum((1, 2), keepdims=True)
        spread = np.sqrt(count * (grey**2).sum((1, 2), keepdims=True) - total**2)
        even[start : start + PAIRS] = np.rint((count * grey - total) * (CONTRAST * STEPS / spread))
    return even
