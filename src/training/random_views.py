"""Mirroring, turning, scaling, shifting and cropping a training image in a single resampling."""

import os

import cv2
import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network
import albumentations as A  # noqa: E402

FLIPS = {"none": 0, "hflip": 1, "d2": 2, "d4": 3}  # of columns, of rows, transposition
CHANNELS = 4  # that OpenCV resamples at once


class RandomView(A.DualTransform):
    """A random view, then a random affine change of it, then a random crop.

    What several transforms of albumentations do one after the other, each on the whole image, is
    here one resampling of what is cropped.

    Parameters
    ----------
    views : {"none", "hflip", "d2", "d4"}
        Which mirrored and turned views there are, all alike often.
    shift, scale : float in [0, 1)
        Largest shift as a fraction of the size, in whole pixels; largest relative change of size.
        Both are drawn for rows and columns apart.
    rotate : float
        Largest turn in degrees, either way, about the middle.
    crop_size : int
        Height and width of the result; 0 keeps those of the view.
    """

    def __init__(self, *, views: str, shift: float, scale: float, rotate: float, crop_size: int):
        super().__init__(p=1.0)
        self.views, self.shift, self.scale, self.rotate = views, shift, scale, rotate
        self.crop_size = crop_size
        self.interpolation = cv2.INTER_LINEAR if shift or scale or rotate else cv2.INTER_NEAREST

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict:
        """Draw the view; return which pixel of the image each of the result is."""
        draw = self.py_random.uniform
        flips = [draw(0, 1) < 0.5 for _ in range(FLIPS[self.views])]
        height, width = params["shape"][:2]
        sides = (height, width) if sum(flips[2:]) else (width, height)  # of the view: x, y
        matrix = affine_matrix(
            sides,
            shift=[int(draw(-self.shift, self.shift) * side) for side in sides],
            scale=[draw(1 - self.scale, 1 + self.scale) for _ in sides],
            rotate=draw(-self.rotate, self.rotate),
        ) @ flip_matrix((width, height), flips)
        if self.crop_size:
            spare = [side - self.crop_size for side in sides]
            matrix[:2, 2] -= [self.py_random.randint(0, length) for length in spare]
            sides = (self.crop_size, self.crop_size)
        return {"source": np.linalg.inv(matrix)[:2], "sides": sides}

    def apply(self, img: np.ndarray, source: np.ndarray, sides: tuple, **params) -> np.ndarray:
        """Resample the image."""
        return resampled(img, source, sides, self.interpolation)

    def apply_to_mask(self, mask: np.ndarray, source: np.ndarray, sides: tuple, **params):
        """Resample the maps, so that no value is made up."""
        return resampled(mask, source, sides, cv2.INTER_NEAREST)


def flip_matrix(sides: tuple[int, int], flips: list[bool]) -> np.ndarray:
    """Return where the pixels (x, y, 1) of an image go in its view.

    Parameters
    ----------
    sides : (width, height)
    flips : list of bool
        Up to three: whether columns, then rows, are turned round, then both are exchanged.

    Returns
    -------
    matrix : ndarray of float64, shape (3, 3)
    """
    matrix = np.eye(3)
    for axis, flip in enumerate(flips[:2]):
        if flip:
            matrix[axis, axis], matrix[axis, 2] = -1, sides[axis] - 1
    return matrix[[1, 0, 2]] if sum(flips[2:]) else matrix


def affine_matrix(sides, *, shift, scale, rotate: float) -> np.ndarray:
    """Return where pixels (x, y, 1) go: scaled and turned about the middle, then shifted.

    Parameters
    ----------
    sides : (width, height)
    shift, scale : pair of float
        In pixels; a positive factor; both for x, then y.
    rotate : float
        Degrees, against the clock.

    Returns
    -------
    matrix : ndarray of float64, shape (3, 3)
    """
    sine, cosine = np.sin(np.deg2rad(rotate)), np.cos(np.deg2rad(rotate))
    middle = (np.array(sides) - 1) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = np.array([[cosine, sine], [-sine, cosine]]) * scale
    matrix[:2, 2] = middle + shift - matrix[:2, :2] @ middle
    return matrix


def resampled(
    array: np.ndarray, source: np.ndarray, sides: tuple[int, int], interpolation: int
) -> np.ndarray:
    """Look up each pixel of a result in an array; outside of it, its edge is repeated.

    Parameters
    ----------
    array : ndarray of uint8 or uint16, shape (H, W, C)
    source : ndarray of float64, shape (2, 3)
        Takes (x, y, 1) of the result to (x, y) of the array.
    sides : (width, height)
        Of the result.
    interpolation : int
        OpenCV's.

    Returns
    -------
    result : ndarray as given, shape (height, width, C)
    """
    flags, edge = interpolation | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    last = array.shape[2] - CHANNELS
    if last <= 0:
        found = cv2.warpAffine(array, source, sides, flags=flags, borderMode=edge)
        return found.reshape(*found.shape[:2], array.shape[2])  # OpenCV drops a single band
    result = np.empty((*sides[::-1], array.shape[2]), array.dtype)
    for start in [*range(0, last, CHANNELS), last]:  # other numbers of channels round otherwise
        block = slice(start, start + CHANNELS)
        part = array[..., block].copy()
        result[..., block] = cv2.warpAffine(part, source, sides, flags=flags, borderMode=edge)
    return result
