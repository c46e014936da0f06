"""What is measured of the training images and their labels before anything is chosen."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from src.formats.archive import decode_image
from src.label_maps.distances import padded_boxes, two_nearest_distances
from src.label_maps.labels import IGNORE

REACH = 32  # px; an object whose nearest neighbour is further away has none that matters
FEWEST, MOST_PIXELS = 10, 64_000_000  # images that are measured, and pixels of all of them
HARMLESS = 0.001  # of the objects' pixels that holes may make up to be of no account
PRESSED = 0.3  # of the root of its area, along which an object touches others; less is a chance
# contact, as of outlines drawn coarsely, which a higher threshold parts


class ImageObjects(NamedTuple):
    """What one label map shows of its objects."""

    areas: np.ndarray  # int, px, of each object
    lengths: np.ndarray  # int, px, longest side of each object's box
    gaps: np.ndarray  # float, px, from each object to the nearest other one, REACH at most
    contacts: np.ndarray  # int, sides of pixels that each object shares with others
    holes: np.ndarray  # int, px, areas of patches of background that objects enclose
    cornered: int  # objects with parts that hang together by corners alone


class Fingerprint(NamedTuple):
    """What a training set is like. Figures of objects are NaN where there is none."""

    images: int
    short_side: float  # px, medians over images
    long_side: float
    objects: int  # that were measured
    most_objects: int  # in one image, of all
    diameters: tuple[float, float, float]  # px, percentiles 5, 50, 95 of sqrt(area)
    large: float  # px, percentile 95 of the longest side of a box
    small_area: float  # px, percentile 1
    near: float  # share of objects with another one within REACH
    touching: float  # share of objects that touch others along PRESSED of their size or more
    gap: float  # px, median to the nearest other object, of those within REACH
    holes: float  # enclosed patches of background for each object
    harmless_hole: float  # px, area up to which they make up HARMLESS of the objects; inf: all do
    cornered: float  # share of objects that hang together by corners


def measured_objects(encoded: bytes, origin: str) -> ImageObjects:
    """Measure the objects of one label map.

    Parameters
    ----------
    encoded : bytes
        PNG of uint16 (H, W): 0 background, 1..N objects, 65535 ignored. Ignored pixels are neither,
        and a patch of background that has some is not enclosed.
    origin : str
        Where the bytes come from, for the message.

    Returns
    -------
    objects : ImageObjects
        Arrays in the order of labels; empty ones where there is no object.

    Raises
    ------
    InputError
        If the bytes are no image.
    """
    instances = decode_image(encoded, cv2.IMREAD_UNCHANGED, origin)
    objects = np.where(instances == IGNORE, np.uint16(0), instances)
    boxes = padded_boxes(objects, 0)
    labels = list(boxes)
    if not labels:
        nothing = np.zeros(0, int)
        return ImageObjects(nothing, nothing, np.zeros(0), nothing, nothing, 0)
    second = two_nearest_distances(objects, REACH)[1]  # inside an object: to the nearest other one
    return ImageObjects(
        areas=np.bincount(objects.ravel())[labels],
        lengths=np.array([max(s.stop - s.start for s in box) for box in boxes.values()]),
        gaps=np.asarray(ndimage.minimum(second, objects, labels)),
        contacts=_contacts(objects)[labels],
        holes=_enclosed(instances),
        cornered=sum(_is_cornered(objects[box] == label) for label, box in boxes.items()),
    )


def fingerprint(table: pd.DataFrame, measured: Sequence[ImageObjects]) -> Fingerprint:
    """Sum up what the images of train are like.

    Parameters
    ----------
    table : DataFrame
        Of all images, at least one, with height, width and objects.
    measured : sequence of ImageObjects
        Of some of them.
    """

    def joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0), *arrays])

    areas = joined(one.areas for one in measured)
    gaps, holes = joined(one.gaps for one in measured), joined(one.holes for one in measured)
    pressed = joined(one.contacts for one in measured) >= PRESSED * np.sqrt(areas)
    small, median, large = (_percentile(np.sqrt(areas), share) for share in (5, 50, 95))
    near, sides = gaps[gaps < REACH], table[["height", "width"]]
    each = 1 / areas.size if areas.size else np.nan
    return Fingerprint(
        images=len(table),
        short_side=float(sides.min(axis=1).median()),
        long_side=float(sides.max(axis=1).median()),
        objects=areas.size,
        most_objects=int(table["objects"].max()),
        diameters=(small, median, large),
        large=_percentile(joined(one.lengths for one in measured), 95),
        small_area=_percentile(areas, 1),
        near=near.size * each,
        touching=int(pressed.sum()) * each,
        gap=_percentile(near, 50),
        holes=holes.size * each,
        harmless_hole=_harmless(holes, HARMLESS * areas.sum()),
        cornered=sum(one.cornered for one in measured) * each,
    )


def drawn_images(images: int, pixels: float, *, most: int, seed: int) -> list[int]:
    """Draw the images that are measured.

    Parameters
    ----------
    images : int
        How many there are.
    pixels : float
        Of an image, on average; large ones are drawn less often, so that the work is bounded, but
        never fewer than `FEWEST`.
    most : int
        Images drawn at most.
    seed : int

    Returns
    -------
    places : list of int
        Rising, each once; all of them where there are not more.
    """
    count = min(most, max(FEWEST, int(MOST_PIXELS / max(pixels, 1))))
    return np.sort(np.random.default_rng(seed).permutation(images)[:count]).tolist()


def _percentile(values: np.ndarray, share: float) -> float:
    return float(np.percentile(values, share)) if values.size else float("nan")


def _harmless(holes: np.ndarray, most: float) -> float:
    """Return the largest area up to which all holes together have at most so many pixels."""
    rising = np.sort(holes)
    too_much = np.cumsum(rising) > most
    return float(rising[too_much.argmax()]) - 1 if too_much.any() else float("inf")


def _contacts(objects: np.ndarray) -> np.ndarray:
    """Return for every label from 0 up how many of its pixels' sides lie along other objects."""
    sides = np.zeros(int(objects.max()) + 1, np.int64)
    for ones, others in ((objects[:, 1:], objects[:, :-1]), (objects[1:], objects[:-1])):
        shared = (ones != others) & (ones > 0) & (others > 0)
        for labels in (ones, others):
            sides += np.bincount(labels[shared], minlength=len(sides))
    return sides


def _enclosed(instances: np.ndarray) -> np.ndarray:
    """Return the areas of the 8-connected patches of background that touch no image edge."""
    free = ((instances == 0) | (instances == IGNORE)).astype(np.uint8)
    _, patches = cv2.connectedComponents(free, connectivity=8)
    areas = np.bincount(patches.ravel())
    areas[0] = 0
    areas[patches[instances == IGNORE]] = 0
    for edge in (patches[0], patches[-1], patches[:, 0], patches[:, -1]):
        areas[edge] = 0
    return areas[areas > 0]


def _is_cornered(mask: np.ndarray) -> bool:
    """Tell whether a mask has more parts with 4 neighbours than with 8."""
    mask = mask.astype(np.uint8)
    parts = cv2.connectedComponents(mask, connectivity=4)[0]
    return parts > 2 and cv2.connectedComponents(mask, connectivity=8)[0] < parts
