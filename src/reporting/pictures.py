"""Pictures in general: enlarged, coloured, encoded."""

import cv2
import numpy as np

LONGEST_SIDE = 1200  # px; a larger picture only makes the page heavy


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Repeat every pixel `scale` times in both directions, as far as LONGEST_SIDE allows.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, 3)
        Any image or mask.
    scale : int
        At least 1; reduced where the picture would exceed LONGEST_SIDE. An image that exceeds
        it by itself is thinned out to every second, third, ... pixel.

    Returns
    -------
    picture : ndarray
        A copy of the same dtype.

    Raises
    ------
    ValueError
        If `scale` is below 1.
    """
    step, times = enlargement(image.shape, scale)
    return image[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)


def enlargement(shape: tuple[int, ...], scale: int) -> tuple[int, int]:
    """Tell every which pixel of an image (H, W, ...) `enlarge` takes, and how often it repeats it.

    Raises
    ------
    ValueError
        If `scale` is below 1.
    """
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")
    side = max(shape[:2])
    step = -(-side // LONGEST_SIDE)  # 1 for all but huge images
    return step, 1 if step > 1 else max(1, min(scale, LONGEST_SIDE // side))


def colour_plane(plane: np.ndarray, highest: float, scale: int) -> np.ndarray:
    """Colour a plane of numbers: 0 is dark, `highest` and above bright yellow.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        Numbers from 0.
    highest : float
        Positive.
    scale : int
        Enlargement; see `enlarge`.

    Returns
    -------
    picture : ndarray of uint8, shape (H', W', 3)
        RGB.

    Raises
    ------
    ValueError
        If `highest` is not positive.
    """
    if highest <= 0:
        raise ValueError(f"highest must be positive, got {highest}")
    levels = np.rint(255 * np.clip(plane / highest, 0, 1)).astype(np.uint8)
    coloured = cv2.applyColorMap(enlarge(levels, scale), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(coloured[..., ::-1])


def colour_bar() -> np.ndarray:
    """Return the colours of `colour_plane` from 0 to `highest`: uint8 (12, 256, 3) RGB."""
    return colour_plane(np.tile(np.arange(256), (12, 1)), highest=255, scale=1)


def encode_picture(picture: np.ndarray) -> bytes:
    """Encode a picture, uint8 (H, W, 3) RGB, as PNG bytes: small rather than fast."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    return cv2.imencode(".png", picture[..., ::-1], settings)[1].tobytes()
