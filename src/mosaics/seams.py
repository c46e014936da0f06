"""Objects of the images of a mosaic, each predicted by itself, made one where they are one."""

from collections import defaultdict

import numpy as np
import shapely

from src.mosaics.families import components
from src.mosaics.image_objects import SceneObject, joined_object
from src.mosaics.runs import (
    Area,
    clip_runs,
    common_area,
    count_pixels,
    join_runs,
    runs_area,
    shared_pixels,
)

SHARE = 0.5  # of the smaller one, from which two are of one object
WHOLE = 0.5  # share of all pixels that an image must have found to decide alone


def join_at_seams(
    objects: list[list[SceneObject]], areas: list[Area], height: int, width: int
) -> list[SceneObject]:
    """Count each object once that several images see, whole or in part.

    Parameters
    ----------
    objects : list of list of SceneObject
        Of each image, in pixels of the mosaic.
    areas : list of Area
        The pixels that each image fills.
    height, width : int
        Of the mosaic, px.

    Returns
    -------
    joined : list of SceneObject
        Best score first, of equals by image. Two objects of different images belong together if
        half of the smaller one lies in the other, of what both images see; or, where images only
        touch, half of the shorter of their ends at the seam. Of what hangs together, the image
        decides that sees most around it, if it has found at least half of it and nothing cut by
        its edge; else all is joined, score and colour being means by area.
    """
    found = [(one, image) for image, of_image in enumerate(objects) for one in of_image]
    boxes = [runs_area(one.runs, height) for one, _ in found]
    family = _families(found, boxes, areas, height)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for number, of in enumerate(family.tolist()):
        members[of].append(number)
    joined = []
    for numbers in members.values():
        if len(numbers) == 1:
            joined.append(found[numbers[0]][0])
        else:
            given = [(*found[number], boxes[number]) for number in numbers]
            joined += _decided(given, areas, height, width)
    return sorted(joined, key=lambda one: -one.score)


def _families(
    found: list[tuple[SceneObject, int]], boxes: list[Area], areas: list[Area], height: int
) -> np.ndarray:
    """Return the number of what each object hangs together with, int64 (N,)."""
    if not found:
        return np.zeros(0, np.int64)
    ends = np.array(boxes)
    corners = shapely.box(ends[:, 2], ends[:, 0], ends[:, 3], ends[:, 1])
    pairs = shapely.STRtree(corners).query(corners, predicate="intersects").T.tolist()
    links = [
        (one, other)
        for one, other in pairs
        if one < other and _together(found[one], found[other], areas, height)
    ]
    return components(np.array(links, np.int64).reshape(-1, 2), len(found))


def _together(
    one: tuple[SceneObject, int], other: tuple[SceneObject, int], areas: list[Area], height: int
) -> bool:
    if one[1] == other[1]:
        return False
    area, other_area = areas[one[1]], areas[other[1]]
    common = common_area(area, other_area)
    if common is None and not _side_by_side(area, other_area):
        return False
    if common is None:
        ends = _ends(one[0].runs, other[0].runs, area, other_area, height)
    else:
        ends = [clip_runs(each[0].runs, height, common) for each in (one, other)]
    shared = shared_pixels(*ends)
    return shared > 0 and shared >= SHARE * min(map(count_pixels, ends))


def _side_by_side(area: Area, other: Area) -> bool:
    """Tell whether two images lie against each other along more than a corner."""
    rows = min(area.bottom, other.bottom) - max(area.top, other.top)
    columns = min(area.right, other.right) - max(area.left, other.left)
    return max(rows, columns) > 0


def _ends(
    runs: np.ndarray, others: np.ndarray, area: Area, other: Area, height: int
) -> list[np.ndarray]:
    """Return the pixels of both along the seam of two images that touch, brought to one side."""
    if other.right == area.left or other.bottom == area.top:
        return _ends(others, runs, other, area, height)[::-1]
    if area.right == other.left:
        here, there = area._replace(left=area.right - 1), other._replace(right=other.left + 1)
        step = height  # a column further in the numbers of pixels
    else:
        here, there = area._replace(top=area.bottom - 1), other._replace(bottom=other.top + 1)
        step = 1
    return [clip_runs(runs, height, here) + step, clip_runs(others, height, there)]


def _decided(
    family: list[tuple[SceneObject, int, Area]], areas: list[Area], height: int, width: int
) -> list[SceneObject]:
    """Take what one image has found, or join what all have."""
    of_image: defaultdict[int, list[tuple[SceneObject, Area]]] = defaultdict(list)
    for one, image, box in family:
        of_image[image].append((one, box))
    pixels = count_pixels(join_runs([one.runs for one, _, _ in family]))
    best, most = None, 0
    for image, members in of_image.items():
        room = min(_room(box, areas[image], height, width) for _, box in members)
        enough = count_pixels(join_runs([one.runs for one, _ in members])) >= WHOLE * pixels
        if enough and room > most:
            best, most = image, room
    if best is None:
        return [joined_object([one for one, _, _ in family])]
    return [one for one, _ in of_image[best]]


def _room(box: Area, area: Area, height: int, width: int) -> int:
    """Count the pixels from an object to the nearest edge of its image inside the mosaic."""
    sides = [
        (box.top - area.top, area.top > 0),
        (box.left - area.left, area.left > 0),
        (area.bottom - box.bottom, area.bottom < height),
        (area.right - box.right, area.right < width),
    ]
    return min((room for room, inside in sides if inside), default=height + width)
