"""Local contrast of photographs made alike."""

import cv2
import numpy as np


def equalise(image: np.ndarray, clip_limit: float, tiles: int = 8) -> np.ndarray:
    """Equalise the lightness histogram of each tile of an image, with limited gain.

    CLAHE (Zuiderveld 1994) on the L of CIE L*a*b*, whose a and b stay; the tiles' mappings are
    blended into each other. Deterministic.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB; not changed.
    clip_limit : float
        Largest histogram count in multiples of the mean one, which bounds the slope of the
        mapping; positive. From 1, which changes little, to about 4.
    tiles : int
        Along either side; images of another size than a multiple are mirrored at the edge.

    Returns
    -------
    equalised : ndarray of uint8, shape (H, W, 3)
        RGB. An image of one colour may come back with another lightness.

    Raises
    ------
    ValueError
        If `clip_limit` is not positive: 0 would mean no limit at all.
    """
    if clip_limit <= 0:
        raise ValueError(f"clip_limit must be positive, got {clip_limit}")
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    limited = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    lab[..., 0] = limited.apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
