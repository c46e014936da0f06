"""Small copies of images and probability maps, to be looked at: inside the page or beside it."""

import base64
from pathlib import Path

import cv2
import numpy as np

PHOTO_QUALITY, MAP_QUALITY = 85, 60  # of WebP, 0 to 100


def photo_copy(photo: np.ndarray, side: int) -> bytes:
    """Encode a photograph, uint8 RGB (H, W, 3), as WebP of at most `side` px; see `shrink`."""
    bgr = np.ascontiguousarray(shrink(photo, side)[..., ::-1])
    return _webp(bgr, PHOTO_QUALITY)


def map_copy(probability: np.ndarray, side: int) -> bytes:
    """Encode a map of probabilities * 255, uint8 (H, W), as grey WebP of at most `side` px."""
    return _webp(shrink(probability, side), MAP_QUALITY)


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """Shrink an image by area until its longest side is `side`.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W) or (H, W, 3)
    side : int
        px, at least 1. A smaller image stays as it is.

    Returns
    -------
    image : ndarray
        Of the same ratio of sides, each at least 1 px.
    """
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def place_copies(copies: list[tuple[bytes, bytes]], folder: Path | None) -> list[list[str]]:
    """Turn copies into what the page says of them, and write them where they lie beside it.

    Parameters
    ----------
    copies : list of (photo, map)
        WebP of each image.
    folder : Path or None
        To write 00001.webp, 00001_map.webp, ... into; None puts them into the page.

    Returns
    -------
    told : list of [photo, map]
        Base64, or the name of the file in `folder`.
    """
    if folder is None:
        return [[base64.b64encode(content).decode() for content in pair] for pair in copies]
    told: list[list[str]] = []
    for number, pair in enumerate(copies, start=1):
        names = [f"{number:05}.webp", f"{number:05}_map.webp"]
        for name, content in zip(names, pair, strict=True):
            (folder / name).write_bytes(content)
        told.append(names)
    return told


def _webp(image: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
