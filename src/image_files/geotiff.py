"""TIFF files opened by GDAL alone with what they hold: no other driver, file or setting."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.base.errors import InputError
from src.image_files.silence import without_warnings

DAMAGED = "damaged image (GDAL cannot read this TIFF file)"
SETTINGS: dict[str, Any] = {  # also against what the environment says
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # as if no file (.aux.xml, .tfw) lay beside it
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_POINT_GEO_IGNORE": "NO",
}


@contextmanager
def open_geotiff(source: bytes | Path, damaged: str = DAMAGED) -> Iterator:
    """Open a TIFF file, or the bytes of one, as a dataset of rasterio.

    Parameters
    ----------
    source : bytes or Path
        The whole file, or where it lies.
    damaged : str
        The reason to give where GDAL cannot read it.

    Yields
    ------
    dataset : rasterio.DatasetReader
        Of the first page. What goes wrong in reading it becomes an InputError too.

    Raises
    ------
    InputError
        With the reason alone: not a TIFF file, or a damaged one.
    """
    # here since it takes 0.2 s, in every worker, and most datasets have no TIFF file
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with rasterio.Env(**SETTINGS):
            if isinstance(source, bytes):
                with MemoryFile(source) as memory, _opened(memory.open) as dataset:
                    yield dataset
            else:
                with _opened(rasterio.open, Path(source)) as dataset:
                    yield dataset
    except RasterioError:  # its words hold names that differ from run to run
        raise InputError(damaged) from None


def _opened(open_dataset, *path):
    with without_warnings():  # that it lies nowhere on the map, as most images
        return open_dataset(*path, driver="GTiff")
