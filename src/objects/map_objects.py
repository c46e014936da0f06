"""From all maps of one image to labelled objects, by any method that gives one label map."""

from collections.abc import Mapping, Sequence

import numpy as np

from src.base.errors import InputError
from src.objects.hulls import hull_unsure
from src.objects.linked_objects import linked_labels
from src.objects.objects import clean_foreground, connected_labels, sized_objects
from src.objects.params import PostprocessParams
from src.objects.watershed import SEED_HEADS, seed_map, watershed_labels


def heads_used(heads: list[str], params: PostprocessParams) -> list[str]:
    """Return the heads that post-processing reads, "mask" first.

    Parameters
    ----------
    heads : list of str
        Those there are, as in maps.json.
    params : PostprocessParams
        `method`, `seeds` and `empty_threshold` are looked at.

    Raises
    ------
    InputError
        If one is needed that is not there; the message names the key that asks for it.
    """
    asked = {"mask": ""}
    if params.method in ("watershed", "layers") and params.seeds != "mask":
        asked[SEED_HEADS[params.seeds]] = f"postprocess.seeds {params.seeds}"
    if params.method == "embedding":
        asked["embedding"] = "postprocess.method embedding"
    if params.empty_threshold:
        asked["empty"] = f"postprocess.empty_threshold {params.empty_threshold}"
    for head, key in asked.items():
        if head not in heads:
            raise InputError(
                f"params.yaml: {key} needs the head {head}, but the networks have "
                f"{', '.join(heads)} alone; train with loss.{head}_weight above 0 or change the key"
            )
    return list(asked)


def find_objects(
    maps: Mapping[str, np.ndarray], empty_probability: float, params: PostprocessParams
) -> np.ndarray:
    """Find the objects of one image.

    Parameters
    ----------
    maps, empty_probability, params
        As for `find_labels`; `min_area`, `max_area` and `dilate` as for
        `src.objects.objects.sized_objects`.

    Returns
    -------
    instances : ndarray of uint16, shape (H, W)
        Labels 1..N in row-major order of first pixels; all 0 if nothing is found.

    Raises
    ------
    InputError
        If there are more than 65,534 objects.
    """
    return _sized(find_labels(maps, empty_probability, params), params)


def find_layers(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    params: PostprocessParams,
    thresholds: Sequence[float],
) -> np.ndarray:
    """Find the objects of one image at several thresholds.

    Parameters
    ----------
    maps, empty_probability, params
        As for `find_objects`; what `params.threshold` is does not matter.
    thresholds : sequence of float
        K of them, above 0; above 1 there is no object.

    Returns
    -------
    layers : ndarray of uint16, shape (K, H, W)
        Of each threshold what `find_objects` finds.

    Raises
    ------
    InputError, ValueError
        As `find_objects`.
    """
    regions = find_regions(maps, empty_probability, params, thresholds)
    return region_objects(regions, maps, params)


def find_labels(
    maps: Mapping[str, np.ndarray], empty_probability: float, params: PostprocessParams
) -> np.ndarray:
    """Find what may be an object, of any size.

    Parameters
    ----------
    maps, empty_probability
        As for `find_regions`.
    params : PostprocessParams
        As for `find_regions` and `region_objects`, but what changes or drops objects by their size
        is not looked at. The region is that at `threshold`.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        0 background, 1..N.

    Raises
    ------
    ValueError
        If the method is "layers", which has no one label map.
    """
    regions = find_regions(maps, empty_probability, params, [params.threshold])
    return _labels(regions, maps, params)[0]


def find_regions(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    params: PostprocessParams,
    thresholds: Sequence[float],
) -> np.ndarray:
    """Find what belongs to objects at several thresholds.

    Parameters
    ----------
    maps : mapping of str to ndarray of uint8, shape (H, W), "embedding" (H, W, 3)
        Value * 255 of the heads of `heads_used`.
    empty_probability : float
        In [0, 1], that the image holds no object; 0 where there is no such head.
    params : PostprocessParams
        Without `auto`. The mask, changed by `src.objects.hulls.hull_unsure` if `hull_high` is
        above 0, is cut at each threshold and cleaned by `src.objects.objects.clean_foreground`.
        Nothing is found where `empty_probability` is at least `empty_threshold`, unless that is 0.
    thresholds : sequence of float
        K of them, above 0.

    Returns
    -------
    regions : ndarray of bool, shape (K, H, W)
    """
    mask = maps["mask"]
    if params.empty_threshold and empty_probability >= params.empty_threshold:
        return np.zeros((len(thresholds), *mask.shape), bool)
    if params.hull_high:
        mask = hull_unsure(mask, params)
    lowest = np.ceil(np.array(thresholds) * 255).astype(np.int16)  # above 1 it is above 255
    return clean_foreground(
        mask >= lowest[:, None, None],
        connectivity=params.connectivity,
        white_speckle=params.white_speckle,
        black_speckle=params.black_speckle,
        max_hole=params.max_hole,
        erode=params.erode,
    )


def region_objects(
    regions: np.ndarray, maps: Mapping[str, np.ndarray], params: PostprocessParams
) -> np.ndarray:
    """Part regions into objects of the sizes asked for.

    Parameters
    ----------
    regions : ndarray of bool, shape (K, H, W)
        From `find_regions`.
    maps : mapping
        As there.
    params : PostprocessParams
        By `method` a region falls into its connected parts ("threshold"), into those of
        `src.objects.watershed.watershed_labels` ("watershed") or of
        `src.objects.linked_objects.linked_labels` ("embedding"); by `min_area`, `max_area` and
        `dilate` these are dropped or grow as in `src.objects.objects.sized_objects`.

    Returns
    -------
    layers : ndarray of uint16, shape (K, H, W)
        In each layer labels 1..N in row-major order of first pixels.

    Raises
    ------
    InputError, ValueError
        As `find_objects`.
    """
    return _sized(_labels(regions, maps, params), params)


def _sized(labels: np.ndarray, params: PostprocessParams) -> np.ndarray:
    return sized_objects(
        labels, min_area=params.min_area, max_area=params.max_area, dilate=params.dilate
    )


def _labels(
    regions: np.ndarray, maps: Mapping[str, np.ndarray], params: PostprocessParams
) -> np.ndarray:
    """Label the parts of each region, int32 (K, H, W); a label is of one region."""
    if params.method == "threshold":
        return connected_labels(regions, params.connectivity)
    labels, count = np.empty(regions.shape, np.int32), 0
    for region, found in zip(regions, labels, strict=True):
        found[:] = _parted(region, maps, params)
        highest = int(found.max())
        found[found > 0] += count
        count += highest
    return labels


def _parted(
    region: np.ndarray, maps: Mapping[str, np.ndarray], params: PostprocessParams
) -> np.ndarray:
    if params.method == "watershed":
        return watershed_labels(
            region,
            seed_map(maps, params.seeds),
            seed_threshold=params.seed_threshold,
            seed_area=params.seed_area,
            connectivity=params.connectivity,
        )
    if params.method == "embedding":
        return linked_labels(region, maps["embedding"], link_threshold=params.link_threshold)
    raise ValueError(
        f"method '{params.method}' has no one label map; known: threshold, watershed, embedding"
    )
