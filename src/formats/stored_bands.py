"""Images of other than 8-bit grey or colour in the archives of images, without loss.

Such an image is a grey PNG of 8 or 16 bits, its bands one below the other, so that any viewer opens
it; a text chunk tells how many they are, and which three are shown as a picture.
"""

import re
import struct
import zlib

import cv2
import numpy as np

from src.base.errors import InputError
from src.formats.archive import PHOTO, decode_image

MOST_BANDS = 16
MOST_ROWS = 1_000_000  # of all bands, where libpng stops, and ...
MOST_PIXELS = 1 << 30  # ... px, where OpenCV does
KEYWORD = b"Bands\0"
AFTER_HEADER = 33  # bytes: the signature, and the chunk IHDR
CHUNK = re.compile(rb"(\d{1,2}) shown (\d{1,2}(?:,\d{1,2}){0,2})\Z")
SPREAD = (0.5, 99.5)  # percentiles of a band that a picture shows as black and white


def encode_bands(image: np.ndarray, shown: list[int]) -> bytes:
    """Encode an image of any bands as a PNG file.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (H, W, B)
        B from 1 to 16.
    shown : list of int
        Places of one band or three, from 0, that are red, green and blue in a picture.

    Raises
    ------
    InputError
        With the reason alone, if there are more pixels than can be stored.
    ValueError
        If shape, dtype or places are others.
    """
    if image.ndim != 3 or image.dtype.str[1:] not in ("u1", "u2") or not image.size:
        raise ValueError(f"cannot store bands of {image.dtype} {image.shape}")
    height, width, count = image.shape
    if count > MOST_BANDS or len(shown) not in (1, 3) or not set(shown) <= set(range(count)):
        raise ValueError(f"{count} bands, of which {shown} are shown")
    if max(height * count, width) > MOST_ROWS or image.size > MOST_PIXELS:
        raise InputError(f"{height}x{width} px of {count} bands are too many; cut it into tiles")
    stacked = np.ascontiguousarray(image.transpose(2, 0, 1)).reshape(count * height, width)
    content = cv2.imencode(".png", stacked)[1].tobytes()
    text = KEYWORD + f"{count} shown {','.join(map(str, shown))}".encode()
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"tEXt" + text))
    return content[:AFTER_HEADER] + chunk + content[AFTER_HEADER:]


def decode_photo(encoded: bytes, origin: str) -> np.ndarray:
    """Decode an image as networks see it.

    Parameters
    ----------
    encoded : bytes
        A whole image file, by `encode_bands` or any 8-bit PNG or JPEG.
    origin : str
        Where the bytes come from, for the message.

    Returns
    -------
    image : ndarray, shape (H, W, C)
        uint8 RGB, or the bands, uint8 or uint16, of `encode_bands`.

    Raises
    ------
    InputError
        If the bytes are no image.
    """
    told = _told(encoded)
    if told is None:
        return decode_image(encoded, PHOTO, origin)
    return _unstacked(encoded, told[0], origin)


def decode_picture(encoded: bytes, origin: str) -> np.ndarray:
    """Decode an image as eyes see it: uint8 RGB (H, W, 3).

    Of bands those that are to be shown; where they have 16 bits, each from black at its lowest to
    white at its highest half percent.
    """
    told = _told(encoded)
    if told is None:
        return decode_image(encoded, PHOTO, origin)
    image, (_, shown) = _unstacked(encoded, told[0], origin), told
    return np.dstack([_visible(image[..., place]) for place in shown] * (3 // len(shown)))


def is_bands(encoded: bytes) -> bool:
    """Tell whether a file is by `encode_bands`."""
    return _told(encoded) is not None


def _told(encoded: bytes) -> tuple[int, list[int]] | None:
    """Return how many bands a file has and which are shown; None of an ordinary image."""
    head = encoded[AFTER_HEADER : AFTER_HEADER + 8 + len(KEYWORD)]
    if head[4:] != b"tEXt" + KEYWORD:
        return None
    start, (length,) = AFTER_HEADER + 8, struct.unpack(">I", head[:4])
    found = CHUNK.match(encoded[start + len(KEYWORD) : start + length])
    if found is None:
        return None
    count, shown = int(found[1]), [int(place) for place in found[2].split(b",")]
    return (count, shown) if len(shown) != 2 and max(shown) < count else None


def _unstacked(encoded: bytes, count: int, origin: str) -> np.ndarray:
    stacked = decode_image(encoded, cv2.IMREAD_UNCHANGED, origin)
    rows, width = stacked.shape[:2]
    if stacked.ndim != 2 or rows % max(count, 1) or not count:
        raise InputError(f"{origin}: not an image of {count} bands; prepare the images again")
    return np.ascontiguousarray(stacked.reshape(count, rows // count, width).transpose(1, 2, 0))


def _visible(plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.uint8:
        return plane
    low, high = map(float, np.percentile(plane, SPREAD))
    spread = (plane - low) / max(high - low, 1.0)
    return np.rint(spread.clip(0, 1) * 255).astype(np.uint8)
