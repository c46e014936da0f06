"""Objects of an image in the scene, or the mosaic, that it is a part of."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from src.mosaics.runs import (
    Area,
    count_pixels,
    join_runs,
    place_runs,
    rle_runs,
    runs_area,
    runs_mask,
)

Colours = tuple[float, float, float]


class SceneObject(NamedTuple):
    """One object."""

    runs: np.ndarray  # int64 (R, 2); see src.mosaics.runs
    score: float
    colour: Colours  # means of red, green and blue, 0 to 255


def image_objects(
    detections: pd.DataFrame, image: np.ndarray, height: int, place: Area
) -> list[SceneObject]:
    """Bring the accepted detections of an image to where it lies in a scene.

    Parameters
    ----------
    detections : DataFrame
        Columns counts (compressed RLE of the image), score and bool accepted.
    image : ndarray of uint8, shape (h, w, 3)
        That the colours are measured in.
    height : int
        Of the scene, px.
    place : Area
        Of the image in it.
    """
    objects, rows = [], place.bottom - place.top
    accepted = detections[detections["accepted"]]
    for counts, score in zip(accepted["counts"], accepted["score"], strict=True):
        inside = rle_runs(counts)
        if len(inside):
            runs = place_runs(inside, rows, height, place.top, place.left)
            objects.append(SceneObject(runs, float(score), _colour(inside, rows, image)))
    return objects


def joined_object(parts: list[SceneObject]) -> SceneObject:
    """Make one object of its parts, at least one; score and colour are means by area."""
    weights = [count_pixels(part.runs) for part in parts]
    return SceneObject(
        join_runs([part.runs for part in parts]),
        float(np.average([part.score for part in parts], weights=weights)),
        tuple(np.average([part.colour for part in parts], 0, weights).tolist()),
    )


def _colour(runs: np.ndarray, height: int, image: np.ndarray) -> Colours:
    area = runs_area(runs, height)
    mask = runs_mask(runs, height, area)
    red, green, blue = image[area.top : area.bottom, area.left : area.right][mask].mean(axis=0)
    return float(red), float(green), float(blue)
