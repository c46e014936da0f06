"""Probability maps of an image by the networks of a bundle: those that the stages would make.

Each network predicts as the stage predict does, and their maps are merged as by the stage ensemble
for an image of val, by the same functions and in the same bytes.
"""

import numpy as np

from src.base.errors import InputError
from src.bundles.reading import Bundle
from src.maps.map_folder import HEADS, stored_empty
from src.maps.merge_rules import merge_of
from src.maps.probability_maps import merge_maps, merge_probabilities, spread_of_maps
from src.objects.map_objects import heads_used
from src.predicting.network_maps import Predict, image_predictor, stored_maps
from src.predicting.prediction import has_spread

Maps = dict[str, np.ndarray]


def map_kinds(bundle: Bundle) -> list[str]:
    """Return the kinds of map that objects are found in, the mask first.

    These are the heads that post-processing reads and, where a second level scores candidates, the
    spreads that there are: over views or scales, and over several members.
    """
    heads = {head for one in bundle.networks for head in one.description["heads"]}
    kinds = heads_used([head for head in HEADS if head in heads], bundle.postprocess)
    if bundle.learnt.model is not None:
        kinds += ["view_spread"] * has_spread(bundle.predict)
        kinds += ["member_spread"] * (len({one.member for one in bundle.networks}) > 1)
    return kinds


def predictors(bundle: Bundle) -> list[Predict]:
    """Return a function of each network that predicts an image; see `network_maps`.

    Networks are moved to the device that the bundle's `predict.precision` asks for.
    """
    return [image_predictor(one.model, one.description, bundle.predict) for one in bundle.networks]


def network_maps(
    bundle: Bundle, predict: list[Predict], image: np.ndarray
) -> list[dict[str, np.ndarray | float]]:
    """Predict an image with every network.

    Parameters
    ----------
    bundle : Bundle
    predict : list of callable
        From `predictors`.
    image : ndarray of uint8, shape (H, W, 3)
        RGB.

    Returns
    -------
    maps : list of dict
        Of each network, by kind of `map_kinds` that it has: as stored, see
        `src.predicting.network_maps.stored_maps`.

    Raises
    ------
    InputError
        If the image is another array, or a network answers with no number.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"an image of {image.dtype} {image.shape}: want uint8 (height, width, 3), RGB"
        )
    wanted = {*map_kinds(bundle), "mask", "empty"}
    found: list[dict[str, np.ndarray | float]] = []
    for one in predict:
        maps = stored_maps(one(image, 0.0), "the image")
        found.append({kind: values for kind, values in maps.items() if kind in wanted})
    return found


def merged_maps(bundle: Bundle, found: list[dict[str, np.ndarray | float]]) -> Maps:
    """Merge the maps of all networks.

    Parameters
    ----------
    bundle : Bundle
    found : list of dict
        From `network_maps`.

    Returns
    -------
    maps : dict of ndarray
        By the kinds of `map_kinds`: uint8 (H, W), of "embedding" (H, W, 3), as
        `src.maps.map_folder` has them; of "empty" a probability in [0, 1], float64 of shape ().
    """
    merged: Maps = {}
    for kind in map_kinds(bundle):
        if kind == "member_spread":
            groups: dict[str, list[np.ndarray]] = {}
            for one, maps in zip(bundle.networks, found, strict=True):
                groups.setdefault(one.member, []).append(np.asarray(maps["mask"]))
            merged[kind] = spread_of_maps(list(groups.values()))
            continue
        pairs = list(zip(bundle.networks, found, strict=True))
        if kind != "view_spread":  # a head, which not all networks need to have
            pairs = [(one, maps) for one, maps in pairs if kind in one.description["heads"]]
        weights, merge = [one.weight for one, _ in pairs], merge_of(kind, bundle.manifest.merge)
        if kind == "empty":
            numbers = np.array([stored_empty(float(maps[kind])) for _, maps in pairs])
            probability = float(merge_probabilities(numbers, merge, weights))
            merged[kind] = np.array(stored_empty(probability))
        else:
            merged[kind] = merge_maps([np.asarray(maps[kind]) for _, maps in pairs], merge, weights)
    return merged


def predicted_maps(bundle: Bundle, image: np.ndarray) -> Maps:
    """Predict one image with all networks of a bundle.

    Where several images are predicted, `predictors` made once saves moving networks.

    Parameters
    ----------
    bundle : Bundle
    image : ndarray of uint8, shape (H, W, 3)
        RGB, at the pixel size that the networks learnt at.

    Returns
    -------
    maps : dict of ndarray
        As `merged_maps`: the same bytes as the stages predict and ensemble give for an image of
        val on the same device.

    Raises
    ------
    InputError
        As `network_maps`.
    """
    return merged_maps(bundle, network_maps(bundle, predictors(bundle), image))
