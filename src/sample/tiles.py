"""Drawn scenes cut into tiles, and the COCO records of their buildings."""

from typing import NamedTuple

import numpy as np

from src.sample.footprints import Footprint, annotate, cut_footprint, turn_footprint, turn_image
from src.sample.scenes import draw_scene


class Tile(NamedTuple):
    """One image of a data set."""

    image: np.ndarray  # uint8 (size, size, 3), RGB
    footprints: list[Footprint]  # in px of the tile
    forms: list[str]  # of their annotations, see footprints.FORMS
    group: str  # the scene it is from


def draw_tiles(
    rng: np.random.Generator,
    kind: str,
    group: str,
    *,
    size: int,
    per_side: int,
    min_area: float,
    rle: float,
) -> list[Tile]:
    """Draw a scene and cut it into tiles.

    Parameters
    ----------
    rng : Generator
        All chance comes from it.
    kind : str
        A key of `aerial_zones.ZONES`.
    group : str
        Name of the scene.
    size : int
        Side of a tile, px.
    per_side : int
        Tiles along each side of the scene.
    min_area : float
        Pieces of buildings smaller than this are left out, px.
    rle : float
        Share of the buildings annotated as RLE, [0, 1]; those with a courtyard always are.

    Returns
    -------
    tiles : list of Tile
        Row by row; a building cut by a tile's edge is in several.
    """
    scene = draw_scene(rng, kind, size * per_side, size)
    forms = [_form(rng, footprint, rle) for footprint in scene.footprints]
    tiles = []
    for place in range(per_side**2):
        top, left = size * (place // per_side), size * (place % per_side)
        pieces = [cut_footprint(f, left, top, size, min_area) for f in scene.footprints]
        tiles.append(
            Tile(
                image=scene.image[top : top + size, left : left + size],
                footprints=[piece for piece in pieces if piece],
                forms=[form for form, piece in zip(forms, pieces, strict=True) if piece],
                group=group,
            )
        )
    return tiles


def turn_tile(tile: Tile, view: int, group: str) -> Tile:
    """Return one of the eight views of a tile (see `turn_image`) under another scene's name."""
    size = len(tile.image)
    footprints = [turn_footprint(footprint, size, view) for footprint in tile.footprints]
    return Tile(turn_image(tile.image, view), footprints, tile.forms, group)


def coco_records(tiles: list[Tile], file_names: list[str], category: dict) -> dict:
    """Return the COCO document of tiles; image ids count from 0, annotation ids from 1.

    Every image record also has the `group` of its tile. No tiles give empty lists.
    """
    images, annotations = [], []
    for image_id, (tile, file_name) in enumerate(zip(tiles, file_names, strict=True)):
        height, width = tile.image.shape[:2]
        record = {"id": image_id, "file_name": file_name, "height": height, "width": width}
        images.append(record | {"group": tile.group})
        for footprint, form in zip(tile.footprints, tile.forms, strict=True):
            record = {"id": len(annotations) + 1, "image_id": image_id, "iscrowd": 0}
            shape = annotate(footprint, height, width, form)
            annotations.append(record | {"category_id": category["id"]} | shape)
    return {"images": images, "annotations": annotations, "categories": [category]}


def _form(rng: np.random.Generator, footprint: Footprint, rle: float) -> str:
    """Choose how to annotate a building: polygons cannot have holes."""
    runs = ("rle", "counts")[rng.integers(2)]
    return runs if rng.random() < rle or footprint.holes else "polygon"
