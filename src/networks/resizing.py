"""The one way in which images are resized before a network sees them, in training as in prediction.

OpenCV's on the CPU: the mean over the area of a pixel where an image shrinks, bilinear where it
grows. So a network predicts from the very pixels that it learnt from, on every device.
"""

import cv2
import numpy as np
import torch

CHANNELS = 4  # of which OpenCV takes the mean over an area at once


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale an image smoothly.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (H, W, C)
    factor : float
        On height and width; positive.

    Returns
    -------
    scaled : ndarray as given, shape (h, w, C)
        Sides are rounded to whole pixels, one at least. By a factor of 1 the image itself.
    """
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    if image.shape[2] > CHANNELS:
        return np.dstack(
            [_scaled(band, factor, smooth) for band in np.dsplit(image, image.shape[2])]
        )
    return _scaled(image, factor, smooth)


def resized_maps(maps: np.ndarray, factor: float) -> np.ndarray:
    """Scale maps by nearest neighbour, so that no value is made up.

    Parameters
    ----------
    maps : ndarray of uint8, shape (H, W, C)
        Distances and sizes in them keep the unit of the original pixels.
    factor : float
        As for `resized`, whose sides these have too.
    """
    return _scaled(maps, factor, cv2.INTER_NEAREST)


def resized_tensor(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Scale an image, uint8 (C, H, W) on any device, to the very pixels that `resized` gives.

    One of int32 holds 16 bits, as `image_tensor` makes it.
    """
    if factor == 1:
        return image
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    kind = np.uint16 if pixels.dtype == np.int32 else np.uint8
    return image_tensor(resized(pixels.astype(kind), factor)).contiguous().to(image.device)


def image_tensor(image: np.ndarray) -> torch.Tensor:
    """View an image (H, W, C) as a tensor (C, H, W): of uint8 that, of uint16 int32."""
    whole = image.astype(np.int32) if image.dtype == np.uint16 else image
    return torch.from_numpy(whole).permute(2, 0, 1)


def _scaled(array: np.ndarray, factor: float, interpolation: int) -> np.ndarray:
    if factor == 1:
        return array
    height, width = (max(1, round(side * factor)) for side in array.shape[:2])
    scaled = cv2.resize(array, (width, height), interpolation=interpolation)
    return scaled.reshape(height, width, array.shape[2])
