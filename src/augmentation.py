"""Random views of a training image, through albumentations."""

import os

import cv2

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network
import albumentations as A  # noqa: E402

FLIPS = {"none": [], "hflip": [A.HorizontalFlip], "d2": [A.HorizontalFlip, A.VerticalFlip]}
VIEWS = (*FLIPS, "d4")


def training_transform(
    *,
    views: str,
    shift: float,
    scale: float,
    rotate: float,
    brightness: float,
    contrast: float,
    hue: int,
    saturation: int,
    crop_size: int,
) -> A.Compose:
    """Compose the random views of one data set, ending in a crop of fixed size.

    Maps are resampled with nearest neighbour; what a shift or rotation uncovers repeats the edge,
    in the image and its maps alike.

    Parameters
    ----------
    views : {"none", "hflip", "d2", "d4"}
        Which mirrored and turned views are physically possible.
    shift, scale : float in [0, 1)
        Largest shift as a fraction of the size; largest relative change of size.
    rotate : float in [0, 180]
        Largest turn in degrees, either way.
    brightness, contrast : float in [0, 1]
        Largest relative change; 0 is off.
    hue, saturation : int in [0, 180], [0, 255]
        Largest change on OpenCV's scales; 0 is off.
    crop_size : int
        Height and width of the result in pixels; images are at least that large.

    Returns
    -------
    transform : albumentations.Compose
        Called with `image` (H, W, 3) and `mask` (H, W, C), uint8; `set_random_state` makes the
        next call reproducible.

    Raises
    ------
    ValueError
        If `views` is unknown.
    """
    if views not in VIEWS:
        raise ValueError(f"views '{views}' is unknown; known: {', '.join(VIEWS)}")
    steps = [A.D4(p=1)] if views == "d4" else [flip(p=0.5) for flip in FLIPS[views]]
    if shift or scale or rotate:
        steps.append(
            A.Affine(
                translate_percent=(-shift, shift),
                scale=(1 - scale, 1 + scale),
                rotate=(-rotate, rotate),
                border_mode=cv2.BORDER_REPLICATE,
                mask_interpolation=cv2.INTER_NEAREST,
                p=1,
            )
        )
    if brightness or contrast:
        steps.append(A.RandomBrightnessContrast(brightness, contrast, p=1))
    if hue or saturation:
        steps.append(A.HueSaturationValue(hue, saturation, 0, p=1))
    return A.Compose([*steps, A.RandomCrop(crop_size, crop_size)])


def centre_crop(crop_size: int) -> A.Compose:
    """Compose the fixed view, `crop_size` pixels high and wide, on which a loss is watched."""
    return A.Compose([A.CenterCrop(crop_size, crop_size)])
