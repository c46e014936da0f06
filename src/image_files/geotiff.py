"""TIFF files opened by GDAL alone with what they hold: no other driver, file or setting."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.base.errors import InputError
from src.image_files.silence import without_warnings

CACHE = 64  # MiB of decoded blocks that GDAL keeps; it would take a share of all memory
DAMAGED = "damaged image (GDAL cannot read this TIFF file)"
SETTINGS: dict[str, Any] = {  # also against what the environment says
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # as if no file (.aux.xml, .tfw) lay beside it
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_POINT_GEO_IGNORE": "NO",
}


class Window(NamedTuple):
    """A part of an image, in px."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First row and the one after the last, and likewise columns, as rasterio takes them."""
        return (self.top, self.top + self.height), (self.left, self.left + self.width)


@contextmanager
def open_geotiff(source: bytes | Path, damaged: str = DAMAGED, *, page: int = 1) -> Iterator:
    """Open a TIFF file, or the bytes of one, as a dataset of rasterio.

    Parameters
    ----------
    source : bytes or Path
        The whole file, or where it lies.
    damaged : str
        The reason to give where GDAL cannot read it.
    page : int
        Of bytes, which page: all are numbered from 1, reduced ones too.

    Yields
    ------
    dataset : rasterio.DatasetReader
        Of the page. What goes wrong in reading it becomes an InputError too.

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
                with MemoryFile(source) as memory, _opened(*_page(memory, page)) as dataset:
                    yield dataset
            else:
                with _opened(rasterio.open, Path(source)) as dataset:
                    yield dataset
    except RasterioError:  # its words hold names that differ from run to run
        raise InputError(damaged) from None


def as_shown(values: np.ndarray, dataset) -> np.ndarray:
    """Turn values round where the file says that 0 is white (WhiteIsZero), as viewers do.

    Parameters
    ----------
    values : ndarray of any shape
        As GDAL reads them from the dataset.
    dataset : rasterio.DatasetReader
        From `open_geotiff`. A file of 1 bit has a palette instead, which tells the same.

    Returns
    -------
    values : ndarray of the same shape and dtype
        Unsigned v becomes the greatest of its bits less v; signed ones ~v, real ones -v.
    """
    if dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") != "YES":
        return values
    if values.dtype.kind != "u":
        return ~values if values.dtype.kind == "i" else -values
    bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * values.dtype.itemsize))
    return values.dtype.type(2**bits - 1) - values


def _page(memory, page: int) -> tuple:
    """Return what opens a page of a file in memory; the first by the file's own name."""
    import rasterio

    return (memory.open,) if page == 1 else (rasterio.open, f"GTIFF_DIR:{page}:{memory.name}")


def _opened(open_dataset, *path):
    with without_warnings():  # that it lies nowhere on the map, as most images
        return open_dataset(*path, driver="GTiff")
