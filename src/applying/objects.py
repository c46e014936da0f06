"""From the maps of an image to its scored objects, by what a bundle has learnt."""

from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from src.applying.maps import Maps, predicted_maps
from src.bundles.reading import Bundle
from src.candidates.candidate_table import candidate_table, joined_tables
from src.objects.rle import crop_mask
from src.scoring.candidate_tables import candidate_rles
from src.scoring.learning import detect


class Found(NamedTuple):
    """What a bundle finds in one image."""

    objects: pd.DataFrame  # the accepted detections, best score first
    labels: np.ndarray  # (H, W) uint32: 0 is background, n the n-th object
    probability: np.ndarray  # (H, W) uint8: of the mask, * 255


def found_objects(bundle: Bundle, maps: Maps) -> pd.DataFrame:
    """Find and score the objects of one image.

    Parameters
    ----------
    bundle : Bundle
    maps : dict of ndarray
        Of the image, as `src.applying.maps.merged_maps`.

    Returns
    -------
    detections : DataFrame
        By falling score: `height`, `width` (px), `counts` (compressed RLE), `area`, `bbox_x`,
        `bbox_y`, `bbox_width`, `bbox_height` (px), `score`, bool `accepted`, and what else
        `src.candidates.candidate_table` measures; `name` is empty. The same as the stages
        postprocess and rescore give for an image of val, but for the spreads of features that no
        second level reads, which are 0. May be empty.
    """
    empty = float(maps["empty"]) if "empty" in maps else 0.0
    given = {kind: one for kind, one in maps.items() if kind != "empty"}
    candidates = candidate_table("", given, empty, bundle.postprocess)
    return detect(joined_tables([candidates]), bundle.learnt).reset_index(drop=True)


def painted_labels(objects: pd.DataFrame, height: int, width: int) -> np.ndarray:
    """Paint objects into one label map, the first over all later ones.

    Parameters
    ----------
    objects : DataFrame
        From `found_objects`, best first.
    height, width : int
        Of the image, px.

    Returns
    -------
    labels : ndarray of uint32, shape (height, width)
        0 is background, n the n-th row; a label is absent where better ones cover its object.
    """
    labels = np.zeros((height, width), np.uint32)
    rles = candidate_rles(objects)
    for label in range(len(rles), 0, -1):
        mask, x, y = crop_mask(cast("dict[str, Any]", rles[label - 1]))
        labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = label
    return labels


def apply_to_image(bundle: Bundle, image: np.ndarray) -> Found:
    """Find the objects of an image with a bundle.

    Parameters
    ----------
    bundle : Bundle
        From `src.bundles.reading.read_bundle`.
    image : ndarray of uint8, shape (H, W, 3)
        RGB, at the pixel size that the networks learnt at. It is held whole, as are its maps.

    Returns
    -------
    found : Found
        Its objects are accepted, that is from the operating point on.

    Raises
    ------
    InputError
        As `src.applying.maps.network_maps`.
    """
    maps = predicted_maps(bundle, image)
    detections = found_objects(bundle, maps)
    objects = detections[detections["accepted"]].reset_index(drop=True)
    return Found(objects, painted_labels(objects, *maps["mask"].shape), maps["mask"])
