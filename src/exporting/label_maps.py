"""Objects that may overlap, painted into one label map."""

import numpy as np

from src.base.errors import InputError

MOST_OBJECTS = 65_534  # 0 is background and 65535 stands for ignored pixels


def paint_objects(
    objects: list[tuple[np.ndarray, int, int]], height: int, width: int
) -> np.ndarray:
    """Paint objects into a label map, the first over all later ones.

    Parameters
    ----------
    objects : list of (mask, x, y)
        Best first; the mask, bool (h, w), lies in the image with its upper left pixel in column
        x and row y.
    height, width : int
        Of the image, px.

    Returns
    -------
    instances : ndarray of uint16, shape (height, width)
        0 is background, n the n-th object; a label is absent where better ones cover its object.

    Raises
    ------
    InputError
        If there are more objects than labels.
    """
    if len(objects) > MOST_OBJECTS:
        raise InputError(
            f"{len(objects)} objects in one image, a label map of 16 bits holds {MOST_OBJECTS}; "
            "raise rescore.operating_point"
        )
    instances = np.zeros((height, width), np.uint16)
    for label, (mask, x, y) in reversed(list(enumerate(objects, start=1))):
        instances[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = label
    return instances
