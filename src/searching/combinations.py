"""Combinations of post-processing values: which are tried, on what images, what each is worth."""

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from src.base.errors import InputError
from src.matching.average_precision import average_precision
from src.parts.image_parts import ALL
from src.searching.judged_images import Judged


def combinations_of(grid: Mapping[str, list]) -> list[dict]:
    """Return all combinations of the values of each key, the last key changing fastest.

    An empty grid has the one combination that changes nothing.
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def metric_values(
    images: list[Judged], subsets: Mapping[str, np.ndarray], metric: str
) -> dict[str, np.ndarray]:
    """Return the metric of every combination on each set of images.

    Parameters
    ----------
    images : list of Judged
        At least one, judged by `metric` under the same C combinations. Of detections of equal score
        those of the first images come first, as with COCO if the images are ordered by id.
    subsets : mapping of str to ndarray of bool, shape (images,)
        Which images count, at least one in each set.
    metric : {"ap50", "f1_50", "detection_accuracy", "dice_mean"}
        ap50 (COCO's, from 101 points) and f1_50 pool the detections, the others are means over
        images.

    Returns
    -------
    values : dict of str to ndarray of float64, shape (C,)
        In [0, 1], by set; all NaN for ap50 of a set without an object.
    """
    if metric in ("detection_accuracy", "dice_mean"):
        values = np.stack([image.values for image in images])
        return {key: values[subset].mean(axis=0) for key, subset in subsets.items()}
    objects = np.array([image.objects for image in images])
    stops = np.stack([np.cumsum(image.detections) for image in images])
    values = {key: np.empty(stops.shape[1]) for key in subsets}
    for column in range(stops.shape[1]):
        starts = stops[:, column - 1] if column else np.zeros(len(images), np.int64)
        parts = [slice(*bounds) for bounds in zip(starts, stops[:, column], strict=True)]
        scores = np.concatenate([i.scores[part] for i, part in zip(images, parts, strict=True)])
        hits = np.concatenate([i.hits[part] for i, part in zip(images, parts, strict=True)])
        of_image = np.repeat(np.arange(len(images)), stops[:, column] - starts)
        order = np.argsort(-scores, kind="stable")
        hits, of_image = hits[order], of_image[order]
        for key, subset in subsets.items():
            pooled = _average_precision if metric == "ap50" else _f1
            values[key][column] = pooled(hits[subset[of_image]], objects[subset].sum())
    return values


def draw_images(parts: ArrayLike, most: int, seed: int) -> np.ndarray:
    """Draw images to search on.

    Parameters
    ----------
    parts : sequence of str
        Of each image, as in `src.parts.image_parts.image_parts`.
    most : int
        Number of images drawn; 0, or at least as many as there are, takes all.
    seed : int
        The same draws the same.

    Returns
    -------
    places : ndarray of int64
        Rising.

    Raises
    ------
    InputError
        If no image of some part is drawn: nothing could be chosen for the others on it.
    """
    of_images = np.asarray(parts)
    if not 0 < most < len(of_images):
        return np.arange(len(of_images))
    places = np.sort(np.random.default_rng(seed).choice(len(of_images), most, replace=False))
    missing = np.setdiff1d(of_images, of_images[places])
    if missing.size:
        raise InputError(
            f"params.yaml: search.max_images {most} leaves no image of fold {missing[0]}; raise it "
            "or set it to 0 for all"
        )
    return places


def best_of(name: str, values: np.ndarray, metric: str) -> int:
    """Return the place of the highest value, the first of equal ones.

    `name` is that of the set in `src.parts.image_parts.learning_images`; it is, like `metric`, for
    the message alone.

    Raises
    ------
    InputError
        If a value is not a number, the metric not being defined on that set.
    """
    if np.isnan(values).any():
        where = "all folds" if name == ALL else f"the folds other than {name}"
        raise InputError(
            f"params.yaml: search.metric {metric} is undefined: the images of {where} show no "
            "object; choose detection_accuracy or dice_mean"
        )
    return int(np.argmax(values))


def _average_precision(hits: np.ndarray, objects: int) -> float:
    return average_precision(hits[hits >= 0] == 1, objects) if objects else float("nan")


def _f1(hits: np.ndarray, objects: int) -> float:
    tp, detections = np.count_nonzero(hits == 1), np.count_nonzero(hits >= 0)
    return 2 * tp / (detections + objects) if detections + objects else 1.0
