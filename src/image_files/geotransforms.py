"""Where the pixels of an image lie on the map: six numbers per image, and of which map.

(x0, xc, xr, y0, yc, yr): the point `column` px right and `row` px down of the upper left corner
of the upper left pixel lies at x = x0 + column * xc + row * xr, y = y0 + column * yc + row * yr.
After them stands the coordinate system: "EPSG:32737", or WKT if it has no such number, or "".
"""

import math
import re
from pathlib import Path

import numpy as np

from src.base.errors import InputError
from src.formats.tables import read_table
from src.image_files.geotiff import SETTINGS, open_geotiff
from src.image_files.image_headers import TIFF_STARTS

NUMBERS = ("x_origin", "x_per_column", "x_per_row", "y_origin", "y_per_column", "y_per_row")
COLUMNS = (*NUMBERS, "crs")
NOWHERE = 'LOCAL_CS["unnamed"'  # what GDAL makes of coordinates whose system a file does not name
EPSG = re.compile(r"EPSG:[0-9]+")
LONGEST = 1 << 16  # bytes read of a world file or a .prj file


def read_geotransform(path: Path) -> tuple[float | str, ...] | None:
    """Read where an image lies: from its GeoTIFF tags, else from a world file beside it.

    Parameters
    ----------
    path : Path
        An image file. The names tried for `a.jpg` are `a.jgw`, `a.jpgw` and `a.wld`, each in
        lower and in upper case; the coordinate system of these stands in `a.prj`, as WKT.

    Returns
    -------
    place : tuple of 6 float and a str, or None
        In the order of `COLUMNS`. None if nothing says where the image lies.

    Raises
    ------
    InputError
        If a world file is not six numbers, pixels would have no area, a .prj file is no WKT, or
        a TIFF file is damaged.
    """
    path = Path(path)
    transform, crs = _from_tags(path)
    if transform is not None:
        return *_checked(transform, path), crs
    suffix = path.suffix.lower().removeprefix(".")
    endings = [suffix[:1] + suffix[-1:] + "w", suffix + "w", "wld"] if suffix else ["wld"]
    for ending in endings:
        for name in (f"{path.stem}.{ending}", f"{path.stem}.{ending.upper()}"):
            if (path.parent / name).is_file():
                transform = _checked(_from_world_file(path.parent / name), path.parent / name)
                return *transform, _from_prj_file(path) or crs
    return None


def read_geotransforms(path: Path) -> dict[str, tuple[float | str, ...]]:
    """Read a table of geotransforms: a column `name` and those of `COLUMNS`.

    Returns
    -------
    places : dict of str to tuple of 6 float and a str
        As `read_geotransform` returns them; of images that lie nowhere there is none.

    Raises
    ------
    InputError
        If the file or a column is absent, a row does not have six finite numbers, or EPSG has no
        number.
    """
    places = {}
    for row in read_table(path, "prepare_masks", ("name", *COLUMNS)).to_dict("records"):
        where = Path(f"{path}: {row['name']}")
        transform = _checked(_numbers([row[c] for c in NUMBERS], where), where)
        crs = row["crs"]
        if crs.startswith("EPSG:") and not EPSG.fullmatch(crs):
            raise InputError(f"{where}: '{crs[:60]}' is no coordinate system; correct it")
        places[row["name"]] = (*transform, crs)
    return places


def to_map(points: np.ndarray, transform: tuple[float | str, ...]) -> np.ndarray:
    """Turn points (n, 2), x and y in px from the upper left corner, into map coordinates (n, 2)."""
    x0, xc, xr, y0, yc, yr = transform[:6]
    column, row = np.asarray(points, np.float64).T
    return np.stack([x0 + column * xc + row * xr, y0 + column * yc + row * yr], axis=1)


def _from_tags(path: Path) -> tuple[tuple[float, ...] | None, str]:
    """Return six numbers, or None, and the coordinate system of a TIFF file."""
    if not path.is_file() or not _read_start(path, 4).startswith(TIFF_STARTS):
        return None, ""
    try:
        with open_geotiff(path) as dataset:
            known = not dataset.transform.is_identity  # rasterio's word for none
            return dataset.transform.to_gdal() if known else None, _crs_text(dataset.crs)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _from_world_file(path: Path) -> tuple[float, ...]:
    words = _read_start(path, LONGEST).decode("latin-1").split()
    xc, yc, xr, yr, x0, y0 = _numbers(words, path)
    return _from_centre(x0, xc, xr, y0, yc, yr)


def _from_prj_file(path: Path) -> str:
    """Return the coordinate system that the .prj file beside an image names, or ""."""
    for name in (path.with_suffix(".prj"), path.with_suffix(".PRJ")):
        if name.is_file():
            # here since it takes 0.2 s, and few datasets have such files
            import rasterio
            from rasterio.crs import CRS
            from rasterio.errors import CRSError

            try:
                with rasterio.Env(**SETTINGS):
                    return _crs_text(CRS.from_wkt(_read_start(name, LONGEST).decode()))
            except (CRSError, UnicodeDecodeError):
                raise InputError(f"{name}: no coordinate system in WKT; remove it") from None
    return ""


def _crs_text(crs) -> str:
    """Return how a coordinate system of rasterio is named."""
    if not crs or crs.to_wkt().startswith(NOWHERE):
        return ""
    code = crs.to_epsg()
    return crs.to_wkt() if code is None else f"EPSG:{code}"


def _read_start(path: Path, length: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(length)


def _from_centre(x0, xc, xr, y0, yc, yr) -> tuple[float, ...]:
    """Move the origin from the centre of the first pixel to its corner."""
    return (x0 - (xc + xr) / 2, xc, xr, y0 - (yc + yr) / 2, yc, yr)


def _numbers(words: list[str], path: Path) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 6:
        shown = " ".join(map(str, words))[:60]
        raise InputError(f"{path}: must be six numbers, got '{shown}'; correct or remove it")
    return numbers


def _checked(transform: tuple[float, ...], path: Path) -> tuple[float, ...]:
    transform = tuple(float(number) for number in transform)
    _, xc, xr, _, yc, yr = transform
    if not all(map(math.isfinite, transform)) or xc * yr == xr * yc:
        raise InputError(f"{path}: pixels have no area on the map by {transform}; correct it")
    return transform
