"""Run-length encoding (COCO's: column-major, starting with background) of whole label maps."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from pycocotools import mask as coco_mask

from src.objects.label_runs import Runs

GROUP_LIMITS = 2 ** (4 + 5 * np.arange(7))  # from there on a number needs one more group


class EncodedObjects(NamedTuple):
    """The N objects of a label map, ordered by label."""

    labels: np.ndarray  # (N,) int64
    rles: list[dict[str, Any]]  # N of {"size": [H, W], "counts": str}, compressed
    areas: np.ndarray  # (N,) int64, px
    boxes: np.ndarray  # (N, 4) int64, XYWH in px


def encode_instances(instances: np.ndarray) -> EncodedObjects:
    """Encode every object of a label map in one pass over its runs.

    Parameters
    ----------
    instances : ndarray of unsigned integers, shape (H, W)
        0 is background, any other value labels one object; labels need not be contiguous.

    Returns
    -------
    objects : EncodedObjects
        Empty for a map without objects. Each RLE is byte for byte what pycocotools' `encode`
        makes of that object's mask.

    Raises
    ------
    ValueError
        If `instances` is not a 2-D unsigned integer array.
    """
    if instances.ndim != 2 or instances.dtype.kind != "u":
        raise ValueError(f"instances must be 2-D unsigned, got {instances.dtype} {instances.shape}")
    height, width = instances.shape
    columns = instances.ravel(order="F")
    starts = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    starts = np.concatenate([np.zeros(min(columns.size, 1), np.int64), starts])
    stops = np.append(starts[1:], columns.size)
    run_labels = columns[starts]
    order = np.flatnonzero(run_labels)
    order = order[np.argsort(run_labels[order], kind="stable")]
    starts, stops, run_labels = starts[order], stops[order], run_labels[order].astype(np.int64)
    labels, first = np.unique(run_labels, return_index=True)
    if not labels.size:
        return EncodedObjects(labels, [], labels.copy(), np.empty((0, 4), np.int64))
    areas = np.add.reduceat(stops - starts, first)
    boxes = _boxes(starts, stops, first, height)
    texts = _texts(starts, stops, first, columns.size)
    rles = [{"size": [height, width], "counts": text} for text in texts]
    return EncodedObjects(labels, rles, areas, boxes)


def encode_columns(columns: Runs, height: int, width: int) -> list[str]:
    """Encode objects of which the runs along columns are known.

    Parameters
    ----------
    columns : Runs
        From `src.objects.label_runs.column_runs`.
    height, width : int
        Of a layer, px.

    Returns
    -------
    counts : list of str
        Of each object; with its size the RLE that `encode_instances` makes of it.
    """
    if not len(columns.first):
        return []
    starts = columns.line * height + columns.start
    stops = starts + columns.stop - columns.start
    joins = starts[1:] == stops[:-1]  # a run through the bottom goes on in the next column
    joins &= columns.object[1:] == columns.object[:-1]
    begins, ends = np.append(True, ~joins), np.append(~joins, True)
    first = np.flatnonzero(np.diff(columns.object[begins], prepend=-1))
    return _texts(starts[begins], stops[ends], first, height * width)


def _texts(starts: np.ndarray, stops: np.ndarray, first: np.ndarray, pixels: int) -> list[str]:
    """Write the runs of objects, the first of each told, in maps of so many pixels."""
    gaps = starts - np.concatenate([[0], stops[:-1]])
    gaps[first] = starts[first]  # an object's first gap reaches from the first pixel
    rest = pixels - stops[np.append(first[1:], len(stops)) - 1]
    counts = np.stack([gaps, stops - starts], axis=1).ravel()
    ends = np.append(2 * first[1:], len(counts))
    # No background run follows an object that holds the last pixel.
    counts = np.insert(counts, ends[rest > 0], rest[rest > 0])
    ends += np.cumsum(rest > 0)
    return _compress(counts, ends)


def decode(rle: Mapping[str, Any]) -> np.ndarray:
    """Return the mask, bool (H, W), of a compressed RLE ({"size": [H, W], "counts": str})."""
    return coco_mask.decode(cast("Any", rle)).astype(bool)


def crop_mask(rle: Mapping[str, Any]) -> tuple[np.ndarray, int, int]:
    """Decode an object within its box, in a time that does not depend on the size of its image.

    Parameters
    ----------
    rle : mapping
        Compressed, {"size": [H, W], "counts": str}.

    Returns
    -------
    mask : ndarray of bool, shape (h, w)
        (0, 0) of an object without pixels.
    x, y : int
        Column and row of its upper left pixel in the image.
    """
    x, y, width, height = coco_mask.toBbox(cast("Any", rle)).astype(int).tolist()
    rows = rle["size"][0]
    if height == rows or not height:  # a run may go on in the next column
        return np.ascontiguousarray(decode(rle)[y : y + height, x : x + width]), x, y
    ends = np.cumsum(_run_lengths(rle["counts"]))
    starts, stops = ends[: len(ends) // 2 * 2].reshape(-1, 2).T
    filled = starts < stops
    column, first = np.divmod(starts[filled], rows)
    begins_and_ends = np.zeros((width, height + 1), np.int8)
    begins_and_ends[column - x, first - y] += 1
    begins_and_ends[column - x, first - y + (stops - starts)[filled]] -= 1
    inside = np.cumsum(begins_and_ends[:, :-1], axis=1, dtype=np.int8)
    return np.ascontiguousarray(inside.T.astype(bool)), x, y


def _boxes(starts: np.ndarray, stops: np.ndarray, first: np.ndarray, height: int) -> np.ndarray:
    left, right = starts // height, (stops - 1) // height
    crosses = left != right  # a run through the bottom goes on at the top of the next column
    top = np.where(crosses, 0, starts % height)
    bottom = np.where(crosses, height - 1, (stops - 1) % height)
    x, y = np.minimum.reduceat(left, first), np.minimum.reduceat(top, first)
    right, bottom = np.maximum.reduceat(right, first), np.maximum.reduceat(bottom, first)
    return np.stack([x, y, right - x + 1, bottom - y + 1], axis=1)


def _run_lengths(text: str | bytes) -> np.ndarray:
    """Read the run lengths of one object, int64; the inverse of `_compress`."""
    content = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8)
    groups = content.astype(np.int64) - 48
    last = np.flatnonzero(groups & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((groups & 31) << (5 * place), first)
    values -= np.where(groups[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _compress(counts: np.ndarray, ends: np.ndarray) -> list[str]:
    """Write run lengths, those of one object after those of the other, each up to `ends`.

    From an object's fourth run on a length is the difference to the last but one. A number is
    written in groups of 5 bits, lowest first, in characters from '0' on; bit 6 of a character tells
    that more follow, which ends where the rest is only the sign of the last group.
    """
    begins = np.concatenate([[0], ends[:-1]])
    place = np.arange(len(counts)) - np.repeat(begins, ends - begins)
    values = counts.copy()
    values[2:] -= np.where(place[2:] > 2, counts[:-2], 0)
    magnitude = np.where(values < 0, ~values, values)
    groups = np.searchsorted(GROUP_LIMITS, magnitude, side="right") + 1
    last = np.cumsum(groups)
    text = np.repeat(values, groups)
    step = np.arange(int(last[-1])) - np.repeat(last - groups, groups)
    text = (text >> (5 * step)) & 31
    text |= 32
    text[last - 1] ^= 32
    characters = (text + 48).astype(np.uint8).tobytes().decode()
    marks = [0, *last[ends - 1].tolist()]
    return [characters[i:j] for i, j in pairwise(marks)]
