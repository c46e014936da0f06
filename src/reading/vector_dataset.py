"""A data set of scenes on the map and vector files of outlines: cut to tiles, objects read.

The outlines are brought into the coordinate system of each scene and into its pixels, and a tile
gets those that touch it, cut off a little beyond its edges. The pixels of a scene are never held:
each tile is read from the file by itself.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import shapely
from PIL import Image

from src.base.errors import InputError
from src.image_files.geotiff import Window, open_geotiff
from src.image_files.geotransforms import read_geotransform, to_map, to_pixels
from src.image_files.image_headers import TIFF_STARTS
from src.image_files.silence import without_warnings
from src.reading.image_folders import files_below, is_image
from src.reading.mask_files import check_count, number_objects
from src.reading.outline_regions import NO_RUNS, made_valid, outline_region, polygons_of
from src.reading.params import DatasetParams
from src.reading.records import (
    Dataset,
    ImageRecord,
    SourceObject,
    check_file_name,
    check_unique,
    record_name,
)
from src.reading.regions import joined, region_of
from src.reading.tiles import Cut, Scene, Tile, cut_scenes, group_tiles
from src.reading.vector_files import SUFFIXES, Bounds, Layer, only_layer, read_layer, transformed

AOI = "aoi"  # name, without extension, of the file that tells where objects were looked for
MARGIN = 2.0  # px beyond a tile where outlines are cut off
DECIMALS = 3  # of px: what is lost between coordinate systems and in files decides over no pixel
BESIDE = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".qmd", ".gpkg-wal", ".gpkg-shm")


class Outlines(NamedTuple):
    """What a record of train or val finds its objects by; px from the tile's upper left corner."""

    shapes: tuple[bytes, ...]  # WKB
    ids: tuple[int, ...]  # of the features
    repaired: tuple[bool, ...]
    aoi: bytes | None  # WKB of where objects were looked for; None: everywhere
    damage: str = ""  # why the file cannot be read


class _Pixels(NamedTuple):
    """Outlines of a scene, in its px."""

    shapes: np.ndarray  # (N,) geometries
    ids: np.ndarray  # (N,) int64
    repaired: np.ndarray  # (N,) bool
    aoi: np.ndarray | None  # (M,) polygons


def find_records(root: Path, params: DatasetParams, category_id: int) -> Dataset:
    """Find the scenes of a data set, cut them to tiles, and give each its outlines.

    In `train/` lie images on the map, in `images/` or not, and a file of outlines, which may also
    lie beside `train/`; likewise in `val/` if there is such a folder, where the only file may have
    another name. `test_images/` may hold images that need no place. Of images headers are read.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    params : DatasetParams
        Of it `vector_file`, `layer`, `aoi`, `where`, `tile_size`, `tile_overlap` and
        `tile_block`, none of them auto.
    category_id : int
        The number that the objects' category gets; its name is that of the layer.

    Returns
    -------
    dataset : Dataset
        The objects of a record are `Outlines`, or () in test. Tiles that lie wholly outside of the
        area of interest are left out, as are features in no tile, which are counted.

    Raises
    ------
    InputError
        If a folder or file is absent or cannot be read, an image of train or val lies nowhere on
        the map, no outline lies in a scene of its split, or there are lines and points alone.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    records, unlisted, further = [], 0, {}
    for split in ("train", "val"):
        if split == "train" or (root / split).is_dir():
            found, others, left_out = _find_labelled(root, split, params)
            records, unlisted, further = records + found, unlisted + others, further | left_out
    if (root / "test_images").is_dir():
        scenes, others = find_scenes(root / "test_images")
        cut = _cut(params)
        tiles = cut_scenes(scenes, cut)
        found = _records("test", scenes, tiles, group_tiles(scenes, tiles, cut), None)
        records, unlisted = records + found, unlisted + others
    category = {"id": category_id, "name": params.layer}
    records.sort(key=lambda record: record.name)
    return Dataset(records, category, unlisted, 0, tuple(further.items()))


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Make regions of the outlines of one tile.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` lists it.
    height, width : int
        Of the tile, in pixels.

    Returns
    -------
    objects : list of SourceObject
        Their ids are those of the features. What lies outside of the area of interest is one more,
        a crowd, and no object has pixels there. Of an outline that comes to a tile with less than a
        pixel there is nothing. Empty in test.

    Raises
    ------
    InputError
        With the reason alone, if there are more than 65534 objects, or an outline is too long.
    """
    if not record.objects:
        return []
    outlines = Outlines(*record.objects)
    if outlines.damage:
        raise InputError(outlines.damage)
    outer = NO_RUNS
    if outlines.aoi is not None:
        inside = outline_region(polygons_of(shapely.from_wkb(outlines.aoi)), height, width)
        outer = joined(np.array([[0, height * width]]), inside.runs)
    kept = []
    for place, content in enumerate(outlines.shapes):
        shape = shapely.from_wkb(content)
        polygons, line = polygons_of(shape), not _has_area(shape)
        region = outline_region(polygons, height, width)
        cut = region_of(joined(region.runs, outer), height) if outer.size else region
        if cut.area or line or (not region.area and _is_within(shape, height, width)):
            kept.append((outlines.ids[place], outlines.repaired[place], line, cut))
    check_count(len(kept) + 1)
    regions = [region for *_, region in kept] + [region_of(outer, height)] * bool(outer.size)
    objects = number_objects(record, regions)
    found = [
        one._replace(id=number, repaired=repaired, line=line)
        for one, (number, repaired, line, _) in zip(objects, kept, strict=False)
    ]
    return found + [one._replace(crowd=True, outer=True) for one in objects[len(kept) :]]


def vector_files(root: Path) -> list[Path]:
    """List the files of outlines of train, that of the area of interest left out.

    Returns
    -------
    paths : list of Path
        Those in `train/`, or else beside it; sorted.
    """
    for folder in (root / "train", root):
        names = sorted(path for path in folder.glob("*") if path.is_file())
        found = [p for p in names if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
        if found := [path for path in found if path.stem.lower() != AOI]:
            return found
    return []


def aoi_file(root: Path) -> Path | None:
    """Return the file `aoi` of train, in it or beside it, if there is one."""
    for folder in (root / "train", root):
        for suffix in SUFFIXES:
            if (folder / f"{AOI}{suffix}").is_file():
                return folder / f"{AOI}{suffix}"
    return None


def file_of_split(root: Path, split: str, name: str, key: str) -> Path:
    """Return the file of that name in the folder of a split or beside it, or the only one in it.

    Raises
    ------
    InputError
        If there is none, or there are several of other names.
    """
    for folder in (root / split, root):
        if (folder / name).is_file():
            return folder / name
    found = [path for path in sorted((root / split).glob("*")) if path.suffix.lower() in SUFFIXES]
    found = [path for path in found if path.stem.lower() != AOI and path.name[0] != "."]
    if key == "dataset.vector_file" and split != "train" and len(found) == 1:
        return found[0]
    held = ", ".join(f"{path.name!r:.60}" for path in found) or "none"
    raise InputError(
        f"{root / split}: holds no file {name!r:.80} ({key}), of vector files {held}; put it "
        "there or correct the name"
    )


def find_scenes(folder: Path) -> tuple[list[Scene], int]:
    """List the images of a split by their headers, and count what else lies in their folder.

    Raises
    ------
    InputError
        If there is no image, or the name of one is unfit.
    """
    names = files_below(folder)
    images = [name for name in names if is_image(name)]
    if not images:
        raise InputError(f"{folder}: holds no images; put the scenes there")
    for name in images:
        check_file_name(name, str(folder))
    others = [PurePosixPath(name) for name in names if not is_image(name)]
    own = sum(path.suffix.lower() in (*SUFFIXES, *BESIDE) for path in others)
    return [_scene(folder, name) for name in images], len(others) - own


def folder_of_images(folder: Path) -> Path:
    """Return the folder `images` of a split, or its own."""
    return folder / "images" if (folder / "images").is_dir() else folder


def _cut(params: DatasetParams) -> Cut:
    block = params.tile_block
    return Cut(params.tile_size, params.tile_overlap, block if isinstance(block, int) else 1)


def _scene(folder: Path, name: str) -> Scene:
    path, tiff = folder / name, False
    try:
        with path.open("rb") as file:
            tiff = file.read(4).startswith(TIFF_STARTS)
        if tiff:
            with open_geotiff(path) as dataset:
                height, width = dataset.height, dataset.width
        else:
            with without_warnings(), Image.open(path) as image:
                width, height = image.size
    except InputError as error:
        return Scene(name, path, 1, 1, None, False, str(error))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Scene(name, path, 1, 1, None, False, "not an image, or a damaged one")
    return Scene(name, path, height, width, read_geotransform(path), tiff)


def _find_labelled(
    root: Path, split: str, params: DatasetParams
) -> tuple[list[ImageRecord], int, dict[str, int]]:
    """Return the records of train or val, how many files are unlisted, and what is left out."""
    scenes, others = find_scenes(folder_of_images(root / split))
    for scene in scenes:
        _check_place(scene)
    bounds = [_bounds(scene) for scene in scenes if not scene.damage]
    path = file_of_split(root, split, str(params.vector_file), "dataset.vector_file")
    layer = params.layer
    if path.name != params.vector_file:
        layer = only_layer(path, "dataset.layer")
    outlines, aoi = read_layer(path, layer, params.where, bounds), None
    if params.aoi:
        area = file_of_split(root, split, params.aoi, "dataset.aoi")
        aoi = read_layer(area, only_layer(area, "dataset.aoi"), {}, bounds)
    cut = _cut(params)
    tiles = cut_scenes(scenes, cut)
    groups = group_tiles(scenes, tiles, cut)
    given, lines = _outlines(scenes, tiles, outlines, aoi, path)
    seen = {number for one in given if one for number in one.ids}
    _check_seen(path, layer, outlines, len(seen), len(seen & lines), bounds)
    records = _records(split, scenes, tiles, groups, given)
    if not records:
        raise InputError(f"{root / split}: no scene lies in the area of dataset.aoi; correct it")
    counts = {
        f"features of {split} in none of its scenes": outlines.there - len(seen) - outlines.empty,
        f"features of {split} without a geometry": outlines.empty,
    }
    if params.where:  # those of other values lie anywhere
        counts = {f"features of {split} left out": outlines.there - len(seen)}
    return records, others, {what: count for what, count in counts.items() if count > 0}


def _check_place(scene: Scene) -> None:
    if scene.damage:
        return
    if scene.place is None or not scene.place[6]:
        what = "lies nowhere on the map" if scene.place is None else "names no coordinate system"
        raise InputError(
            f"{scene.path}: {what}, so that outlines cannot be laid over it; give it a place "
            "(tags of GeoTIFF, or a world file and a .prj file)"
        )


def _bounds(scene: Scene) -> tuple[Bounds, str]:
    """Return the rectangle around a scene on the map, and its coordinate system."""
    corners = _corners(scene)
    (left, bottom), (right, top) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return (left, bottom, right, top), _crs(scene)


def _corners(scene: Scene) -> np.ndarray:
    sides = np.array([[0, 0], [scene.width, 0], [scene.width, scene.height], [0, scene.height]])
    return to_map(sides, scene.place or ())


def _crs(scene: Scene) -> str:
    return str((scene.place or ("",) * 7)[6])


def _check_seen(
    path: Path, layer: str, outlines: Layer, seen: int, lines: int, bounds: list
) -> None:
    """Make sure that there is an object in a scene."""
    if not outlines.there:
        raise InputError(
            f"{path}: layer {layer!r:.60} holds no features; draw at least one outline"
        )
    if not seen:
        (left, bottom, right, top), crs = bounds[0] if bounds else ((0.0,) * 4, "")
        raise InputError(
            f"{path}: none of the {outlines.there} features of layer {layer!r:.60} "
            f"({outlines.crs:.60}) lies in a scene; the first covers {left:.8g} to "
            f"{right:.8g}, {bottom:.8g} to {top:.8g} in {crs:.60}: see whether the coordinate "
            "systems are the right ones"
        )
    if lines == seen:
        raise InputError(
            f"{path}: layer {layer!r:.60} holds {seen} lines or points in the scenes, and no "
            "polygon; give a layer of outlines"
        )


def _outlines(
    scenes: list[Scene], tiles: list[Tile], layer: Layer, aoi: Layer | None, path: Path
) -> tuple[list[Outlines | None], set[int]]:
    """Return what each tile has, None where nobody looked, and the ids of lines and points."""
    of_scene: dict[int, list[int]] = {}
    for number, tile in enumerate(tiles):
        of_scene.setdefault(tile.scene, []).append(number)
    given: list[Outlines | None] = [None] * len(tiles)
    lines = set(layer.ids[[not _has_area(shape) for shape in layer.shapes]].tolist())
    for crs in dict.fromkeys(_crs(scene) for scene in scenes if not scene.damage):
        try:
            shapes = transformed(layer.shapes, layer.crs, crs)
            areas = None if aoi is None else transformed(aoi.shapes, aoi.crs, crs)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        for number, scene in enumerate(scenes):
            if scene.damage or _crs(scene) != crs:
                continue
            found = _in_pixels(scene, shapes, layer.ids, areas)
            windows = [tiles[place].window for place in of_scene[number]]
            for place, one in zip(of_scene[number], _by_tile(windows, found), strict=True):
                given[place] = one
    for number, tile in enumerate(tiles):
        if scenes[tile.scene].damage:
            given[number] = Outlines((), (), (), None, scenes[tile.scene].damage)
    return given, lines


def _in_pixels(
    scene: Scene, shapes: np.ndarray, ids: np.ndarray, areas: np.ndarray | None
) -> _Pixels:
    """Bring what may lie in a scene into its pixels, and mend it."""
    (left, bottom, right, top), _ = _bounds(scene)

    def inside(shapes: np.ndarray) -> np.ndarray:
        low_x, low_y, high_x, high_y = shapely.bounds(shapes).T
        return (low_x <= right) & (high_x >= left) & (low_y <= top) & (high_y >= bottom)

    def to_px(points: np.ndarray) -> np.ndarray:
        return to_pixels(points, scene.place or ())

    near = inside(shapes)
    moved = shapely.transform(shapes[near], to_px)
    found, repaired = made_valid(moved)
    flat = np.flatnonzero(shapely.is_empty(found))  # nothing of it covers anything
    for place in flat:
        found[place] = shapely.Point(shapely.get_coordinates(moved[place])[0])
    if areas is not None:
        areas = made_valid(shapely.transform(areas[inside(areas)], to_px))[0]
        areas = np.array([part for one in areas for part in polygons_of(one)], object)
    return _Pixels(found, ids[near], repaired, areas)


def _by_tile(windows: list[Window], found: _Pixels) -> Iterable[Outlines | None]:
    """Yield what each tile has of the outlines of its scene."""
    tree = shapely.STRtree(found.shapes)
    areas = None if found.aoi is None else shapely.STRtree(found.aoi)
    for window in windows:
        top, left, height, width = window
        box = shapely.box(left, top, left + width, top + height)
        wide = box.buffer(MARGIN, join_style="mitre")
        aoi = None
        if found.aoi is not None and areas is not None:
            near = found.aoi[np.sort(areas.query(box, predicate="intersects"))]
            parts = shapely.union_all([shapely.intersection(part, wide) for part in near])
            if shapely.area(shapely.intersection(parts, box)) == 0:
                yield None
                continue
            aoi = None if shapely.covers(parts, box) else _moved(parts, left, top)
        places = np.sort(tree.query(box, predicate="intersects"))
        shapes = [_clipped(found.shapes[place], wide) for place in places]
        yield Outlines(
            tuple(_moved(shape, left, top) for shape in shapes),
            tuple(found.ids[places].tolist()),
            tuple(found.repaired[places].tolist()),
            aoi,
        )


def _clipped(shape, box):
    """Cut off what lies beyond a box; of areas only areas are left."""
    if shapely.contains(box, shape):
        return shape
    cut = shapely.intersection(shape, box)
    return shapely.multipolygons(polygons_of(cut)) if _has_area(shape) else cut


def _moved(shape, left: int, top: int) -> bytes:
    def to_tile(points: np.ndarray) -> np.ndarray:
        return np.round(points - (left, top), DECIMALS)

    return shapely.to_wkb(shapely.transform(shape, to_tile))


def _has_area(shape) -> bool:
    """Tell by its type whether a geometry is or holds a polygon."""
    return shapely.get_dimensions(shape) == 2


def _is_within(shape, height: int, width: int) -> bool:
    left, top, right, bottom = shapely.bounds(shape).tolist()
    return left >= 0 and top >= 0 and right <= width and bottom <= height


def _records(
    split: str,
    scenes: list[Scene],
    tiles: list[Tile],
    groups: list[str],
    given: list[Outlines | None] | None,
) -> list[ImageRecord]:
    """Make a record of each tile; a scene of one tile keeps its name and is read as any image."""
    whole = {number for number, scene in enumerate(scenes)}
    whole -= {tile.scene for tile in tiles if tile.window[2:] != _size(scenes[tile.scene])}
    records = []
    for number, (tile, group) in enumerate(zip(tiles, groups, strict=True)):
        scene = scenes[tile.scene]
        outlines: tuple = () if given is None else given[number]  # pyright: ignore
        if outlines is None:  # outside of the area of interest
            continue
        path, size = PurePosixPath(scene.file_name), tile.window[2:]
        file_name, window = scene.file_name, None
        if tile.scene not in whole:
            window = tile.window
            end = f"_{window.top:05}_{window.left:05}{path.suffix}"
            file_name = path.with_name(path.stem + end).as_posix()
        elif scene.damage:
            size = None
        name = record_name(split, file_name)
        image_id = len(records) + 1
        records.append(
            ImageRecord(name, split, image_id, file_name, scene.path, group, size, outlines, window)
        )
    check_unique(records, scenes[0].path.parent)
    return records


def _size(scene: Scene) -> tuple[int, int]:
    return scene.height, scene.width
