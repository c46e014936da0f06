"""Image files made sure to be whole, and brought to 8-bit RGB where they are not."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from src.base.errors import InputError
from src.formats.archive import encode_png
from src.formats.stored_bands import encode_bands
from src.image_files.geotiff import Window
from src.image_files.geotransforms import read_geotransform
from src.preparing.image_bands import ImageBands, read_bands, read_orientation, read_window
from src.preparing.stretches import to_8_bits, to_16_bits
from src.reading.params import ImagesParams

MAX_BYTES = 2 << 30  # of a file
SIDEWAYS = (5, 6, 7, 8)  # orientation tags by which height and width change places
FLAT = 2  # grey levels
FEW = 64  # grey levels of 256, up to which an image of more bits has lost much


class Photo(NamedTuple):
    """An image file as the archive stores it, and what its pixels are like."""

    content: bytes  # the file itself, or an 8-bit PNG, grey or RGB, or bands in a PNG
    height: int  # px, of what `PHOTO` decodes from content
    width: int
    blank: bool  # in every band the greatest and the smallest value lie at most 2 apart
    saturated: float  # share of the pixels that are 0 or 255 in each band
    no_data: float  # share of the pixels that hold no data
    few_levels: tuple[int, int] | None  # grey levels, and values in the file of which they are left
    pages: int = 1  # or frames in the file; the first was read unless it is 1


def read_photo(
    path: Path,
    images: ImagesParams,
    size: tuple[int, int] | None = None,
    window: Window | None = None,
) -> Photo:
    """Read an image file, make sure that it is whole, and bring it to 8-bit RGB.

    Parameters
    ----------
    path : Path
        Of a format that `src.preparing.image_bands.read_bands` reads; the content decides, not the
        name.
    images : ImagesParams
        `bands`: one band (it becomes grey) or three, numbered from 1; [] is the first three, or the
        first alone where there are fewer than three. Others, up to 16, and all of which `keep`
        has 16 bits, are stored by `src.formats.stored_bands`. `stretch`, `low`, `high`: see
        `src.preparing.stretches.to_8_bits`; with auto as `choose_levels` returns them. A pixel with
        the value `no_data` in all chosen bands holds no data. `orientation` apply: turned as the
        orientation tag (EXIF) says; ignore: as stored.
    size : tuple of int, optional
        (H, W) that it must have, in pixels, after it was turned.
    window : Window, optional
        The part of a TIFF file that is read; it alone is held. Its bands are those of the first
        page, and the orientation tag is not looked at.

    Returns
    -------
    photo : Photo
        An 8-bit PNG or JPEG file in which nothing changes is kept byte for byte, whatever colours
        lie under its transparency. In others pixels without data become 0: those with the value
        `no_data`, with a NaN or infinity in a chosen band, wholly transparent ones, and those
        that a GeoTIFF masks in all chosen bands. `few_levels` is told of values of more than 8 bits
        of which no band keeps more than 64 levels, though the file has more values.

    Raises
    ------
    InputError
        With the reason alone: absent, empty, unreadable, damaged, too large, of another size,
        without a band asked for, or of values that need a stretch.
    """
    content = content_of_file = _file_content(path) if window is None else Path(path)
    try:
        with np.errstate(invalid="ignore"):  # of signalling NaNs, which a file may hold
            (values, bits, invalid, as_stored, pages), changes = _decoded(content, images, window)
            levels = {"stretch": images.stretch, "low": images.low, "high": images.high}
            if images.keep == "16bit":
                image, few_levels = to_16_bits(values, **levels, invalid=invalid), None
            else:
                image = to_8_bits(values, **levels, bits=bits, invalid=invalid)
                few_levels = _few_levels(values, image)
            tag = 1
            if images.orientation == "apply" and isinstance(content, bytes):
                tag = read_orientation(content)
            image = _turned(image, tag, path)
            kept = as_stored and not changes and images.stretch in ("none", "auto") and tag == 1
            if images.as_bands:
                content = encode_bands(image, images.shown_places)
            elif not kept or not isinstance(content, bytes):
                content = encode_png(image[..., 0] if image.shape[2] == 1 else image)
    except MemoryError:
        raise InputError("needs more memory than there is; cut the image into tiles") from None
    height, width = image.shape[:2]
    if size is not None and (height, width) != size:
        raise InputError(_other_size(content_of_file, (height, width), size, images.orientation))
    share = 0.0 if invalid is None else float(np.count_nonzero(invalid) / invalid.size)
    blank, saturated = _is_blank(image), _saturated(image)
    return Photo(content, height, width, blank, saturated, share, few_levels, pages)


def _other_size(
    content: bytes | Path, size: tuple[int, int], listed: tuple[int, int], orientation: str
) -> str:
    """Say how the size of an image is another than listed, and where turning it would help."""
    words = (
        f"the file is {size[0]}x{size[1]} px (height x width), "
        f"the annotations say {listed[0]}x{listed[1]}"
    )
    tag = read_orientation(content) if isinstance(content, bytes) else 1
    if size[::-1] != listed or tag not in SIDEWAYS:
        return words
    if orientation == "ignore":
        return (
            f"{words}, as it is after it is turned by its orientation tag ({tag}); "
            "set images.orientation to apply"
        )
    return (
        f"{words}, as it is before it is turned by its orientation tag ({tag}); "
        "set images.orientation to ignore"
    )


def read_values(
    path: Path, images: ImagesParams, window: Window | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image file, make sure that it is whole, and leave its values as they are.

    Parameters
    ----------
    path, window
        As for `read_photo`.
    images : ImagesParams
        Of it `bands` and `no_data`.

    Returns
    -------
    values : ndarray, shape (H, W, 1 or 3)
        Of any type, as the file has them.
    invalid : ndarray of bool, shape (H, W), or None
        Pixels without data; None where there are none.

    Raises
    ------
    InputError
        With the reason alone, as `read_photo` does.
    """
    with np.errstate(invalid="ignore"):
        source = _file_content(path) if window is None else Path(path)
        bands, _ = _decoded(source, images, window)
    return bands.values, bands.invalid


def _decoded(
    source: bytes | Path, images: ImagesParams, window: Window | None
) -> tuple[ImageBands, bool]:
    """Return the bands, with all pixels without data, and whether making these 0 is a change."""
    if isinstance(source, bytes):
        bands = read_bands(source, images.bands)
    else:
        bands = read_window(source, images.bands, window)
    no_data = None if images.no_data == "none" else images.no_data
    empty = _without_data(bands.values, no_data)
    if empty is None:
        return bands, False
    changes = bool(bands.values[empty].any())
    invalid = empty if bands.invalid is None else bands.invalid | empty
    return bands._replace(invalid=invalid), changes


def _file_content(path: Path) -> bytes:
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError("no such file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"a file of more than {MAX_BYTES >> 30} GiB; cut the image into tiles")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}") from None
    if not content:
        raise InputError("the file is empty (0 bytes)")
    return content


def _without_data(values: np.ndarray, no_data: float | None) -> np.ndarray | None:
    """Tell the pixels, bool (H, W), that have the value in all bands, or in one no number."""
    empty = None
    if values.dtype.kind == "f":
        empty = ~np.all(np.isfinite(values), axis=2)
    if no_data is not None:
        with np.errstate(over="ignore"):  # a value beyond the dtype's range is in no pixel
            same = np.all(values == no_data, axis=2)
        empty = same if empty is None else empty | same
    return empty if empty is not None and empty.any() else None


def _turned(image: np.ndarray, tag: int, path: Path) -> np.ndarray:
    """Turn and mirror as the tag, 1 to 8, says."""
    if tag == 1:
        return image
    if read_geotransform(path) is not None:
        raise InputError(
            f"has an orientation tag ({tag}), but lies on the map as it is stored; "
            "set images.orientation to ignore"
        )
    if tag in SIDEWAYS:
        image = image.swapaxes(0, 1)
    if tag in (3, 4, 7, 8):
        image = image[::-1]
    if tag in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _is_blank(image: np.ndarray) -> bool:
    rows = image.reshape(len(image), -1)  # along whole rows, which is fast
    top = rows.max(axis=0).reshape(-1, image.shape[2]).max(axis=0)
    bottom = rows.min(axis=0).reshape(-1, image.shape[2]).min(axis=0)
    return bool((top - bottom).max() <= FLAT)


def _few_levels(values: np.ndarray, image: np.ndarray) -> tuple[int, int] | None:
    """Count grey levels, and values, in the band that has most, where many became few."""
    if values.dtype == np.uint8:
        return None
    bands = range(image.shape[2])
    counts = [np.bincount(image[..., band].ravel(), minlength=256) for band in bands]
    left = max(int(np.count_nonzero(count)) for count in counts)
    if left > FEW:
        return None
    there = max(len(np.unique(values[..., band])) for band in bands)
    return (left, there) if there > left else None


def _saturated(image: np.ndarray) -> float:
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        full = np.iinfo(image.dtype).max
        return float(np.mean(((image == 0) | (image == full)).all(axis=2)))
    between = cv2.inRange(image.reshape(len(image), -1), 1, 254).reshape(image.shape)
    if image.shape[2] == 3:
        between = cv2.cvtColor(between, cv2.COLOR_RGB2GRAY)  # 0 only where each band is 0
    return 1.0 - cv2.countNonZero(between) / (image.shape[0] * image.shape[1])
