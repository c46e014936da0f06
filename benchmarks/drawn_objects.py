"""Label maps drawn at random, for benchmarks."""

import cv2
import numpy as np


def draw_objects(
    rng: np.random.Generator, side: int, objects: int, sides: tuple[int, int]
) -> np.ndarray:
    """Place rectangles and ellipses that do not overlap, wholly or in part inside the image.

    Parameters
    ----------
    rng : numpy.random.Generator
    side : int
        Height and width of the image in pixels.
    objects : int
        How many there are.
    sides : (int, int)
        Least and largest side of an object in pixels.

    Returns
    -------
    instances : ndarray of uint16, shape (side, side)
        Labels 1..`objects` in the order of drawing.
    """
    instances = np.zeros((side, side), np.uint16)
    label = 0
    while label < objects:
        centre, size = rng.uniform(0, side, 2), rng.uniform(*sides, 2)
        box = (tuple(centre), tuple(size), rng.uniform(0, 180))
        shape = np.zeros((side, side), np.uint8)
        if rng.random() < 0.8:
            cv2.fillPoly(shape, [np.rint(cv2.boxPoints(box)).astype(np.int32)], 1)
        else:
            cv2.ellipse(shape, box, 1, cv2.FILLED)
        if shape.any() and not instances[shape > 0].any():
            label += 1
            instances[shape > 0] = label
    return instances
