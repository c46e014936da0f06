"""From the maps of one image to candidates: the objects of one label map, or of nested ones."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from src.candidates.candidate_features import FEATURES, object_features
from src.objects.label_runs import LayerObjects, chosen_runs, layer_objects, run_boxes
from src.objects.map_objects import find_layers, find_regions, region_objects
from src.objects.params import PostprocessParams
from src.objects.rle import encode_columns

BOX = ("bbox_x", "bbox_y", "bbox_width", "bbox_height")
COLUMNS = {"counts": str, "area": int} | dict.fromkeys(BOX, int) | {"parent": int}
COLUMNS |= {name: float for name in FEATURES if name != "area"}
STEP = 0.1  # of probability, to the thresholds that tell how stable the objects of one map are
PARTED = 2  # each such layer has parts too: those of its neighbours are nearly the same
STACK = 1 << 20  # pixels of layers that are cut and measured together


class Stack(NamedTuple):
    """The N objects of label maps and how they relate to those of other thresholds."""

    thresholds: np.ndarray  # (N,) float64
    objects: LayerObjects
    kept: np.ndarray  # (N,) bool: False if the object around it has the very same pixels
    around: np.ndarray  # (N,) int64: number of the object around it among those of all stacks of
    # the image, kept or not, that are not of parts; -1 none
    stability_up: np.ndarray  # (N,) float64 in [0, 1]
    stability_down: np.ndarray  # (N,) float64 in [0, 1]
    part: bool = False  # whether they are parts of objects of the same threshold


class Partners(NamedTuple):
    """For each of N objects the one of another label map that it shares most pixels with."""

    index: np.ndarray  # (N,) int64: its number, from 0; of equal shares the lowest; -1 if none
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
        As for `image_stacks`.
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
    links: list[tuple[np.ndarray, np.ndarray]] = []
    for stack in image_stacks(maps, empty_probability, params):
        tables[stack.part].append(_measured(stack, maps["mask"], spreads))
        if not stack.part:
            links.append((stack.kept, stack.around))
    kept, around = (np.concatenate(arrays) for arrays in zip(*links, strict=True))
    positions = np.append(candidate_positions(kept, around), -1)  # the last is what -1 reads
    columns = {}
    for column in COLUMNS:
        columns[column] = np.concatenate([table.pop(column) for both in tables for table in both])
    columns["parent"] = positions[columns["parent"]]
    return columns


def candidate_positions(kept: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Tell which candidate stands for each object.

    Parameters
    ----------
    kept : ndarray of bool, shape (N,)
        Which objects are candidates.
    around : ndarray of int64, shape (N,)
        Number of the object around each, lower than its own; -1 none, which only those have that
        are kept.

    Returns
    -------
    positions : ndarray of int64, shape (N,)
        Among those kept its own or, of what is not, that of what is around it.
    """
    stands = np.where(kept, np.arange(len(kept)), around)
    while not kept[stands].all():
        stands = stands[stands]
    return (np.cumsum(kept) - 1)[stands]


def image_stacks(
    maps: Mapping[str, np.ndarray], empty_probability: float, params: PostprocessParams
) -> Iterator[Stack]:
    """Find the candidates of one image, as many layers at a time as are small together.

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
    stack : Stack
        By rising threshold. With "layers" the objects of each, linked as by `linked_stacks`, and
        stacks of their parts if there may be any, whose stability both ways is the IoU with the
        object they are part of, which is around them; what is an object whole is not kept again.
        Else a single one without objects around, whose stability is the IoU with the object that
        shares most pixels at a threshold higher, or lower, by 0.1; the lowest is one step of the
        maps, 1/255, and above 1 there is no object.
    """
    if params.method == "layers":
        parted: list[Stack] = []
        cut = _cut(maps, empty_probability, params, parted)
        for stack in linked_stacks(cut):
            yield stack
            while parted:
                yield parted.pop(0)
        return
    threshold = params.threshold
    near = [threshold, threshold + STEP, max(threshold - STEP, 1 / 255)]
    own, higher, lower = find_layers(maps, empty_probability, params, near)[:, None]
    up, down = (overlap_partners(own, other)[0].iou for other in (higher, lower))
    alone = np.full(len(up), -1)
    yield Stack(np.full(len(up), threshold), layer_objects(own), alone < 0, alone, up, down)


def _cut(
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    params: PostprocessParams,
    parted: list[Stack],
) -> Iterator[tuple[np.ndarray, LayerObjects]]:
    """Yield layers as `linked_stacks` takes them; their parts are added to `parted`."""
    whole, parts = (
        params.model_copy(update={"method": method}) for method in ("threshold", "watershed")
    )
    together, first = max(1, STACK // maps["mask"].size), 0
    for place in range(0, len(params.layers), together):
        thresholds = np.array(params.layers[place : place + together])
        regions = find_regions(maps, empty_probability, params, thresholds.tolist())
        objects = layer_objects(region_objects(regions, maps, whole))
        if params.seeds != "mask":
            some = slice(-place % PARTED, None, PARTED)
            if len(thresholds[some]):
                of_parts = layer_objects(region_objects(regions[some], maps, parts))
                parted.append(_parts(of_parts, thresholds[some], objects, some, first))
        yield thresholds, objects
        first += int(objects.counts.sum())


def _parts(
    parts: LayerObjects, thresholds: np.ndarray, objects: LayerObjects, some: slice, first: int
) -> Stack:
    """Link parts to the objects of some of the layers, of which `first` is the first's number."""
    partners = overlap_partners(parts.layers, objects.layers[some])[0]
    before = (first + np.cumsum(objects.counts) - objects.counts)[some]
    counts = objects.counts[some]
    # The number among the objects of these layers -> among those of all
    numbers = np.append(np.repeat(before - (np.cumsum(counts) - counts), counts), 0)
    numbers[:-1] += np.arange(len(numbers) - 1)
    numbers[-1] = -1
    of_each = np.repeat(thresholds, parts.counts)
    iou = partners.iou
    return Stack(of_each, parts, iou < 1, numbers[partners.index], iou, iou, True)


def linked_stacks(cut: Iterable[tuple[np.ndarray, LayerObjects]]) -> Iterator[Stack]:
    """Link each object to the one around it in the map below and mark those that repeat it.

    Parameters
    ----------
    cut : iterable of (ndarray of float, LayerObjects)
        Thresholds and their objects, all by rising threshold; two stacks are held at a time.

    Yields
    ------
    stack : Stack
        Of each. Around an object is the one a map below that shares most pixels: the one that
        contains it, where objects are nested. One with the very same pixels as that is not kept.
        Stability is the IoU with it and, upwards, with the object one map above that shares most
        pixels; 0 where there is none.
    """
    below, first = None, 0
    for thresholds, objects in cut:
        counts, layers = objects.counts, objects.layers
        total = int(counts.sum())
        around, down, up = np.full(total, -1), np.zeros(total), np.zeros(total)
        inner = int(counts[0])  # the first that has a layer of the same stack below
        lower, upper = overlap_partners(layers[1:], layers[:-1])
        around[inner:] = np.where(lower.index < 0, -1, lower.index + first)
        down[inner:], up[: len(upper.iou)] = lower.iou, upper.iou
        if below is not None:
            lower, upper = overlap_partners(layers[:1], below.objects.layers[-1:])
            last = first - len(upper.iou)
            around[:inner] = np.where(lower.index < 0, -1, lower.index + last)
            down[:inner], below.stability_up[len(below.kept) - len(upper.iou) :] = (
                lower.iou,
                upper.iou,
            )
            yield below
        of_each = np.repeat(thresholds, counts)
        below = Stack(of_each, objects, down < 1, around, up, down)
        first += total
    if below is not None:
        yield below


def overlap_partners(ones: np.ndarray, twos: np.ndarray) -> tuple[Partners, Partners]:
    """Find for each object of label maps the one of other maps that it shares most pixels with.

    Parameters
    ----------
    ones, twos : ndarray of uint16, shape (K, H, W)
        Each of K maps is compared with one. 0 is background; in each labels 1..N.

    Returns
    -------
    partners, others : Partners
        Of the objects of `ones`, numbered by map, then by label, and of those of `twos`.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if ones.shape != twos.shape:
        raise ValueError(f"label maps are {ones.shape} and {twos.shape}")
    pixels = ones.shape[1] * ones.shape[2]
    one, two = ones.ravel(), twos.ravel()
    new = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    new[pixels - 1 :: pixels] = True
    starts = np.concatenate([np.zeros(min(one.size, 1), np.int64), np.flatnonzero(new) + 1])
    length = np.diff(starts, append=one.size)  # of stretches of equal pairs
    layer = starts // pixels
    numbers, areas = [], []
    for layers, flat in ((ones, one), (twos, two)):
        counts = layers.max(axis=(1, 2), initial=0).astype(np.int64)
        label = flat[starts].astype(np.int64)
        number = np.where(label > 0, (np.cumsum(counts) - counts)[layer] + label, 0)
        area = np.bincount(number, weights=length, minlength=int(counts.sum()) + 1)
        numbers.append(number)
        areas.append(area[1:].astype(np.int64))
    shared = (numbers[0] > 0) & (numbers[1] > 0)
    keys = numbers[0][shared] * (len(areas[1]) + 1) + numbers[1][shared]
    pairs, run_of = np.unique(keys, return_inverse=True)
    count = np.bincount(run_of, weights=length[shared]).astype(np.int64)
    first, second = np.divmod(pairs, len(areas[1]) + 1)
    first, second = first - 1, second - 1
    iou = count / (areas[0][first] + areas[1][second] - count)
    return (
        _largest(first, second, count, iou, len(areas[0])),
        _largest(second, first, count, iou, len(areas[1])),
    )


def _largest(
    one: np.ndarray, other: np.ndarray, pixels: np.ndarray, iou: np.ndarray, count: int
) -> Partners:
    """Return of each of `count` objects the pair with most pixels, of equal ones the first."""
    best = np.lexsort((other, -pixels, one))
    best = best[np.diff(one[best], prepend=-1) > 0]
    partners = Partners(np.full(count, -1), np.zeros(count))
    partners.index[one[best]], partners.iou[one[best]] = other[best], iou[best]
    return partners


def _measured(
    stack: Stack, mask: np.ndarray, spreads: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Measure what is kept of a stack; `parent` is the number of what is around."""
    objects, kept = stack.objects, stack.kept
    table = object_features(objects, mask, chosen=kept, **spreads)
    table |= dict(zip(BOX, run_boxes(chosen_runs(objects.rows, kept)).T, strict=True))
    texts = encode_columns(chosen_runs(objects.columns, kept), *mask.shape)
    table |= {"counts": np.array(texts, object), "area": table["area"].astype(np.int64)}
    table |= {"parent": stack.around[kept], "threshold": stack.thresholds[kept]}
    table |= {"part": np.full(len(texts), float(stack.part))}
    table |= {"stability_up": stack.stability_up[kept]}
    return table | {"stability_down": stack.stability_down[kept]}
