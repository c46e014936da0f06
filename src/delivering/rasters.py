"""Maps of a scene as GeoTIFF files, tiled and compressed, written strip by strip."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from src.base.files import new_file
from src.exporting.delivery import Delivery, crs_of
from src.exporting.object_file import batch_runs, count_objects, read_objects
from src.image_files.silence import without_warnings
from src.mosaics.runs import Area, clip_runs, runs_area, runs_mask

TILE = 256  # px
STRIP = 256  # rows written at a time, whole tiles
PAINTED = 1 << 22  # px of a box that are painted at a time


def write_labels(path: Path, delivery: Delivery, scratch: Path) -> None:
    """Write a label map, uint32: 0 is background, any other value the id of an object.

    Where objects overlap, the better score has the pixel, of equals the lower id.

    Parameters
    ----------
    path : Path
        Ending in .tif.
    delivery : Delivery
    scratch : Path
        A file to write meanwhile, of 4 bytes a pixel where there are objects.
    """
    shape = (delivery.height, delivery.width)
    scores = np.full(count_objects(delivery.objects) + 1, -np.inf)
    try:
        with scratch.open("wb") as file:
            os.truncate(file.fileno(), shape[0] * shape[1] * 4)
        label = 0
        for batch in read_objects(delivery.objects):
            # Mapped anew each time, since pages that were touched count as memory of the process.
            labels = np.memmap(scratch, np.uint32, "r+", shape=shape)
            scores[label + 1 : label + 1 + batch.num_rows] = batch.column("score").to_numpy()
            for runs in batch_runs(batch):
                label += 1
                _paint(labels, runs, label, scores)
            del labels

        def strip(area: Area) -> np.ndarray:
            labels = np.memmap(scratch, np.uint32, "r", shape=shape)
            found = np.array(labels[area.top : area.bottom, area.left : area.right])
            if delivery.first > 1:
                found[found > 0] += np.uint32(delivery.first - 1)
            return found

        write_raster(path, delivery, "uint32", strip)
    finally:
        scratch.unlink(missing_ok=True)


def store_image(path: Path, image: np.ndarray) -> None:
    """Store an image, uint8 (H, W, 3), so that parts of it can be read; whole or not at all."""
    import rasterio

    profile: dict = {"driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "zlevel": 1}
    profile |= {"height": len(image), "width": image.shape[1], "photometric": "rgb"}
    with (
        new_file(path) as partial,
        rasterio.Env(GDAL_CACHEMAX=64),
        without_warnings(),
        rasterio.open(partial, "w", **profile) as file,
    ):
        file.write(np.moveaxis(image, -1, 0))


def write_raster(
    path: Path, delivery: Delivery, dtype: str, read: Callable[[Area], np.ndarray]
) -> None:
    """Write a map of one band with the coordinate system and the place of its image.

    Parameters
    ----------
    path : Path
        Ending in .tif.
    delivery : Delivery
    dtype : str
    read : callable
        Of an area: its values (h, w).
    """
    import rasterio
    from rasterio import Affine
    from rasterio.windows import Window

    profile: dict = {"driver": "GTiff", "count": 1, "dtype": dtype, "tiled": True}
    profile |= {"blockxsize": TILE, "blockysize": TILE, "compress": "deflate"}
    profile |= {"BIGTIFF": "IF_SAFER", "SPARSE_OK": "TRUE"}
    profile |= {"height": delivery.height, "width": delivery.width}
    if delivery.place is not None:
        profile["transform"] = Affine.from_gdal(*map(float, delivery.place[:6]))
    if crs_of(delivery):
        profile["crs"] = crs_of(delivery)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        rasterio.Env(GDAL_CACHEMAX=64),
        without_warnings(),  # of an image that lies nowhere on the map
        rasterio.open(path, "w", **profile) as file,
    ):
        for area in _strips(delivery.height, delivery.width):
            values = read(area)
            if values.any():
                window = Window.from_slices((area.top, area.bottom), (area.left, area.right))
                file.write(values, 1, window=window)


def _strips(height: int, width: int) -> Iterator[Area]:
    for top in range(0, height, STRIP):
        yield Area(top, min(top + STRIP, height), 0, width)


def _paint(labels: np.ndarray, runs: np.ndarray, label: int, scores: np.ndarray) -> None:
    """Paint one object where no better one is."""
    box = runs_area(runs, len(labels))
    step = max(PAINTED // (box.right - box.left), 1)
    for top in range(box.top, box.bottom, step):
        area = box._replace(top=top, bottom=min(top + step, box.bottom))
        inside = runs if area == box else clip_runs(runs, len(labels), area)
        part = labels[area.top : area.bottom, area.left : area.right]
        mask = runs_mask(inside, len(labels), area)
        mask[mask] = scores[part[mask]] < scores[label]
        part[mask] = label
