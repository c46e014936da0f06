"""Small pictures of images for a page."""

import cv2
import numpy as np

from src.formats.archive import encode_png


def thumbnail(image: np.ndarray, side: int) -> bytes:
    """Shrink an image until its longest side is `side`, as PNG bytes.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, of any size from 1 x 1.
    side : int
        In pixels, at least 1. A smaller image stays as it is.

    Returns
    -------
    png : bytes
        Of an image with the same ratio of sides, each at least 1 px.
    """
    height, width = image.shape[:2]
    if max(height, width) > side:
        factor = side / max(height, width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return encode_png(np.ascontiguousarray(image))
