"""A picture of what was found: outlines over the image."""

import cv2
import numpy as np

LONGEST = 512  # px, of the cut that is shown
COLOUR = (255, 221, 0)  # RGB
SHADOW = (0, 0, 0)


def centre_of(image: np.ndarray) -> np.ndarray:
    """Return the middle of an image, (H, W, 3), LONGEST px high and wide at most."""
    top, left = (max(0, (side - LONGEST) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + LONGEST, left : left + LONGEST])


def outlined(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw the outline of every object of a label map over an image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB; not changed.
    labels : ndarray of uint32, shape (H, W)
        0 is background.

    Returns
    -------
    picture : ndarray of uint8, shape (k H, k W, 3)
        Enlarged by whole k, so that a line of a pixel does not hide small objects; lines lie inside
        the objects, with a dark one beside them.
    """
    scale = max(1, LONGEST // max(image.shape[:2]))
    big = np.kron(labels, np.ones((scale, scale), labels.dtype))
    picture = np.repeat(np.repeat(image, scale, 0), scale, 1)
    edges = np.zeros(big.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            padded = np.pad(big, 1, mode="constant", constant_values=0)
            edges |= big != np.roll(padded, step, axis)[1:-1, 1:-1]
    inside = edges & (big > 0)
    wide = cv2.dilate(inside.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    picture[wide] = SHADOW
    picture[inside] = COLOUR
    return picture
