"""Rectangles as masks and as run lengths, for tests of objects."""

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 40, 60


def rle(mask):
    """Return a mask as compressed run lengths, as COCO has them in JSON."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def block(x, y, width, height):
    """Return the mask, bool (HEIGHT, WIDTH), of a rectangle."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask
