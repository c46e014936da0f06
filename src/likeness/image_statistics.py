"""What an image looks like in a few dozen numbers: colour, texture, frequencies and size."""

import cv2
import numpy as np

LEVELS = np.arange(256)
PERCENTILES = (5, 50, 95)
BLOCK = 8  # px, of JPEG; local contrast is measured in blocks as large
WINDOW = 512  # px, a multiple of BLOCK
BANDS = (0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)  # bounds in cycles per pixel, octaves
POWER_FLOOR = 1e-3  # squared grey levels, far below the noise of rounding, 1 / 12
CHANNELS = ("red", "green", "blue", "saturation", "value")
FEATURES = (
    *[f"{c}_{s}" for c in CHANNELS for s in ("mean", "std", *(f"p{p:02}" for p in PERCENTILES))],
    "hue_mean",
    "hue_spread",
    "black",
    "white",
    "entropy",
    "gradient_energy",
    "laplacian_variance",
    "local_contrast",
    "blockiness",
    *[f"power_{band}" for band in range(1, len(BANDS))],
    "height",
    "width",
    "aspect",
)


def image_statistics(image: np.ndarray) -> np.ndarray:
    """Describe an image by the numbers that FEATURES names.

    Colours are those of the whole image; textures and frequencies those of the grey levels in a
    window of at most WINDOW pixels a side in its middle, so that large images cost no more.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, of any size from (1, 1).

    Returns
    -------
    statistics : ndarray of float32, shape (len(FEATURES),)
        Finite. Of red, green, blue, saturation and value (all 0 to 255) mean, standard deviation
        and percentiles; `hue_mean`, the direction of the mean hue in degrees, each pixel counting
        as much as it is saturated, and `hue_spread` from 0 (one hue) to 1, both 0 without colour;
        `black`, `white`: share of pixels that are 0, 255 in all channels; `entropy` of the grey
        levels in bits; `gradient_energy`: mean squared difference of neighbours;
        `laplacian_variance`; `local_contrast`: mean standard deviation in blocks of BLOCK pixels;
        `blockiness`: how much more neighbours differ across the borders of such blocks than within,
        in grey levels, 0 where there is no border; `power_1` to `power_6`: log10 of the mean power
        in bands of frequency, from coarse to fine, that of white noise being its variance,
        log10(POWER_FLOOR) for bands that so small an image has no frequency in; `height`, `width`
        in px, `aspect`: width / height.

    Raises
    ------
    ValueError
        If the image is not such an array or has no pixel.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"want an RGB image of uint8, got {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    window = _middle(grey)
    planes = [(image, 0), (image, 1), (image, 2), (hsv, 1), (hsv, 2)]
    numbers = [n for array, channel in planes for n in _levels(_counts(array, channel))]
    numbers += _hue(hsv)
    numbers += [cv2.inRange(image, (n,) * 3, (n,) * 3).mean() / 255 for n in (0, 255)]
    numbers += [_entropy(_counts(grey, 0)), *_texture(window), _blockiness(window)]
    numbers += [*_band_powers(window), height, width, width / height]
    return np.array(numbers, np.float32)


def _middle(grey: np.ndarray) -> np.ndarray:
    """Cut out the window, aligned with the blocks of JPEG."""
    top, left = (max(side - WINDOW, 0) // 2 // BLOCK * BLOCK for side in grey.shape)
    return grey[top : top + WINDOW, left : left + WINDOW]


def _counts(array: np.ndarray, channel: int) -> np.ndarray:
    """How often each level from 0 to 255 occurs, (256,)."""
    return cv2.calcHist([array], [channel], None, [256], [0, 256]).ravel().astype(np.float64)


def _levels(counts: np.ndarray) -> list[float]:
    """Mean, standard deviation and percentiles of levels that occur so often."""
    total = counts.sum()
    mean = (counts * LEVELS).sum() / total
    std = np.sqrt((counts * (LEVELS - mean) ** 2).sum() / total)
    percentiles = np.searchsorted(counts.cumsum() * 100, np.array(PERCENTILES) * total)
    return [mean, std, *percentiles]


def _hue(hsv: np.ndarray) -> tuple[float, float]:
    """Direction of the mean hue in degrees, and how far hues are spread around it."""
    counts = cv2.calcHist([hsv], [0, 1], None, [180, 256], [0, 180, 0, 256])
    saturation = counts.astype(np.float64) @ LEVELS  # of all pixels of each hue
    angle = np.deg2rad(2 * np.arange(180))
    x, y = (saturation * np.cos(angle)).sum(), (saturation * np.sin(angle)).sum()
    if not saturation.any():
        return 0.0, 0.0
    return np.rad2deg(np.arctan2(y, x)) % 360, max(1 - np.hypot(x, y) / saturation.sum(), 0)


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return max(-(shares * np.log2(shares)).sum(), 0)


def _texture(grey: np.ndarray) -> tuple[float, float, float]:
    """Gradient energy, variance of the Laplacian, mean contrast of blocks."""
    steps = [np.diff(grey.astype(np.int32), axis=axis) for axis in (0, 1)]
    energy = sum((step**2).mean() for step in steps if step.size)
    laplacian = cv2.Laplacian(grey, cv2.CV_16S, borderType=cv2.BORDER_REPLICATE)
    rows, columns = (min(side, BLOCK) for side in grey.shape)
    whole = grey[: len(grey) // rows * rows, : grey.shape[1] // columns * columns]
    blocks = whole.reshape(len(grey) // rows, rows, -1, columns).astype(np.float64)
    return energy, laplacian.var(dtype=np.float64), blocks.std(axis=(1, 3)).mean()


def _blockiness(grey: np.ndarray) -> float:
    excess = []
    for levels in (grey, grey.T):
        step = np.abs(np.diff(levels.astype(np.int32), axis=0)).mean(axis=1)
        border = np.arange(1, len(step) + 1) % BLOCK == 0
        if border.any():
            excess.append(step[border].mean() - step[~border].mean())
    return sum(excess) / max(len(excess), 1)


def _band_powers(grey: np.ndarray) -> np.ndarray:
    """Log10 of the mean power in every band; the window function hides the edges."""
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in grey.shape))
    levels = (grey - grey.mean()) * window
    power = np.abs(np.fft.rfft2(levels)) ** 2 / (window**2).sum()
    rows, columns = np.fft.fftfreq(len(grey)), np.fft.rfftfreq(grey.shape[1])
    band = np.searchsorted(BANDS, np.hypot(rows[:, None], columns), side="right") - 1
    band = band.ravel()[1:]  # without the mean
    sums = np.bincount(band, power.ravel()[1:], minlength=len(BANDS) - 1)
    counts = np.bincount(band, minlength=len(BANDS) - 1)
    return np.log10(sums / np.maximum(counts, 1) + POWER_FLOOR)
