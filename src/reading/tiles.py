"""Scenes cut into tiles, and tiles put into groups by the ground they show."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely

from src.image_files.geotiff import Window
from src.image_files.geotransforms import to_map

ENOUGH = 10  # groups that folds are made of
BLOCKS = (8, 4, 2, 1)  # tiles along the side of one, the largest that gives so many groups
SHARED = 0.2  # share of the smaller of two tiles, beyond which they show the same ground


class Scene(NamedTuple):
    """An image file that may be larger than a tile."""

    file_name: str  # relative to the folder of images
    path: Path
    height: int  # px
    width: int
    place: tuple | None  # on the map, as src.image_files.geotransforms has it
    by_windows: bool  # a part of it can be read
    damage: str = ""  # why it cannot be read


class Tile(NamedTuple):
    """A part of a scene."""

    scene: int  # its position among all
    block: tuple[int, int]  # row and column of its block
    window: Window


class Cut(NamedTuple):
    """How scenes are cut."""

    size: int  # px, largest side of a tile
    overlap: int  # px that the next one begins before a tile ends, within a block
    block: int  # tiles along the side of a block


def cut_side(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cut a side into the fewest parts of at most `size`, as alike as can be.

    Parameters
    ----------
    length : int
        px, at least 1.
    size : int
        px, above `overlap`.
    overlap : int
        px that neighbours share, from 0.

    Returns
    -------
    parts : list of (int, int)
        First pixel of each and the one after its last.
    """
    inner = length - overlap
    count = max(-(-inner // (size - overlap)), 1)
    starts = [number * inner // count for number in range(count)]
    stops = [number * inner // count + overlap for number in range(1, count)]
    return list(zip(starts, [*stops, length], strict=True))


def cut_scenes(scenes: Sequence[Scene], cut: Cut) -> list[Tile]:
    """Cut scenes into blocks, which share no pixel, and these into tiles, row by row.

    A file of which no part can be read by itself is one tile.
    """
    side = cut.block * (cut.size - cut.overlap) + cut.overlap
    tiles = []
    for number, scene in enumerate(scenes):
        if not scene.by_windows:
            tiles.append(Tile(number, (0, 0), Window(0, 0, scene.height, scene.width)))
            continue
        rows, columns = (cut_side(length, side, 0) for length in (scene.height, scene.width))
        for row, (top, bottom) in enumerate(rows):
            for column, (left, right) in enumerate(columns):
                tiles += [
                    Tile(number, (row, column), Window(top + y, left + x, y_end - y, x_end - x))
                    for y, y_end in cut_side(bottom - top, cut.size, cut.overlap)
                    for x, x_end in cut_side(right - left, cut.size, cut.overlap)
                ]
    return tiles


def group_tiles(scenes: Sequence[Scene], tiles: Sequence[Tile], cut: Cut) -> list[str]:
    """Name the group of each tile: those of a block, and those that show the same ground.

    A scene no larger than a block is put with all such in the same square of the map, of a block's
    size. Scenes in different coordinate systems are never compared.

    Parameters
    ----------
    scenes : sequence of Scene
        Of one split.
    tiles : sequence of Tile
        Of them, as `cut_scenes` makes them.
    cut : Cut
        How.

    Returns
    -------
    groups : list of str
        Named after the first scene of each, and the row and column of its block.
    """
    own = [(tile.scene, *tile.block) for tile in tiles]
    single = {key[0] for key in own} - {key[0] for key in own if key[1:] != (0, 0)}
    squares = _squares(scenes, single, cut)
    keys = [squares.get(key[0], key) for key in own]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    group = np.array([numbers[key] for key in keys], np.int64)
    pairs = group[_same_ground(scenes, tiles)]
    from scipy.sparse import coo_array  # SciPy takes as long to import as some hundred tiles
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs)), pairs.T), (len(numbers), len(numbers)))
    joined = connected_components(links, directed=False)[1][group].tolist()
    first: dict[int, str] = {}
    for number, tile in zip(joined, tiles, strict=True):
        row, column = tile.block
        stem = Path(scenes[tile.scene].file_name).with_suffix("").as_posix()
        first.setdefault(number, f"{stem}_block_{row}_{column}")
    return [first[number] for number in joined]


def choose_block(scenes: Sequence[Scene], size: int, overlap: int) -> tuple[int, int]:
    """Choose how many tiles a block has along its side, and tell how many groups that gives."""
    groups = 0
    for block in BLOCKS:
        cut = Cut(size, overlap, block)
        groups = len(set(group_tiles(scenes, cut_scenes(scenes, cut), cut)))
        if groups >= ENOUGH:
            return block, groups
    return BLOCKS[-1], groups


def _squares(scenes: Sequence[Scene], single: set[int], cut: Cut) -> dict[int, tuple]:
    """Return the square of the map, of a block's size, that the middle of each scene lies in."""
    squares, sides = {}, {}
    for number in sorted(single):
        scene = scenes[number]
        if scene.place is None:
            continue
        corner, middle = to_map(
            np.array([[0, 0], [scene.width / 2, scene.height / 2]]), scene.place
        )
        pixel = 2 * np.abs(middle - corner).max() / max(scene.height, scene.width)
        side = sides.setdefault(scene.place[6], pixel * cut.size * cut.block)
        squares[number] = (scene.place[6], *np.floor(middle / side).tolist())
    return squares


def _same_ground(scenes: Sequence[Scene], tiles: Sequence[Tile]) -> np.ndarray:
    """Pair tiles of different scenes that share ground: int64 (P, 2)."""
    pairs = [np.empty((0, 2), np.int64)]
    places = {number: scene.place for number, scene in enumerate(scenes) if scene.place}
    for crs in sorted({place[6] for place in places.values()}):
        numbers = [n for n, t in enumerate(tiles) if places.get(t.scene, ("",) * 7)[6] == crs]
        numbers = np.array(numbers, np.int64)
        owner = np.array([tiles[number].scene for number in numbers])
        corners = [
            _corners(tiles[number].window, places[tiles[number].scene]) for number in numbers
        ]
        shapes = np.asarray(shapely.polygons(corners))
        one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
        apart = (one < other) & (owner[one] != owner[other])
        one, other = one[apart], other[apart]
        areas = shapely.area(shapes)
        shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
        enough = shared > SHARED * np.minimum(areas[one], areas[other])
        pairs.append(np.stack([numbers[one[enough]], numbers[other[enough]]], axis=1))
    return np.concatenate(pairs)


def _corners(window: Window, place: tuple) -> np.ndarray:
    top, left, height, width = window
    x, y = [left, left + width, left + width, left], [top, top, top + height, top + height]
    return to_map(np.stack([x, y], axis=1), place)
