"""Masks stored as image files, read exactly, and the objects in them as runs of pixels."""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from src.base.errors import InputError
from src.image_files.geotiff import as_shown, open_geotiff
from src.image_files.image_headers import tiff_header
from src.reading.records import ImageRecord, SourceObject
from src.reading.regions import MAX_OBJECTS, Region

FORMATS = ("PNG", "GIF", "BMP", "JPEG")  # read by Pillow; TIFF by GDAL
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_SIGNATURE, PNG_DEPTH, PNG_KIND = b"\x89PNG", 24, 25  # places of two bytes of its header
PNG_KINDS_OF_CHANNELS = (b"\2", b"\4", b"\6")  # colour, grey with alpha, colour with alpha
THRESHOLD = 128  # grey level from which a pixel of a JPEG mask is object
IDS_PER_IMAGE = 2**16  # truth ids set aside for each image
OPENCV_TYPES = {1: np.uint8, 2: np.uint16, 4: np.int32, 8: np.float64}  # by size in bytes
LOOKED_AT = 100  # values of a mask whose parts are counted
MAX_EXACT = 2**53  # from there on floating point numbers skip whole ones


class MaskLook(NamedTuple):
    """What a mask file shows."""

    binary: bool  # one value at most beside the background
    values: int  # beside the background
    parts: int  # connected parts, those of each value by themselves; of a binary mask not counted


class _Decoded(NamedTuple):
    """A mask file as it stores it."""

    values: np.ndarray  # (H, W) of any type, or uint8 RGB (H, W, 3)
    palette: np.ndarray | None  # (N, 3) uint8, the colours that the values stand for
    lossy: bool  # a JPEG, whose values are inexact
    shown: np.ndarray | None = None  # values as viewers show them, where 0 is white in the file


def read_binary_mask(
    path: Path, height: int, width: int, *, ignore_value: int | None = None
) -> np.ndarray:
    """Read a mask of two values: 0 or black is background, the other one object.

    Parameters
    ----------
    path : Path
        PNG, GIF, BMP, JPEG or TIFF of any depth; of several frames in a file the first. Alpha
        is ignored; of a palette the colours count, and of a TIFF file in which 0 is white what it
        shows. A JPEG is cut at grey level 128.
    height, width : int
        That the mask must have, in pixels.
    ignore_value : int, optional
        What `read_ignored` finds by it becomes background.

    Returns
    -------
    mask : ndarray of bool, shape (height, width)
        A mask of one value is all background if that is 0, else all object.

    Raises
    ------
    InputError
        With the reason alone: unreadable, of another size, more than two values, two of which
        none is 0, a number that is not finite.
    """
    return _binary(_without_ignored(_decode(path, (height, width)), ignore_value))


def read_ignored(path: Path, height: int, width: int, *, ignore_value: int) -> np.ndarray:
    """Tell which pixels of a mask have a value that stands for neither object nor background.

    Parameters
    ----------
    path : Path
        As for `read_binary_mask`; of a palette the indices count, of three channels each must
        have the value, and of a TIFF file in which 0 is white the numbers that it holds.
    height, width : int
        That the mask must have, in pixels.
    ignore_value : int
        The value.

    Returns
    -------
    ignored : ndarray of bool, shape (height, width)

    Raises
    ------
    InputError
        With the reason alone: unreadable, of another size, or a JPEG.
    """
    return _ignored(_decode(path, (height, width)), ignore_value)


def _ignored(decoded: _Decoded, ignore_value: int) -> np.ndarray:
    if decoded.lossy:
        raise InputError(
            "a JPEG mask, which does not keep the value of dataset.ignore_value; store it as PNG"
        )
    same = decoded.values == ignore_value
    return same.all(axis=2) if same.ndim == 3 else same


def _without_ignored(decoded: _Decoded, ignore_value: int | None) -> _Decoded:
    """Put background where pixels are ignored."""
    if ignore_value is None:
        return decoded
    ignored = _ignored(decoded, ignore_value)
    values, shown = np.array(decoded.values), decoded.shown
    values[ignored] = 0
    if shown is not None:
        shown = np.where(ignored, 0, shown)
    return decoded._replace(values=values, shown=shown)


def _binary(decoded: _Decoded) -> np.ndarray:
    values, palette, lossy, shown = decoded
    if lossy:
        return _cut(values)
    values = values if shown is None else shown
    coloured = palette is not None or values.ndim == 3
    if palette is not None:
        values = _colours(values, palette)
    elif coloured:
        values = _codes(values)
    _check_finite(values)
    filled = values != 0
    if filled.any():
        value = values.flat[filled.argmax()]
        others = filled & (values != value)
        if others.any():
            other = values.flat[others.argmax()]
            raise InputError(
                f"a mask with the values {_shown(value, coloured)} and {_shown(other, coloured)} "
                "beside the background's 0, not one for all objects; if one of them marks what is "
                "neither, set dataset.ignore_value to it"
            )
    return filled


def read_object_ids(
    path: Path, height: int, width: int, *, ignore_value: int | None = None
) -> np.ndarray:
    """Read a mask whose values are numbers of objects, 0 being background.

    Parameters
    ----------
    path : Path
        PNG, GIF, BMP or TIFF of any depth; of several frames in a file the first. Alpha is
        ignored; of a palette the indices count, not the colours, and of a TIFF file in which 0 is
        white the numbers that it holds. Of three channels the number is
        red + 256 green + 65536 blue.
    height, width : int
        That the mask must have, in pixels.
    ignore_value : int, optional
        What `read_ignored` finds by it becomes background.

    Returns
    -------
    ids : ndarray of unsigned integers, shape (height, width)
        As stored; grey levels of less than 8 bits are spread over 0..255.

    Raises
    ------
    InputError
        With the reason alone: unreadable, of another size, a JPEG, negative or fractional ids.
    """
    return _ids(_without_ignored(_decode(path, (height, width)), ignore_value))


def look_at_mask(path: Path, ignore_value: int | None = None) -> MaskLook:
    """Tell whether a mask of unknown meaning has two values, or more, and in how many parts.

    Parameters
    ----------
    path : Path
        A mask as `read_binary_mask` or `read_object_ids` takes it, of any size.
    ignore_value : int, optional
        As there.

    Returns
    -------
    look : MaskLook
        Of at most 100 values the parts are looked for, those that lie first in the order of
        numbers; `values` counts as many.

    Raises
    ------
    InputError
        With the reason alone, if it is neither.
    """
    decoded = _without_ignored(_decode(path, None), ignore_value)
    try:
        return MaskLook(True, int(_binary(decoded).any()), 0)
    except InputError:
        ids = _ids(decoded)
    from scipy.ndimage import find_objects  # not at the top: for this format alone

    values, places = np.unique(ids, return_inverse=True)
    places = places.reshape(ids.shape) + (values[0] != 0)  # 0 is background
    boxes = find_objects(places.astype(np.int32))[:LOOKED_AT]
    parts = [
        cv2.connectedComponents((places[box] == number).astype(np.uint8), connectivity=8)[0] - 1
        for number, box in enumerate(boxes, start=1)
    ]
    return MaskLook(False, len(parts), sum(parts))


def _ids(decoded: _Decoded) -> np.ndarray:
    values, _, lossy, _ = decoded
    if lossy:
        raise InputError("a JPEG mask, which does not keep object ids; store it as PNG or TIFF")
    if values.ndim == 3:
        return _codes(values)
    _check_finite(values)
    if values.dtype.kind == "f":
        unfit = (values != np.floor(values)) | (np.abs(values) >= MAX_EXACT)
        if unfit.any():
            raise InputError(
                f"a mask with the id {values.flat[unfit.argmax()]}, not a whole number"
            )
        values = values.astype(np.int64)
    if values.dtype.kind == "i":
        if values.min() < 0:
            raise InputError(f"a mask with the id {values.min()}, less than 0")
        values = values.astype(values.dtype.str.replace("i", "u"))
    return values


def label_regions(labels: np.ndarray) -> list[Region]:
    """Find the pixels of every object of a label map as runs.

    Parameters
    ----------
    labels : ndarray of bool or integers, shape (H, W)
        0 is background, any other value labels one object.

    Returns
    -------
    regions : list of Region
        By label, ascending; empty without objects.

    Raises
    ------
    InputError
        With the reason alone, if there are more than 65534 objects.
    """
    height = labels.shape[0]
    columns = cv2.transpose(labels.view(OPENCV_TYPES[labels.itemsize])).view(labels.dtype).ravel()
    starts = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    starts = np.concatenate([[0], starts])
    stops = np.append(starts[1:], columns.size)
    values = columns[starts]
    order = np.flatnonzero(values)
    order = order[np.argsort(values[order], kind="stable")]
    values, runs = values[order], np.stack([starts[order], stops[order]], axis=1)
    if not len(runs):
        return []
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    check_count(len(first))
    areas = np.add.reduceat(runs[:, 1] - runs[:, 0], first).tolist()
    boxes = _boxes(runs, first, height).tolist()
    parts = np.split(runs, first[1:])
    return [
        Region(part, area, tuple(box)) for part, area, box in zip(parts, areas, boxes, strict=True)
    ]


def component_regions(mask: np.ndarray) -> list[Region]:
    """Find the connected parts of a mask, each pixel having 8 neighbours, as runs.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        True where there is an object.

    Returns
    -------
    regions : list of Region
        By their first pixel, row for row; empty without objects.

    Raises
    ------
    InputError
        With the reason alone, if there are more than 65534 parts.
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    regions = label_regions(labels)
    rows = labels.ravel()
    values = rows[np.concatenate([[0], np.flatnonzero(rows[1:] != rows[:-1]) + 1])]
    _, first = np.unique(values[values > 0], return_index=True)
    return [regions[index] for index in np.argsort(first)]


def number_objects(
    record: ImageRecord, regions: list[Region], ignored: list[Region] | None = None
) -> list[SourceObject]:
    """Make objects of regions that have no ids of their own.

    Parameters
    ----------
    record : ImageRecord
        Of the image; its id is the upper part of `truth_id`, so that these differ in a split.
    regions : list of Region
        Numbered from 1 in this order.
    ignored : list of Region, optional
        Numbered after them: where there is neither object nor background.

    Raises
    ------
    InputError
        With the reason alone, if there are more than 65534.
    """
    everything = regions + (ignored or [])
    check_count(len(everything))
    return [
        SourceObject(
            number,
            record.image_id * IDS_PER_IMAGE + number,
            number > len(regions),
            None,
            region,
            False,
            void=number > len(regions),
        )
        for number, region in enumerate(everything, start=1)
    ]


def check_count(objects: int) -> None:
    """Refuse more objects than the labels of an image can number.

    Raises
    ------
    InputError
        With the reason alone.
    """
    if objects > MAX_OBJECTS:
        raise InputError(
            f"{objects} objects in one image, more than {MAX_OBJECTS}; cut it into tiles"
        )


def _boxes(runs: np.ndarray, first: np.ndarray, height: int) -> np.ndarray:
    """Bounding boxes XYWH of the objects whose runs begin at `first`."""
    start, last = runs[:, 0], runs[:, 1] - 1
    left, right = start // height, last // height
    crosses = left != right  # a run through the bottom goes on at the top of the next column
    top = np.where(crosses, 0, start % height)
    bottom = np.where(crosses, height - 1, last % height)
    x, y = np.minimum.reduceat(left, first), np.minimum.reduceat(top, first)
    right, bottom = np.maximum.reduceat(right, first), np.maximum.reduceat(bottom, first)
    return np.stack([x, y, right - x + 1, bottom - y + 1], axis=1)


def _decode(path: Path, size: tuple[int, int] | None) -> _Decoded:
    if not path.is_file():
        raise InputError("no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}") from None
    if not content:
        raise InputError("the file is empty (0 bytes)")
    with warnings.catch_warnings(action="ignore"):  # odd metadata; what matters is raised
        if content.startswith(TIFF_SIGNATURES):
            return _decode_tiff(content, size)
        return _decode_with_pillow(content, size)


def _decode_tiff(content: bytes, size: tuple[int, int] | None) -> _Decoded:
    with open_geotiff(content, damaged="damaged TIFF image") as source:
        _check_size(source.shape, size)
        kinds, bands = set(source.dtypes[:3]), source.count
        if bands > 4 or (bands > 2 and kinds != {"uint8"}) or "complex" in source.dtypes[0]:
            raise InputError(
                f"a TIFF mask of {source.dtypes[0]}, number of bands {bands}; "
                "store numbers in one, or a colour in three of uint8"
            )
        try:
            colours = source.colormap(1)
        except ValueError:  # there is none
            palette = None
        else:
            palette = np.array([colours[i][:3] for i in range(len(colours))], np.uint8)
        values = source.read([1, 2, 3]) if bands > 2 else source.read(1)
        shown = as_shown(values, source)
    pages = len(tiff_header(content).pages)
    if pages > 1:
        raise InputError(f"a TIFF mask of {pages} pages; store the masks of each image in one")
    turned = shown if palette is None and shown is not values else None
    return _Decoded(np.moveaxis(values, 0, -1) if bands > 2 else values, palette, False, turned)


def _decode_with_pillow(content: bytes, size: tuple[int, int] | None) -> _Decoded:
    if (
        content.startswith(PNG_SIGNATURE)
        and content[PNG_DEPTH : PNG_DEPTH + 1] == b"\x10"
        and content[PNG_KIND : PNG_KIND + 1] in PNG_KINDS_OF_CHANNELS
    ):
        raise InputError("a PNG mask of several channels of 16 bits; store one channel, or 8 bits")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size((image.height, image.width), size)
            image.load()
            lossy = image.format not in ("PNG", "GIF", "BMP")
            values = np.array(image.convert("L") if lossy else image)
            palette = image.getpalette("RGB") if image.mode in ("P", "PA") and not lossy else None
    except UnidentifiedImageError:
        raise InputError("neither a PNG, GIF, BMP, JPEG nor TIFF image") from None
    except Image.DecompressionBombError:
        of_image = f", the image has {size[0]}x{size[1]}" if size else ""
        raise InputError(f"too many pixels{of_image}") from None
    except InputError:
        raise
    except Exception as error:  # whatever a decoder chokes on: the image is not intact
        raise InputError(f"damaged image ({error})") from None
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.ndim == 3 and values.shape[2] in (2, 4) and not values[..., :-1].any():
        alpha = values[..., -1]
        if alpha.min() != alpha.max():
            raise InputError("a mask that is black all over and differs in its alpha alone")
    if values.ndim == 3:  # the last of two and of four is alpha
        values = values[..., 0] if values.shape[2] == 2 else values[..., :3]
    if palette is not None:
        palette = np.array(palette, np.uint8).reshape(-1, 3)
    return _Decoded(values, palette, lossy)


def _check_size(size: tuple[int, int], wanted: tuple[int, int] | None) -> None:
    if wanted is not None and tuple(size) != wanted:
        height, width = wanted
        raise InputError(
            f"the mask is {size[0]}x{size[1]} px (height x width), the image {height}x{width}"
        )


def _check_finite(values: np.ndarray) -> None:
    if values.dtype.kind == "f":
        unfit = ~np.isfinite(values)
        if unfit.any():
            raise InputError(f"a mask with the value {values.flat[unfit.argmax()]}")


def _cut(grey: np.ndarray) -> np.ndarray:
    """Mask of a JPEG; one that is dark all over but not black was meant otherwise."""
    brightest = int(grey.max())
    if 0 < brightest < THRESHOLD:
        raise InputError(
            f"a JPEG mask no brighter than {brightest}, objects begin at {THRESHOLD}; "
            "store it as PNG"
        )
    return grey >= THRESHOLD


def _codes(colours: np.ndarray) -> np.ndarray:
    """Return red + 256 green + 65536 blue, uint32, of RGB in the last axis."""
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return red | green << 8 | blue << 16


def _colours(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Codes of the colours that a palette gives to indices, (H, W)."""
    present = np.zeros(int(indices.max()) + 1, bool)
    for row in indices:
        present[row] = True
    if len(present) > len(palette):
        raise InputError(f"a mask with index {len(present) - 1} in a palette of {len(palette)}")
    table = _codes(palette)
    used = np.flatnonzero(present)
    if len(used) > 1 and (table[used] == table[used[0]]).all():
        raise InputError(
            f"a mask whose palette shows the indices {used[0]} and {used[1]} in one colour; "
            "store them without palette"
        )
    codes = np.empty(indices.shape, np.uint32)
    for row, line in enumerate(indices):
        codes[row] = table[line]
    return codes


def _shown(value, coloured: bool) -> str:
    """Return a value in words, a colour as (red, green, blue)."""
    if not coloured:
        return str(value)
    return str((int(value) & 255, int(value) >> 8 & 255, int(value) >> 16))
