"""How sure networks are of an unlabelled image, and what it then teaches."""

from typing import NamedTuple

import numpy as np

from src.base.errors import InputError
from src.formats.labels import IGNORE
from src.formats.probability_maps import merge_maps
from src.objects.objects import MAX_OBJECTS, connected_labels

CONNECTIVITY = 4  # of the pixels of an object


class Sureness(NamedTuple):
    """How sure networks are of one image."""

    certain: float  # share of its pixels
    spread: float  # mean standard deviation of the probability
    expected_iou: float  # of what they find


def sureness(
    maps: list[np.ndarray], view_spreads: list[np.ndarray], *, low: float, high: float
) -> Sureness:
    """Measure how sure networks are of one image.

    Parameters
    ----------
    maps : list of ndarray of uint8, shape (H, W)
        Probability * 255 of each network; at least one.
    view_spreads : list of ndarray of uint8, shape (H, W)
        Standard deviation over views * 510 of each network; empty where they have one view.
    low, high : float
        See `is_uncertain`, here of the mean over networks.

    Returns
    -------
    certain : float
        Share of certain pixels, in [0, 1].
    spread : float
        Mean over pixels of the standard deviation over networks and views together, in [0, 0.5]:
        the root of the variance over networks plus the mean of their variances over views. 0 for
        one network with one view.
    expected_iou : float
        In [0, 1]: of the pixels from 0.5 on, if every pixel of the image were an object with its
        probability and regardless of the others; the expected intersection over the expected
        union. 0 where no pixel reaches 0.5.
    """
    merged = merge_maps(maps, "mean")
    variance = np.var(np.stack(maps) / 255, axis=0)
    if view_spreads:
        variance += np.mean((np.stack(view_spreads) / 510) ** 2, axis=0)
    found = merged > 127
    inside, outside = (int(merged[region].sum()) for region in (found, ~found))
    union = 255 * int(found.sum()) + outside
    return Sureness(
        certain=float((~is_uncertain(merged, low=low, high=high)).mean()),
        spread=float(np.sqrt(variance).mean()),
        expected_iou=inside / union if inside else 0.0,
    )


def is_uncertain(merged: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Tell which pixels have a probability between `low` and `high`, both left out.

    Parameters
    ----------
    merged : ndarray of uint8, shape (H, W)
        Probability * 255.
    low, high : float
        In [0, 1].

    Returns
    -------
    uncertain : ndarray of bool, shape (H, W)
    """
    probability = merged / 255
    return (probability > low) & (probability < high)


def pseudo_instances(merged: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Turn a probability map into instances to learn from.

    Parameters
    ----------
    merged : ndarray of uint8, shape (H, W)
        Probability * 255.
    low, high : float
        See `is_uncertain`; `low` at most 0.5, `high` at least.

    Returns
    -------
    instances : ndarray of uint16, shape (H, W)
        0 background, 65535 (ignored) where it is uncertain, 1..N the connected regions of
        probabilities from 0.5 on, as far as they are certain: two parts of one that are joined by
        uncertain pixels have one label. Regions without a certain pixel have none.

    Raises
    ------
    InputError
        If there are more than 65,534 objects; the message does not name the image.
    """
    labels = connected_labels(merged > 127, CONNECTIVITY)
    uncertain = is_uncertain(merged, low=low, high=high)
    labels[uncertain] = 0
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1
    if present.size > MAX_OBJECTS:
        raise InputError(
            f"{present.size} objects in one image, more than {MAX_OBJECTS}; cut it into tiles"
        )
    renumber = np.zeros(labels.max() + 1, np.uint16)
    renumber[present] = np.arange(1, present.size + 1)
    instances = renumber[labels]
    instances[uncertain] = IGNORE
    return instances
