"""Scenes of any size: GeoTIFF files, one or a mosaic of them, read area by area."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.base.errors import InputError
from src.image_files.geotiff import CACHE, as_shown, open_geotiff
from src.image_files.geotransforms import read_geotransform
from src.image_files.silence import without_warnings
from src.mosaics.placing import Place, find_mosaics
from src.mosaics.runs import Area, common_area
from src.preparing.stretches import to_8_bits
from src.reading.params import ImagesParams

PIECE = 1 << 22  # px of one file decoded at a time
LOOKED_AT = 1024  # px a side of the reduced scene that percentiles are taken of

READY = ImagesParams(
    bands=[],
    keep="8bit",
    shown=[],
    stretch="none",
    low=0.0,
    high=0.0,
    no_data="none",
    orientation="ignore",
)


class Tile(NamedTuple):
    """A file, and the rows and columns of its scene that it fills."""

    path: Path
    area: Area
    ready: bool = False  # 8 bits as the model sees them, whatever the params say


class Scene(NamedTuple):
    """An image that may be too large for memory."""

    name: str
    height: int  # px
    width: int
    tiles: tuple[Tile, ...]  # where they overlap the first with data counts
    place: Place | None  # on the map, as src.image_files.geotransforms has it


class Levels(NamedTuple):
    """Values that become 0 and 255, of each band, where the params leave them to the image."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def open_scene(path: Path, name: str) -> Scene:
    """Read size and place of a TIFF file.

    Raises
    ------
    InputError
        If it is none, is damaged, or says something wrong about where it lies.
    """
    with _opened(path) as dataset:
        height, width = dataset.height, dataset.width
    if height < 1 or width < 1:
        raise InputError(f"{path}: has no pixels ({height}x{width}, height x width)")
    area = Area(0, height, 0, width)
    return Scene(name, height, width, (Tile(path, area),), read_geotransform(path))


def join_tiles(scenes: list[Scene]) -> list[Scene]:
    """Make one scene of those that touch or overlap on the ground.

    Parameters
    ----------
    scenes : list of Scene
        Of one tile each.

    Returns
    -------
    joined : list of Scene
        In the order of their first tiles, and named as these; see `find_mosaics`.
    """
    mosaics = find_mosaics(
        [scene.place for scene in scenes], [(scene.height, scene.width) for scene in scenes]
    )
    joined = []
    for mosaic in mosaics:
        tiles = [
            scenes[number].tiles[0]._replace(area=area)
            for number, area in zip(mosaic.members, mosaic.areas, strict=True)
        ]
        name = scenes[mosaic.members[0]].name
        joined.append(Scene(name, mosaic.height, mosaic.width, tuple(tiles), mosaic.place))
    return joined


def resampled(scene: Scene, factor: float) -> Scene:
    """Return the scene with `factor` times as many pixels along each side.

    Its tiles keep their files; `read_area` brings what it reads to the size it has here.
    """
    height, width = max(round(scene.height * factor), 1), max(round(scene.width * factor), 1)
    tiles = tuple(
        tile._replace(area=Area(*(round(side * factor) for side in tile.area)))
        for tile in scene.tiles
    )
    place = scene.place
    if place is not None:
        x0, xc, xr, y0, yc, yr = map(float, place[:6])
        across, down = scene.width / width, scene.height / height
        place = (x0, xc * across, xr * down, y0, yc * across, yr * down, place[-1])
    return Scene(scene.name, height, width, tiles, place)


def choose_levels(scene: Scene, images: ImagesParams) -> Levels | None:
    """Take the percentiles of a scene, of a reduced one where it is large.

    Returns
    -------
    levels : Levels or None
        None where `stretch` is another than percentile.
    """
    if images.stretch != "percentile":
        return None
    pooled: list[list[np.ndarray]] = []
    for tile in scene.tiles:
        if tile.ready:
            continue
        with _opened(tile.path) as dataset:
            step = max(dataset.height, dataset.width) / LOOKED_AT
            shape = tuple(max(1, int(side / max(step, 1))) for side in dataset.shape)
            whole = Area(0, dataset.height, 0, dataset.width)
            values, invalid = _values(dataset, images, whole, shape, tile.path)
        kept = values[~invalid]
        pooled = pooled or [[] for _ in range(kept.shape[1])]
        for band, of_band in enumerate(pooled):
            of_band.append(kept[:, min(band, kept.shape[1] - 1)].astype(np.float64))
    low, high = [], []
    for of_band in pooled:
        valid = np.concatenate(of_band)
        limits = [images.low, images.high]
        found = np.percentile(valid, limits, method="inverted_cdf") if valid.size else (0.0, 0.0)
        low.append(float(found[0]))
        high.append(float(found[1]))
    return Levels(tuple(low), tuple(high))


def read_area(
    area: Area, *, scene: Scene, images: ImagesParams, levels: Levels | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a part of a scene as a network sees it.

    Parameters
    ----------
    area : Area
        Inside the scene.
    scene, levels
        From `open_scene` and so on, and from `choose_levels`.
    images : ImagesParams
        How files are read, as in training: see `src.preparing.photos.read_photo`. The orientation
        tag is not looked at.

    Returns
    -------
    image : ndarray of uint8, shape (h, w, 3)
        RGB; pixels without data are 0.
    valid : ndarray of bool, shape (h, w)
        Which have data.

    Raises
    ------
    InputError
        If a file cannot be read, lacks a band, or has values that need a stretch; it names it.
    """
    height, width = area.bottom - area.top, area.right - area.left
    image, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    for tile in scene.tiles:
        shared = common_area(area, tile.area)
        if shared is None:
            continue
        with _opened(tile.path) as dataset:
            for piece in _pieces(shared, dataset, tile):
                rows = slice(piece.top - area.top, piece.bottom - area.top)
                columns = slice(piece.left - area.left, piece.right - area.left)
                if valid[rows, columns].all():
                    continue
                how = (READY, None) if tile.ready else (images, levels)
                found, data = _read_piece(dataset, tile, piece, *how)
                fresh = data & ~valid[rows, columns]
                image[rows, columns][fresh] = found[fresh]
                valid[rows, columns] |= fresh
    return image, valid


def refusal(path: Path, error: InputError) -> InputError:
    """Name the file; advice for params.yaml, which who uses a model does not have, is left out."""
    words, advice, _ = str(error).partition("; set images.")
    return InputError(f"{path}: {words}{'; convert the file' * bool(advice)}")


@contextmanager
def _opened(path: Path) -> Generator:
    """Open a file, with its path before what is wrong with it and little memory for GDAL."""
    import rasterio

    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE), open_geotiff(path) as dataset:
            yield dataset
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _read_piece(
    dataset, tile: Tile, piece: Area, images: ImagesParams, levels: Levels | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (h, w, 3) and which pixels have data."""
    window, shape = piece, (piece.bottom - piece.top, piece.right - piece.left)
    down = dataset.height / (tile.area.bottom - tile.area.top)
    across = dataset.width / (tile.area.right - tile.area.left)
    window = Area(
        *((side - tile.area.top) * down for side in (piece.top, piece.bottom)),
        *((side - tile.area.left) * across for side in (piece.left, piece.right)),
    )
    values, invalid = _values(dataset, images, window, shape, tile.path)
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    given = {"bits": int(bits) if bits else None, "invalid": invalid if invalid.any() else None}
    try:
        with np.errstate(invalid="ignore"):
            if levels is None:
                found = {"stretch": images.stretch, "low": images.low, "high": images.high}
                image = to_8_bits(values, **found, **given)
            else:
                image = _spread(values, levels, given["invalid"])
    except InputError as error:
        raise refusal(tile.path, error) from None
    return np.broadcast_to(image, (*image.shape[:2], 3)), ~invalid


def _spread(values: np.ndarray, levels: Levels, invalid: np.ndarray | None) -> np.ndarray:
    """Spread each band over its own range; what exceeds a range of one value is white."""
    bands = []
    for band, (low, high) in enumerate(zip(levels.low, levels.high, strict=True)):
        one = values[..., band : band + 1]
        if low < high:
            bands.append(to_8_bits(one, stretch="range", low=low, high=high, invalid=invalid))
        else:
            white = np.where(one > high, 255, 0).astype(np.uint8)
            white[np.zeros(white.shape[:2], bool) if invalid is None else invalid] = 0
            bands.append(white)
    return np.concatenate(bands, axis=2)


def _values(
    dataset, images: ImagesParams, window: Area, shape: tuple[int, ...], path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Read bands as the file has them, (h, w, 1 or 3), and which pixels have no data.

    As `src.preparing.image_bands.read_bands` and `src.preparing.photos.read_photo` do.
    """
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    if "complex" in dataset.dtypes[0]:
        raise InputError(f"{path}: holds complex numbers, which are no image")
    rows, columns = window.bottom - window.top, window.right - window.left
    same = (rows, columns) == shape
    place = Window.from_slices((window.top, window.bottom), (window.left, window.right))
    options = {"window": place, "out_shape": shape}
    palette = dataset.colorinterp[0].name == "palette"
    nearest = {**options, "resampling": Resampling.nearest}
    smooth = Resampling.average if rows > shape[0] else Resampling.bilinear
    read = nearest if same or palette else {**options, "resampling": smooth}
    count = 3 if palette else dataset.count
    if max(images.bands, default=1) > count:
        there = f"{count} bands" if count > 1 else "1 band"
        raise InputError(f"{path}: has {there}, but the model asks for band {max(images.bands)}")
    places = [band - 1 for band in images.bands] or ([0, 1, 2] if count > 2 else [0])
    if palette:
        colours = np.zeros((1 << 8 * np.dtype(dataset.dtypes[0]).itemsize, 4), np.uint8)
        for index, colour in dataset.colormap(1).items():
            colours[index] = colour
        found = colours[dataset.read(1, **read)]
        values, invalid = found[..., :3][..., places], found[..., 3] == 0
    else:
        bands = [place + 1 for place in places]
        values = as_shown(np.moveaxis(dataset.read(bands, **read), 0, -1), dataset)
        invalid = _masked(dataset, bands, nearest, values.shape[:2])
    if values.dtype.kind == "f":
        invalid = invalid | ~np.all(np.isfinite(values), axis=2)
    if images.no_data != "none":
        with np.errstate(over="ignore"):
            invalid = invalid | np.all(values == images.no_data, axis=2)
    return values, invalid


def _masked(dataset, bands: list[int], read: dict, shape: tuple[int, ...]) -> np.ndarray:
    """Tell the pixels that the file itself says have no data in any of the bands."""
    masked = np.ones(shape, bool)
    for band in bands:
        if "all_valid" in {flag.name for flag in dataset.mask_flag_enums[band - 1]}:
            return np.zeros(shape, bool)
        with without_warnings():  # that of an alpha band and a value the value decides
            masked &= dataset.read_masks(band, **read) == 0
    return masked


def _pieces(area: Area, dataset, tile: Tile) -> Iterator[Area]:
    """Part what is read of a file: across tiles of a tiled one, along strips of another."""
    height, width = area.bottom - area.top, area.right - area.left
    if dataset.block_shapes[0][1] >= dataset.width:
        step = max(PIECE // width, 1)
        for top in range(area.top, area.bottom, step):
            yield area._replace(top=top, bottom=min(top + step, area.bottom))
    else:
        step = max(PIECE // height, 1)
        for left in range(area.left, area.right, step):
            yield area._replace(left=left, right=min(left + step, area.right))
