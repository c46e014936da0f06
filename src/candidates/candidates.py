"""From the maps of one image to candidates: the objects of one label map, or of nested ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from src.candidates.candidate_features import FEATURES, object_features
from src.objects.map_objects import find_objects
from src.objects.params import PostprocessParams
from src.objects.rle import encode_instances

BOX = ("bbox_x", "bbox_y", "bbox_width", "bbox_height")
COLUMNS = {"counts": str, "area": int} | dict.fromkeys(BOX, int) | {"parent": int}
COLUMNS |= {name: float for name in FEATURES if name != "area"}
STEP = 0.1  # of probability, to the thresholds that tell how stable the objects of one map are
PARTED = 2  # each such layer has parts too: those of its neighbours are nearly the same


class Layer(NamedTuple):
    """The N objects of one label map and how they relate to those of other thresholds."""

    threshold: float
    instances: np.ndarray  # (H, W) uint16: 0 background, 1..N
    kept: np.ndarray  # (N,) bool: False if its parent has the very same pixels
    parent: np.ndarray  # (N,) int64: position among the kept of all layers, -1 none
    position: np.ndarray  # (N,) int64: its own there, or where it is not kept that of its parent;
    # of parts, which nothing is linked to, -1
    stability_up: np.ndarray  # (N,) float64 in [0, 1]
    stability_down: np.ndarray  # (N,) float64 in [0, 1]
    part: bool = False  # whether they are parts of objects of the same threshold


class Partners(NamedTuple):
    """For each of N objects the one of another label map that it shares most pixels with."""

    index: np.ndarray  # (N,) int64: label - 1; of equal shares the lowest; -1 if it shares none
    iou: np.ndarray  # (N,) float64; 0 if it shares none, 1 only for the very same pixels


def image_candidates(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    spreads: Mapping[str, np.ndarray],
    params: PostprocessParams,
) -> dict[str, np.ndarray]:
    """Find and measure the candidates of one image.

    Parameters
    ----------
    maps, empty_probability, params
        As for `image_layers`.
    spreads : mapping of str to ndarray of uint8, shape (H, W)
        "view_spread" and "member_spread", where they exist: standard deviation * 510.

    Returns
    -------
    columns : dict of ndarray, shape (N,)
        Of the types in `COLUMNS`: counts (compressed RLE); area and bounding box in pixels; parent
        (position here, -1 none); `src.candidates.candidate_features.FEATURES`, of which the
        neighbours are all objects of the same layer, those too that are no candidates because they
        repeat their parent. `part` is 1 for the parts of an object, else 0; the parent of a part is
        that object. By layer, then by label, the parts last.
    """
    tables: tuple[list, list] = [], []
    for layer in image_layers(maps, empty_probability, params):
        objects = encode_instances(layer.instances)
        count = len(objects.rles)
        table = object_features(layer.instances, maps["mask"], **spreads)
        table |= dict(zip(BOX, objects.boxes.T, strict=True)) | {"area": objects.areas}
        table |= {"counts": np.array([rle["counts"] for rle in objects.rles], object)}
        table |= {"threshold": np.full(count, layer.threshold), "parent": layer.parent}
        table |= {"part": np.full(count, float(layer.part))}
        table |= {"stability_up": layer.stability_up, "stability_down": layer.stability_down}
        tables[layer.part].append({column: table[column][layer.kept] for column in COLUMNS})
    both = tables[False] + tables[True]
    return {column: np.concatenate([table[column] for table in both]) for column in COLUMNS}


def image_layers(
    maps: Mapping[str, np.ndarray], empty_probability: float, params: PostprocessParams
) -> Iterator[Layer]:
    """Find the candidates of one image, layer by layer, so that few are in memory at a time.

    Parameters
    ----------
    maps, empty_probability
        As for `src.objects.map_objects.find_objects`.
    params : PostprocessParams
        Without `auto`. The method "layers" finds objects as "threshold" does at every threshold of
        `layers`; unless `seeds` is "mask", the parts that "watershed" makes of them at every second
        threshold are candidates too, since no threshold parts objects that touch all along a side.
        The other methods find objects as `src.objects.map_objects.find_objects` at `threshold`.

    Yields
    ------
    layer : Layer
        By rising threshold. With "layers" one for each threshold, the objects linked as by
        `linked_layers`, each followed by that of its parts if it has one, whose stability both ways
        is the IoU with the object they are part of, whose parent is that; what is an object whole
        is not kept again. Positions count the layers without those of parts. Else a single one
        without
        parents, whose stability is the IoU with the object that shares most pixels at a threshold
        higher, or lower, by 0.1; the lowest is one step of the maps, 1/255, and above 1 there is no
        object.
    """
    one_map = "threshold" if params.method == "layers" else params.method

    def found(at: float, method: str = one_map) -> np.ndarray:
        at_threshold = params.model_copy(update={"method": method, "threshold": at})
        return find_objects(maps, empty_probability, at_threshold)

    if params.method == "layers":
        layers = linked_layers(map(found, params.layers), params.layers)
        for place, layer in enumerate(layers):
            yield layer
            if params.seeds != "mask" and place % PARTED == 0:
                parts = _linked(layer.threshold, found(layer.threshold, "watershed"), layer, 0)
                nowhere = np.full(len(parts.kept), -1)
                up = parts.stability_down
                yield parts._replace(position=nowhere, stability_up=up, part=True)
        return
    threshold = params.threshold
    instances = found(threshold)
    up = overlap_partners(instances, found(threshold + STEP)).iou
    down = overlap_partners(instances, found(max(threshold - STEP, 1 / 255))).iou
    alone = np.full(len(up), -1)
    yield Layer(threshold, instances, alone < 0, alone, np.arange(len(up)), up, down)


def linked_layers(maps: Iterable[np.ndarray], thresholds: Sequence[float]) -> Iterator[Layer]:
    """Link each object to the one around it in the map below and mark those that repeat it.

    Parameters
    ----------
    maps : iterable of ndarray of uint16, shape (H, W)
        Label maps of objects 1..N, each N its own, by rising threshold; two are held at a time.
    thresholds : sequence of float
        One for each map.

    Yields
    ------
    layer : Layer
        Of each map. The parent is the object one map below that shares most pixels: the one that
        contains it, where objects are nested. One with the very same pixels as its parent is not
        kept, and what would be its children are its parent's. Stability is the IoU with the parent
        and, upwards, with the object one map above that shares most pixels; 0 where there is none.
    """
    below, first = None, 0
    for threshold, instances in zip(thresholds, maps, strict=True):
        layer = _linked(threshold, instances, below, first)
        if below is not None:
            yield below._replace(stability_up=overlap_partners(below.instances, instances).iou)
        below, first = layer, first + int(layer.kept.sum())
    if below is not None:
        yield below


def _linked(threshold: float, instances: np.ndarray, around: Layer | None, first: int) -> Layer:
    """Link objects to those around them in a layer before; `stability_up` is left 0.

    `first` is the position of the first that is kept.
    """
    count = int(instances.max())
    link, positions = Partners(np.full(count, -1), np.zeros(count)), np.empty(0, np.int64)
    if around is not None:
        link, positions = overlap_partners(instances, around.instances), around.position
    parent = np.append(positions, -1)[link.index]  # index -1 has none
    kept = link.iou < 1
    position = np.where(kept, first + np.cumsum(kept) - 1, parent)
    return Layer(threshold, instances, kept, parent, position, np.zeros(count), link.iou)


def overlap_partners(instances: np.ndarray, others: np.ndarray) -> Partners:
    """Find for each object of a label map the one of another map that shares most pixels.

    Parameters
    ----------
    instances, others : ndarray of uint16, shape (H, W)
        0 is background; labels 1..N and 1..M.

    Returns
    -------
    partners : Partners
        Of `instances`, in the order of labels.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if instances.shape != others.shape:
        raise ValueError(f"label maps are {instances.shape} and {others.shape}")
    ones, twos = instances.ravel(), others.ravel()
    new = (ones[1:] != ones[:-1]) | (twos[1:] != twos[:-1])
    starts = np.concatenate([[0], np.flatnonzero(new) + 1])  # of runs of equal pairs
    length = np.diff(starts, append=ones.size)
    pairs = ones[starts].astype(np.int64) << 16 | twos[starts]
    shared = (ones[starts] > 0) & (twos[starts] > 0)
    pairs, run_of = np.unique(pairs[shared], return_inverse=True)
    pixels = np.bincount(run_of, weights=length[shared]).astype(np.int64)
    one, two = (pairs >> 16) - 1, (pairs & 65535) - 1
    best = np.lexsort((two, -pixels, one))
    best = best[np.diff(one[best], prepend=-1) > 0]  # the first of each object
    one, two, pixels = one[best], two[best], pixels[best]
    areas, other_areas = (
        np.bincount(labels[starts], weights=length).astype(np.int64)[1:] for labels in (ones, twos)
    )
    index, iou = np.full(len(areas), -1), np.zeros(len(areas))
    index[one] = two
    iou[one] = pixels / (areas[one] + other_areas[two] - pixels)
    return Partners(index, iou)
