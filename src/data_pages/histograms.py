"""What images and objects of each split measure, as bars along one axis."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from src.formats.archive import ImageArchive
from src.formats.prepared import LABELLED, read_picture
from src.planning.fingerprint import REACH, drawn_images, measured_objects

BARS = 32
GREY = (0.299, 0.587, 0.114)  # of red, green and blue in brightness
SEED = 0  # of the images that are measured, where there are too many


class Measured(NamedTuple):
    """What some images of a split measure."""

    images: int  # measured
    sizes: np.ndarray  # px, square root of the area of each object
    gaps: np.ndarray  # px, from each object to the nearest other one, REACH at most
    brightness: np.ndarray  # mean of each image, 0 to 255


class Bars(NamedTuple):
    """The histogram of one split."""

    split: str
    count: int
    median: float
    heights: list[float]  # percent of the highest bar


class Histogram(NamedTuple):
    """The same measure in each split."""

    words: str
    unit: str
    end: float  # of the axis, which begins at 0; what is larger is in the last bar
    open: bool  # there is something larger
    bars: list[Bars]


def measure_images(
    prepared: Path, photos: dict[str, ImageArchive], images: pd.DataFrame, most: int
) -> dict[str, Measured]:
    """Measure images and their objects.

    Parameters
    ----------
    prepared : Path
        The folder that prepare_masks writes.
    photos : dict
        As `src.formats.prepared.open_photos` gives them.
    images : DataFrame
        name, split, height and width.
    most : int
        Images of a split that are measured at most.

    Returns
    -------
    measured : dict
        By split; a split without images is left out, and test has no objects.
    """
    measured = {}
    for split, rows in images.groupby("split"):
        pixels = float((rows["height"] * rows["width"]).mean())
        names = rows["name"].iloc[drawn_images(len(rows), pixels, most=most, seed=SEED)]
        brightness = [float(read_picture(photos, name).mean(axis=(0, 1)) @ GREY) for name in names]
        found = []
        if split in LABELLED:
            archive = ImageArchive(prepared / "labels" / str(split) / "instances.zip")
            found = [measured_objects(archive.read_bytes(name), name) for name in names]
        sizes = np.sqrt(np.concatenate([np.zeros(0), *(one.areas for one in found)]))
        gaps = np.concatenate([np.zeros(0), *(one.gaps for one in found)])
        measured[str(split)] = Measured(len(names), sizes, gaps, np.array(brightness))
    return measured


def histograms(measured: dict[str, Measured]) -> list[Histogram]:
    """Draw what was measured as bars.

    Parameters
    ----------
    measured : dict
        By split.

    Returns
    -------
    histograms : list of Histogram
        Sizes, gaps and brightness; without those that no split has a number of.
    """
    largest = [float(np.percentile(one.sizes, 99)) for one in measured.values() if one.sizes.size]
    end = float(BARS * np.ceil(max(largest, default=1) / BARS))
    told = [
        ("Size of the objects, square root of the area", "px", end, "sizes"),
        (f"Gap to the nearest other object, {REACH} px at most", "px", float(REACH), "gaps"),
        ("Mean brightness of the images", "", 255.0, "brightness"),
    ]
    drawn = []
    for words, unit, end, name in told:
        values = {split: getattr(one, name) for split, one in measured.items()}
        values = {split: numbers for split, numbers in values.items() if numbers.size}
        if values:
            larger = any((numbers > end).any() for numbers in values.values())
            bars = [bars_of(split, numbers, end) for split, numbers in values.items()]
            drawn.append(Histogram(words, unit, end, larger, bars))
    return drawn


def bars_of(split: str, numbers: np.ndarray, end: float) -> Bars:
    """Count numbers from 0 to `end` in BARS bins of one width, larger ones in the last."""
    counts = np.histogram(np.minimum(numbers, end), BARS, (0, end))[0]
    heights = (100 * counts / counts.max()).round(2).tolist()
    return Bars(split, numbers.size, float(np.median(numbers)), heights)
