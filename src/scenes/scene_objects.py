"""Objects of a scene from its maps: found block by block, each object once.

Blocks are fixed and overlap, so what is found depends neither on the windows of prediction nor on
the number of processes. Detections of neighbouring blocks that are of the same object make a
family, which one block decides: the one whose inner part, its core, holds most of it. What no block
sees whole is joined.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely

from src.mosaics.families import components
from src.mosaics.image_objects import SceneObject, image_objects, joined_object
from src.mosaics.runs import (
    Area,
    clip_runs,
    common_area,
    count_pixels,
    join_runs,
    runs_area,
    shared_pixels,
)

CONTAINED = 0.5  # share of the smaller one in another from which two are of one family
WHOLE = 0.5  # share of a family that a block must have found to decide in place of another

Find = Callable[[dict], pd.DataFrame]


class Blocks(NamedTuple):
    """How a scene is cut into blocks, px."""

    core: int  # side of what a block decides on
    halo: int  # around it, seen too; at most half a core


class Found(NamedTuple):
    """An object as one block sees it."""

    object: SceneObject
    area: Area  # its box
    block: tuple[int, int]  # row and column of the block
    cut: bool  # by an edge of what the block sees


def block_view(block: tuple[int, int], height: int, width: int, blocks: Blocks) -> Area:
    """Return what the block of a row and a column sees of a scene."""
    top, left = block[0] * blocks.core, block[1] * blocks.core
    return Area(
        max(top - blocks.halo, 0),
        min(top + blocks.core + blocks.halo, height),
        max(left - blocks.halo, 0),
        min(left + blocks.core + blocks.halo, width),
    )


def find_in_block(
    block: tuple[int, int],
    *,
    height: int,
    width: int,
    blocks: Blocks,
    read_maps: Callable[[Area], dict],
    read_image: Callable[[Area], tuple[np.ndarray, np.ndarray]],
    find: Find,
) -> list[Found]:
    """Find the objects of one block.

    Parameters
    ----------
    block : tuple of int
        Its row and column.
    height, width, blocks
        Of the scene.
    read_maps, read_image : callable
        Give the maps and the image of an area.
    find : callable
        Of the maps of an image: its detections, as `image_objects` takes them. Not called where the
        map "mask" is 0 all over.
    """
    view = block_view(block, height, width, blocks)
    maps = read_maps(view)
    if not maps or not maps["mask"].any():
        return []
    detections = find(maps)
    if not detections["accepted"].any():
        return []
    objects = image_objects(detections, read_image(view)[0], height, view)
    found = []
    for one in objects:
        area = runs_area(one.runs, height)
        cut = (
            (area.top == view.top > 0 or area.left == view.left > 0)
            or (area.bottom == view.bottom < height)
            or (area.right == view.right < width)
        )
        found.append(Found(one, area, block, bool(cut)))
    return found


def merge_blocks(
    rows: Iterable[list[Found]], height: int, width: int, blocks: Blocks, nms_iou: float
) -> Iterator[list[SceneObject]]:
    """Make objects of a scene of what its blocks have found.

    Two detections of different blocks belong together if, in what both blocks see, their IoU is
    above `nms_iou` or half of the smaller one lies in the other. A family is what hangs together.

    Parameters
    ----------
    rows : iterable of list of Found
        Of all blocks of a row of blocks, row by row from the top.
    height, width, blocks
        Of the scene.
    nms_iou : float
        From which two detections cannot both stay.

    Yields
    ------
    objects : list of SceneObject
        What is settled after each row of blocks, by first row and column; each object once. A
        family is decided by the block whose core has most of it: what that block has not found,
        though it sees the place, is no object. Where it sees the family only in part, another block
        that sees at least half of it, and nothing of that cut, decides. Else what is cut is joined;
        its score and colour are means by area.
    """
    waiting: list[Found] = []
    links = np.empty((0, 2), np.int64)
    count = -(-height // blocks.core)
    for row, fresh in enumerate(rows):
        before = len(waiting)
        waiting = waiting + fresh
        found = _links(waiting, before, height, width, blocks, nms_iou)
        links = np.concatenate([links, found])
        next_top = height + 1 if row == count - 1 else (row + 1) * blocks.core - blocks.halo
        family = components(links, len(waiting))
        bottoms = np.zeros(len(waiting), np.int64)
        np.maximum.at(bottoms, family, [one.area.bottom for one in waiting])
        open_still = bottoms[family] > next_top if waiting else np.zeros(0, bool)
        objects = []
        for numbers, inside in _families(family, links):
            if not open_still[numbers[0]]:
                members = [waiting[number] for number in numbers]
                objects += _decided(members, inside, height, width, blocks)
        order = [(area.top, area.left) for area in (runs_area(o.runs, height) for o in objects)]
        yield [objects[place] for place in sorted(range(len(objects)), key=order.__getitem__)]
        kept = np.flatnonzero(open_still)
        waiting = [waiting[number] for number in kept]
        links = links[open_still[links[:, 0]]] if len(links) else links
        links = np.searchsorted(kept, links)


def _links(
    found: list[Found], first: int, height: int, width: int, blocks: Blocks, nms_iou: float
) -> np.ndarray:
    """Link those from `first` on to all before, and to each other: int64 (L, 2), lower first."""
    if first == len(found):
        return np.empty((0, 2), np.int64)
    areas = np.array([one.area for one in found])
    boxes = shapely.box(areas[:, 2], areas[:, 0], areas[:, 3], areas[:, 1])
    other, one = shapely.STRtree(boxes).query(boxes[first:], predicate="intersects")
    other += first
    where = np.array([one.block for one in found])
    pairs = (one < other) & (where[one] != where[other]).any(axis=1)
    links = []
    for low, high in zip(one[pairs].tolist(), other[pairs].tolist(), strict=True):
        one_view = block_view(found[low].block, height, width, blocks)
        other_view = block_view(found[high].block, height, width, blocks)
        views = one_view, other_view
        if _together(found[low], found[high], views, height, nms_iou):
            links.append((low, high))
    return np.array(sorted(links), np.int64).reshape(-1, 2)


def _together(
    one: Found, other: Found, views: tuple[Area, Area], height: int, nms_iou: float
) -> bool:
    common = common_area(*views)
    if common is None:
        return False
    runs = [_inside(found, common, height) for found in (one, other)]
    pixels = [count_pixels(part) for part in runs]
    shared = shared_pixels(*runs)
    if not shared:
        return False
    return shared > nms_iou * (sum(pixels) - shared) or shared > CONTAINED * min(pixels)


def _inside(found: Found, area: Area, height: int) -> np.ndarray:
    box = found.area
    rows = area.top <= box.top and box.bottom <= area.bottom
    if rows and area.left <= box.left and box.right <= area.right:
        return found.object.runs
    return clip_runs(found.object.runs, height, area)


def _families(family: np.ndarray, links: np.ndarray) -> Iterator[tuple[list[int], np.ndarray]]:
    """Give the members of each family, ascending, and its links as pairs of places among them."""
    order = np.argsort(family, kind="stable")
    of_links = family[links[:, 0]]
    links = links[np.argsort(of_links, kind="stable")]
    ends = np.searchsorted(np.sort(of_links), np.arange(family.max(initial=-1) + 1), side="right")
    first = 0
    for members, end in zip(
        np.split(order, np.flatnonzero(np.diff(family[order])) + 1), ends.tolist(), strict=False
    ):
        if len(members):
            yield members.tolist(), np.searchsorted(members, links[first:end])
        first = end


def _decided(
    family: list[Found], links: np.ndarray, height: int, width: int, blocks: Blocks
) -> list[SceneObject]:
    """Return what is left of a family; `links` are pairs of positions in it."""
    if len(family) == 1 and _in_core(family[0], blocks):
        return [family[0].object]
    union = join_runs([found.object.runs for found in family])
    of_block: dict[tuple[int, int], list[Found]] = {}
    for found in family:
        of_block.setdefault(found.block, []).append(found)
    by_core = _by_core(union, height, width, blocks)
    owner = max(by_core, key=lambda block: (by_core[block], -block[0], -block[1]))
    if owner in of_block and not any(found.cut for found in of_block[owner]):
        return [found.object for found in of_block[owner]]
    if owner not in of_block and _sees(owner, union, height, width, blocks):
        return []
    total = count_pixels(union)
    others = [
        block
        for block, members in of_block.items()
        if not any(found.cut for found in members)
        and count_pixels(join_runs([found.object.runs for found in members])) >= WHOLE * total
    ]
    if others:
        best = max(others, key=lambda block: (by_core.get(block, 0), -block[0], -block[1]))
        return [found.object for found in of_block[best]]
    return _joined(family, links, height, width, blocks)


def _joined(
    family: list[Found], links: np.ndarray, height: int, width: int, blocks: Blocks
) -> list[SceneObject]:
    """Join what is cut; what is whole and not inside of that is decided by itself."""
    cut = np.array([found.cut for found in family])
    if not cut.any():
        # No block has half of it: each keeps what lies mostly in its core.
        return [one.object for one in family if _owner(one, height, width, blocks) == one.block]
    both = links[cut[links].all(axis=1)] if len(links) else links
    part = components(both, len(family))
    objects = []
    for number in np.unique(part[cut]):
        members = [one.object for one, of in zip(family, part, strict=True) if of == number]
        objects.append(joined_object(members))
    rest = [
        found
        for found in family
        if not found.cut
        and not any(
            shared_pixels(found.object.runs, one.runs) > CONTAINED * count_pixels(found.object.runs)
            for one in objects
        )
    ]
    kept = [one.object for one in rest if _owner(one, height, width, blocks) == one.block]
    return objects + kept


def _owner(found: Found, height: int, width: int, blocks: Blocks) -> tuple[int, int]:
    by_core = _by_core(found.object.runs, height, width, blocks)
    return max(by_core, key=lambda block: (by_core[block], -block[0], -block[1]))


def _in_core(found: Found, blocks: Blocks) -> bool:
    top, left = (place * blocks.core for place in found.block)
    rows = top <= found.area.top and found.area.bottom <= top + blocks.core
    return rows and left <= found.area.left and found.area.right <= left + blocks.core


def _by_core(
    runs: np.ndarray, height: int, width: int, blocks: Blocks
) -> dict[tuple[int, int], int]:
    """Count the pixels of an object in the core of each block that has any."""
    area, counts = runs_area(runs, height), {}
    for row in range(area.top // blocks.core, (area.bottom - 1) // blocks.core + 1):
        for column in range(area.left // blocks.core, (area.right - 1) // blocks.core + 1):
            top, left = row * blocks.core, column * blocks.core
            core = Area(top, top + blocks.core, left, left + blocks.core)
            pixels = count_pixels(clip_runs(runs, height, core))
            if pixels:
                counts[row, column] = pixels
    return counts


def _sees(
    block: tuple[int, int], runs: np.ndarray, height: int, width: int, blocks: Blocks
) -> bool:
    view, area = block_view(block, height, width, blocks), runs_area(runs, height)
    rows = view.top <= area.top and area.bottom <= view.bottom
    return rows and view.left <= area.left and area.right <= view.right
