"""The bands that a network learns from: how many, and what is common in each."""

import numpy as np

from src.base.errors import InputError
from src.base.params import AUTO
from src.formats.archive import ImageArchive
from src.formats.prepared import read_photo
from src.networks.network_input import BANDS
from src.networks.params import ModelParams

LOOKED_AT = 256  # images
LEAST_STD = 1e-4  # of a band that is the same all over


def with_bands(
    params: ModelParams, photos: dict[str, ImageArchive], names: list[str]
) -> ModelParams:
    """Return the section `model` with means and deviations of the bands where it says `auto`.

    Parameters
    ----------
    params : ModelParams
    photos : dict of str to ImageArchive
        As `src.formats.prepared.open_photos` gives them.
    names : list of str
        Of the images learnt from, at least one; 256 of them are looked at, spread evenly.

    Returns
    -------
    params : ModelParams
        As it was unless `image_channels` is "bands". `mean` and `std` are in [0, 1], of 16 bits as
        of 8; as long as there are bands.

    Raises
    ------
    InputError
        If images are stored as bands and `image_channels` is not, or there are not as many means
        or deviations as bands.
    """
    first = read_photo(photos, names[0])
    if params.image_channels != BANDS:
        if first.dtype != np.uint8 or first.shape[2] != 3:
            raise InputError(
                f"params.yaml: model.image_channels is {params.image_channels}, but images are "
                f"{first.shape[2]} bands of {first.dtype} by images.keep and images.bands; set it "
                "to bands"
            )
        return params
    found = {}
    if AUTO in (params.mean, params.std):
        mean, std = _statistics(photos, names)
        found = {key: one for key, one in (("mean", mean), ("std", std))
                 if getattr(params, key) == AUTO}  # fmt: skip
    params = params.model_copy(update=found)
    for key in ("mean", "std"):
        given = len(getattr(params, key))
        if given != first.shape[2]:
            raise InputError(
                f"params.yaml: model.{key} has {given} numbers, the images {first.shape[2]} bands; "
                "give one for each, or auto"
            )
    return params


def _statistics(
    photos: dict[str, ImageArchive], names: list[str]
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each band over all pixels, rounded to 6 digits."""
    places = sorted({place * len(names) // LOOKED_AT for place in range(LOOKED_AT)})
    bands = read_photo(photos, names[0]).shape[2]
    pixels, totals, squares = 0, np.zeros(bands), np.zeros(bands)
    for place in places:
        image = read_photo(photos, names[place])
        values = image.reshape(-1, image.shape[2]) / np.float64(np.iinfo(image.dtype).max)
        pixels += len(values)
        totals, squares = totals + values.sum(axis=0), squares + (values**2).sum(axis=0)
    mean = totals / pixels
    std = np.sqrt((squares / pixels - mean**2).clip(0)).clip(LEAST_STD)
    return _rounded(mean), _rounded(std)


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
