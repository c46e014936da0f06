"""Image files made sure to be whole before anything is learnt from them."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from src.archive import PHOTO, SIGNATURES, decode_image, encode_png
from src.errors import InputError

MAX_PIXELS = 178_956_970  # where Pillow stops, against files that unpack to fill the memory
FORMATS = (
    "PNG",
    "JPEG",
    "TIFF",
    "BMP",
    "GIF",
    "WEBP",
    "PPM",
    "JPEG2000",
)  # Pillow's others can start programs


def read_photo(path: Path, size: tuple[int, int] | None = None) -> tuple[bytes, tuple[int, int]]:
    """Read an image file and make sure that it is whole.

    Parameters
    ----------
    path : Path
        In any format that OpenCV reads.
    size : tuple of int, optional
        (H, W) that it must have, in pixels.

    Returns
    -------
    content : bytes
        The file as it is.
    size : tuple of int
        (H, W) in pixels.

    Raises
    ------
    InputError
        With the reason alone: absent, empty, unreadable, damaged, too large, of another size.
    """
    if not path.is_file():
        raise InputError("no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}") from None
    if not content:
        raise InputError("the file is empty (0 bytes)")
    with warnings.catch_warnings(action="ignore"):  # odd metadata; what matters is raised
        found = _decoded_size(content)
    if size is not None and found != size:
        raise InputError(
            f"the file is {found[0]}x{found[1]} px (height x width), "
            f"the annotations say {size[0]}x{size[1]}"
        )
    return content, found


def as_png_or_jpeg(content: bytes) -> bytes:
    """Return the bytes of a PNG or JPEG file as they are, of another image as 8-bit RGB PNG."""
    if content.startswith(tuple(SIGNATURES)):
        return content
    return encode_png(decode_image(content, PHOTO, "image"))


def _decoded_size(content: bytes) -> tuple[int, int]:
    """Decode with Pillow, which notices what is cut off, and with OpenCV, as everyone will."""
    _check_with_pillow(content)
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), PHOTO)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise InputError("not a readable image")
    return decoded.shape[:2]


def _check_with_pillow(content: bytes) -> None:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
    except UnidentifiedImageError:
        if content.startswith(tuple(SIGNATURES)):  # others may be known to OpenCV alone
            raise InputError("not a readable image") from None
    except Image.DecompressionBombError:
        raise InputError(f"more than {MAX_PIXELS} pixels; cut the image into tiles") from None
    except Exception as error:  # whatever a decoder chokes on: the image is not intact
        raise InputError(f"damaged image ({error})") from None
