"""Brightness, contrast, gamma and noise of images of any bands, each band by itself."""

import os

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network
import albumentations as A  # noqa: E402

LEVELS = ("brightness", "contrast", "gamma", "noise")  # of the section augment
NOISE = (0.01, 0.05)  # standard deviation, of the range of the band


class BandLevels(A.ImageOnlyTransform):
    """Random levels, drawn for each band apart.

    What is 16 bits may use few of them, so all is measured by the band itself, not by what its type
    could hold: its mean, and its least and greatest value in the image at hand.

    Parameters
    ----------
    brightness : float
        Largest relative change of the band's mean.
    contrast : float
        Largest relative change of the distances from its mean.
    gamma : float
        Largest relative change of the exponent, on values from the band's least to its greatest.
    noise : float
        Probability of Gaussian noise.
    """

    def __init__(self, *, brightness: float, contrast: float, gamma: float, noise: float):
        super().__init__(p=1.0)
        self.brightness, self.contrast, self.gamma = brightness, contrast, gamma
        self.noise = noise

    def get_params_dependent_on_data(self, params: dict, data: dict) -> dict:
        """Draw for each band."""
        draw = self.py_random.uniform
        limits = (self.brightness, self.contrast, self.gamma)
        factors = [[1 + draw(-limit, limit) for limit in limits] for _ in range(params["shape"][2])]
        noisy = draw(0, 1) < self.noise
        return {"factors": factors, "deviation": draw(*NOISE) if noisy else 0.0}

    def apply(
        self, img: np.ndarray, factors: list[list[float]], deviation: float, **params
    ) -> np.ndarray:
        """Change the image (H, W, B), uint8 or uint16."""
        noise = np.zeros(img.shape[:2])
        changed = np.empty_like(img)
        for band, of_band in enumerate(factors):
            if deviation:
                noise = self.random_generator.normal(0, deviation, img.shape[:2])
            brightness, contrast, gamma = of_band
            changed[..., band] = with_levels(img[..., band], brightness, contrast, gamma, noise)
        return changed


def with_levels(
    plane: np.ndarray, brightness: float, contrast: float, gamma: float, noise: np.ndarray
) -> np.ndarray:
    """Change the levels of a band.

    Parameters
    ----------
    plane : ndarray of uint8 or uint16, shape (H, W)
    brightness, contrast, gamma : float
        Factors on its mean and on the distances from it; exponent. 1 changes nothing.
    noise : ndarray of float64, shape (H, W)
        Added, as a share of the range from its least to its greatest value.

    Returns
    -------
    plane : ndarray as given
        Rounded to the nearest, and clipped to what the type holds. A band of one value has no
        range, and only its brightness changes.
    """
    values = plane.astype(np.float64)
    low, high = values.min(), values.max()
    if gamma != 1 and high > low:
        values = low + (high - low) * ((values - low) / (high - low)) ** gamma
    mean = values.mean()
    values = mean * brightness + (values - mean) * contrast + noise * (high - low)
    return np.rint(values.clip(0, np.iinfo(plane.dtype).max)).astype(plane.dtype)
