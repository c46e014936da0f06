"""All files that are made of the objects found."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.base.errors import InputError
from src.delivering.rasters import write_labels, write_raster
from src.exporting.delivery import Delivery, crs_of
from src.exporting.object_file import count_objects
from src.exporting.plain_files import write_coco, write_measurements
from src.exporting.vector_files import write_geojson, write_geopackage, write_pixel_geojson
from src.mosaics.runs import Area

FORMATS = ("gpkg", "geojson", "coco", "labels", "csv", "probabilities")
ON_MAP = ("gpkg",)  # that an image which lies on no known map cannot be written in


class Finished(NamedTuple):
    """An image whose objects are found."""

    name: str
    height: int  # px
    width: int
    place: tuple[float | str, ...] | None  # on the map
    objects: Path  # file of src.exporting.object_file
    probability: Callable[[Area], np.ndarray]  # of an area, uint8


def write_outputs(
    folder: Path,
    finished: list[Finished],
    formats: list[str],
    categories: list[dict],
    scratch: Path,
) -> int:
    """Write the formats asked for.

    Parameters
    ----------
    folder : Path
        To write into.
    finished : list of Finished
    formats : list of str
        Of FORMATS.
    categories : list of dict
        {"id", "name"}, for COCO.
    scratch : Path
        A folder for what is needed meanwhile.

    Returns
    -------
    objects : int
        Their number.

    Raises
    ------
    InputError
        If a file cannot be written, or COCO cannot hold an image.
    """
    deliveries, first = [], 1
    for one in finished:
        deliveries.append(Delivery(*one[:5], first))
        first += count_objects(one.objects)
    mapped = [one for one in deliveries if crs_of(one)]
    with _writing(folder):
        if "coco" in formats:
            write_coco(folder, deliveries, categories)
        if "csv" in formats:
            write_measurements(folder / "objects.csv", deliveries)
        if "gpkg" in formats and mapped:
            write_geopackage(folder / "objects.gpkg", mapped)
        if "geojson" in formats:
            write_geojson(folder / "objects.geojson", mapped)
            for one in deliveries:
                if not crs_of(one):
                    path = folder / f"{one.name}_px.geojson"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_pixel_geojson(path, [one])
        for one, source in zip(deliveries, finished, strict=True):
            if "labels" in formats:
                write_labels(folder / f"labels/{one.name}.tif", one, scratch / "labels")
            if "probabilities" in formats:
                path = folder / f"probabilities/{one.name}.tif"
                write_raster(path, one, "uint8", source.probability)
    return first - 1


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Say what a library says when it cannot write, most often since the disk is full."""
    from pyogrio.errors import DataLayerError, DataSourceError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, DataSourceError, DataLayerError) as error:
        words = " ".join(str(error).split())[:200]
        raise InputError(f"{folder.parent}: cannot be written to ({words}); make room") from None
