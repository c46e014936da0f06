"""From all maps of one image to labelled objects, by any method that gives one label map."""

from collections.abc import Mapping

import numpy as np

from src.base.errors import InputError
from src.objects.hulls import hull_uncertain
from src.objects.linked_objects import linked_labels
from src.objects.objects import clean_foreground, connected_labels, sized_objects
from src.objects.watershed import SEED_HEADS, seed_map, watershed_labels


def heads_used(heads: list[str], *, method: str, seeds: str, empty_threshold: float) -> list[str]:
    """Return the heads that post-processing reads, "mask" first.

    Parameters
    ----------
    heads : list of str
        Those there are, as in maps.json.
    method, seeds, empty_threshold
        As in the section `postprocess` of params.yaml.

    Raises
    ------
    InputError
        If one is needed that is not there; the message names the key that asks for it.
    """
    asked = {"mask": ""}
    if method == "watershed" and seeds != "mask":
        asked[SEED_HEADS[seeds]] = f"postprocess.seeds {seeds}"
    if method == "embedding":
        asked["embedding"] = "postprocess.method embedding"
    if empty_threshold:
        asked["empty"] = f"postprocess.empty_threshold {empty_threshold}"
    for head, key in asked.items():
        if head not in heads:
            raise InputError(
                f"params.yaml: {key} needs the head {head}, but the networks have "
                f"{', '.join(heads)} alone; train with loss.{head}_weight above 0 or change the key"
            )
    return list(asked)


def find_objects(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    *,
    min_area: int,
    max_area: int,
    dilate: int,
    **of_labels,
) -> np.ndarray:
    """Find the objects of one image.

    Parameters
    ----------
    maps, empty_probability, of_labels
        As for `find_labels`.
    min_area, max_area, dilate : int
        As for `src.objects.objects.sized_objects`.

    Returns
    -------
    instances : ndarray of uint16, shape (H, W)
        Labels 1..N in row-major order of first pixels; all 0 if nothing is found.

    Raises
    ------
    InputError
        If there are more than 65,534 objects.
    """
    labels = find_labels(maps, empty_probability, **of_labels)
    return sized_objects(labels, min_area=min_area, max_area=max_area, dilate=dilate)


def find_labels(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    *,
    method: str,
    threshold: float,
    seeds: str,
    seed_threshold: float,
    seed_area: int,
    link_threshold: float,
    connectivity: int,
    white_speckle: int,
    black_speckle: int,
    max_hole: int,
    erode: int,
    empty_threshold: float,
    hull_low: float,
    hull_high: float,
    hull_rows: float,
    hull_min_area: float,
) -> np.ndarray:
    """Find what may be an object, of any size.

    Parameters
    ----------
    maps : mapping of str to ndarray of uint8, shape (H, W), "embedding" (H, W, 3)
        Value * 255 of the heads of `heads_used`.
    empty_probability : float
        In [0, 1], that the image holds no object; 0 where there is no such head.
    method : {"threshold", "watershed", "embedding"}
        The mask from `threshold` on, cleaned as by `src.objects.objects.clean_foreground`, falls
        into its connected regions, into those of `src.objects.watershed.watershed_labels`, or of
        `src.objects.linked_objects.linked_labels`.
    empty_threshold : float
        In [0, 1]; nothing is found where `empty_probability` is at least this. 0 is off.
    hull_low, hull_high, hull_rows, hull_min_area : float
        As for `src.objects.hulls.hull_uncertain`, which first changes the mask; with hull_high 0 it
        is left out.
    threshold, seeds, seed_threshold, seed_area, link_threshold, connectivity, white_speckle, \
    black_speckle, max_hole, erode
        As for those functions.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        0 background, 1..N.

    Raises
    ------
    ValueError
        If `method` is another.
    """
    mask = maps["mask"]
    if empty_threshold and empty_probability >= empty_threshold:
        return np.zeros(mask.shape, np.int32)
    if hull_high:
        mask = hull_uncertain(
            mask, low=hull_low, high=hull_high, rows=hull_rows, min_area=hull_min_area
        )
    region = clean_foreground(
        mask >= threshold * 255,
        connectivity=connectivity,
        white_speckle=white_speckle,
        black_speckle=black_speckle,
        max_hole=max_hole,
        erode=erode,
    )
    if method == "threshold":
        return connected_labels(region, connectivity)
    if method == "watershed":
        return watershed_labels(
            region,
            seed_map(maps, seeds),
            seed_threshold=seed_threshold,
            seed_area=seed_area,
            connectivity=connectivity,
        )
    if method == "embedding":
        return linked_labels(region, maps["embedding"], link_threshold=link_threshold)
    raise ValueError(
        f"method '{method}' has no one label map; known: threshold, watershed, embedding"
    )
