"""Bands chosen from image files of many kinds, in the values that they hold."""

import io
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from src.base.errors import InputError
from src.formats.archive import PHOTO
from src.image_files.geotiff import CACHE, Window, as_shown, open_geotiff
from src.image_files.image_headers import (
    JPEG_START,
    NO_IMAGE,
    PNG_START,
    TIFF_STARTS,
    ImageHeader,
    check_gif,
    check_jpeg2000,
    jpeg_header,
    png_header,
    tiff_header,
)
from src.image_files.silence import without_warnings

MAX_PIXELS = 178_956_970  # where Pillow stops, against files that unpack to fill the memory
MAX_BYTES = 2 << 30  # of the bands of a TIFF file unpacked
FORMATS = ("BMP", "GIF", "WEBP", "PPM", "JPEG2000")  # Pillow's others can start programs
TAGGED = (*FORMATS, "PNG", "JPEG")
ORIENTATION = 0x0112  # tag of EXIF


class ImageBands(NamedTuple):
    """The bands chosen from a file."""

    values: np.ndarray  # (H, W, 1 or 3), whole or real numbers
    bits: int | None  # that a value uses, where its dtype has more
    invalid: np.ndarray | None  # bool (H, W): transparent, or masked by the file
    as_stored: bool  # `PHOTO` decodes the same values from the file
    pages: int = 1  # in the file, of which nobody asked for more than the first; 1 where one did


def read_bands(content: bytes, bands: list[int]) -> ImageBands:
    """Make sure that an image file is whole and read bands of it.

    Parameters
    ----------
    content : bytes
        A JPEG, PNG, TIFF, GIF, BMP, WebP, PPM or JPEG 2000 file; the first of several frames.
    bands : list of int
        One or three, numbered from 1; [] is the first three, or the first alone where there are
        fewer than three. A palette is replaced by the bands of its colours, print colours (CMYK)
        by RGB. The pages of a TIFF file go on numbering, overviews left out; [] looks at the first
        page alone.

    Returns
    -------
    image : ImageBands
        With at least one pixel.

    Raises
    ------
    InputError
        With the reason alone: no image, damaged, too large, without such a band, or of complex
        numbers.
    """
    for starts, walk, reader in (
        (PNG_START, png_header, _from_png),
        (JPEG_START, jpeg_header, _from_jpeg),
        (TIFF_STARTS, tiff_header, _from_tiff),
    ):
        if content.startswith(starts):
            header = walk(content)
            _check_size(header.height, header.width)
            return reader(content, header, bands)
    return _from_others(content, bands)


def read_window(path: Path, bands: list[int], window: Window | None) -> ImageBands:
    """Read bands of a part of a TIFF file, which may be larger than memory.

    Parameters
    ----------
    path : Path
        Of its first page; no other is looked at.
    bands : list of int
        As for `read_bands`.
    window : Window or None
        Inside the image; None is all of it.

    Raises
    ------
    InputError
        With the reason alone, as `read_bands` does, of what is wrong with this part.
    """
    import rasterio  # here as in `open_geotiff`

    with rasterio.Env(GDAL_CACHEMAX=CACHE):
        return _from_page(path, 1, bands, window)


def read_orientation(content: bytes) -> int:
    """Return the tag, 1 to 8, that says how to turn an image; 1 where there is no such tag."""
    if content.startswith(TIFF_STARTS):
        tag = tiff_header(content).orientation
    else:
        try:
            stream = io.BytesIO(content)
            with without_warnings(), Image.open(stream, formats=TAGGED) as image:
                tag = image.getexif().get(ORIENTATION, 1)
        except Exception:  # the image was read before: it is its metadata that is damaged
            tag = 1
    return tag if tag in range(1, 9) else 1


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise InputError(f"has no pixels ({height}x{width}, height x width)")
    if height * width > MAX_PIXELS:
        raise InputError(f"more than {MAX_PIXELS} pixels; cut the image into tiles")


def _places(bands: list[int], count: int) -> list[int]:
    """Return the places of the bands asked for among `count`, from 0."""
    if max(bands, default=1) > count:
        there = f"{count} bands" if count > 1 else "1 band"
        raise InputError(f"has {there}, but images.bands asks for band {max(bands)}")
    return [band - 1 for band in bands] or ([0, 1, 2] if count > 2 else [0])


def _from_png(content: bytes, header: ImageHeader, bands: list[int]) -> ImageBands:
    array = _decode(content, cv2.IMREAD_UNCHANGED)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    if header.bands == 2:
        array = array[..., [0, 3]]
    elif array.shape[2] > 1:
        array = cv2.cvtColor(array, cv2.COLOR_BGR2RGB if alpha is None else cv2.COLOR_BGRA2RGBA)
    return _choose(array, bands, alpha=alpha, intact=array.dtype == np.uint8)


def _from_jpeg(content: bytes, header: ImageHeader, bands: list[int]) -> ImageBands:
    if header.bits != 8:
        raise InputError(f"a JPEG image of {header.bits} bits; save it as PNG or TIFF")
    array = _decode(content, PHOTO)  # print colours (CMYK) become RGB
    grey = header.bands == 1
    array = array[..., :1] if grey else cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
    return _choose(array, bands, intact=True)


def _decode(content: bytes, flags: int) -> np.ndarray:
    """Decode with OpenCV, as everyone will from the archive; (H, W, 1, 3 or 4)."""
    try:
        array = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        array = None
    if array is None:
        raise InputError(NO_IMAGE)
    return array[..., None] if array.ndim == 2 else array


def _from_tiff(content: bytes, header: ImageHeader, bands: list[int]) -> ImageBands:
    pages = header.pages
    if not bands or len(pages) == 1:
        return _from_page(content, 1, bands)._replace(pages=len(pages))
    places = [(page, band) for page, count in pages for band in range(1, count + 1)]
    if max(bands) > len(places):
        raise InputError(
            f"has {len(places)} bands in {len(pages)} pages, but images.bands asks for band "
            f"{max(bands)}"
        )
    found = [_from_page(content, page, [band]) for page, band in (places[b - 1] for b in bands)]
    if len({(one.values.shape, one.values.dtype) for one in found}) > 1:
        raise InputError(f"its pages with the bands {bands} differ in size or type")
    masks = [one.invalid for one in found if one.invalid is not None]
    invalid = np.logical_and.reduce(masks) if len(masks) == len(found) else None
    values = np.concatenate([one.values for one in found], axis=2)
    return found[0]._replace(values=values, invalid=invalid)


def _from_page(
    source: bytes | Path, page: int, bands: list[int], window: Window | None = None
) -> ImageBands:
    with open_geotiff(source, page=page) as dataset:
        height, width = window[2:] if window else (dataset.height, dataset.width)
        part = {"window": window.slices} if window else {}
        _check_size(height, width)  # GDAL's word counts
        if dataset.dtypes[0].startswith("complex"):  # also whole ones, which NumPy does not know
            raise InputError("holds complex numbers, which are no image")
        kind = np.dtype(dataset.dtypes[0])
        if height * width * dataset.count * kind.itemsize > MAX_BYTES:
            raise InputError(f"unpacks to more than {MAX_BYTES >> 30} GiB; cut it into tiles")
        if dataset.colorinterp[0].name == "palette":
            colours = np.zeros((1 << 8 * kind.itemsize, 4), np.uint8)
            for index, colour in dataset.colormap(1).items():
                colours[index] = colour
            array = colours[dataset.read(1, **part)]
            return _choose(array[..., :3], bands, alpha=array[..., 3])
        bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        if dataset.colorinterp[0].name == "cyan" and dataset.count >= 4 and kind.kind == "u":
            # of 8 bits GDAL does the same
            array = _without_ink(np.moveaxis(dataset.read([1, 2, 3, 4], **part), 0, -1))
            return _choose(array, bands)
        places = [place + 1 for place in _places(bands, dataset.count)]
        values = as_shown(np.moveaxis(dataset.read(places, **part), 0, -1), dataset)
        masked = _masked(dataset, places, part)
        return ImageBands(values, bits and int(bits), masked, as_stored=False)


def _without_ink(inks: np.ndarray) -> np.ndarray:
    """Return RGB of cyan, magenta, yellow and black, unsigned (H, W, 4)."""
    full = np.iinfo(inks.dtype).max
    light = full - inks.astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:] / full).astype(inks.dtype)


def _masked(dataset, places: list[int], part: dict) -> np.ndarray | None:
    """Tell the pixels without data in any of the bands, by the file's own mask or value."""
    masked = None
    for place in places:
        if "all_valid" in {flag.name for flag in dataset.mask_flag_enums[place - 1]}:
            return None
        with without_warnings():  # that of an alpha band and a value the value decides
            empty = dataset.read_masks(place, **part) == 0
        masked = empty if masked is None else masked & empty
    return masked if masked is not None and masked.any() else None


def _from_others(content: bytes, bands: list[int]) -> ImageBands:
    try:
        with without_warnings(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.height, image.width)
            if image.format == "GIF":
                check_gif(content)
            if image.format == "JPEG2000":
                check_jpeg2000(content)
            frames = getattr(image, "n_frames", 1)
            image.load()
            grey, clear = image.mode in ("1", "L", "LA"), image.has_transparency_data
            if not image.mode.startswith(("I", "F")):
                image = image.convert(("L" if grey else "RGB") + "A" * clear)
            array = np.asarray(image)
            array = array.astype(np.uint16) if image.mode == "I" else array  # of a 16-bit PGM
    except UnidentifiedImageError:
        raise InputError(NO_IMAGE) from None
    except Image.DecompressionBombError:
        raise InputError(f"more than {MAX_PIXELS} pixels; cut the image into tiles") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever a decoder chokes on: the image is not intact
        raise InputError(f"damaged image ({error})") from None
    array = array[..., None] if array.ndim == 2 else array
    chosen = _choose(array, bands, alpha=array[..., -1] if clear else None)
    return chosen._replace(pages=frames)


def _choose(
    array: np.ndarray, bands: list[int], *, alpha: np.ndarray | None = None, intact: bool = False
) -> ImageBands:
    """Choose among decoded bands (H, W, n); alpha is 0 where a pixel is transparent."""
    places, first = _places(bands, array.shape[2]), _places([], array.shape[2])
    in_order = places == list(range(len(places)))
    values = array[..., : len(places)] if in_order else array[..., places]
    clear = None if alpha is None or alpha.all() else alpha == 0
    return ImageBands(values, None, clear, intact and places == first)
