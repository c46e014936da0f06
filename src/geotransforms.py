"""Where the pixels of an image lie on the map: six numbers per image.

(x0, xc, xr, y0, yc, yr): the point `column` px right and `row` px down of the upper left corner
of the upper left pixel lies at x = x0 + column * xc + row * xr, y = y0 + column * yc + row * yr.
"""

import csv
import math
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from src.errors import InputError

COLUMNS = ("x_origin", "x_per_column", "x_per_row", "y_origin", "y_per_column", "y_per_row")
TIFF_SUFFIXES = (".tif", ".tiff")
PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735  # tags of GeoTIFF
RASTER_TYPE, PIXEL_IS_POINT = 1025, 2  # a key among GEO_KEYS, and its value


def read_geotransform(path: Path) -> tuple[float, ...] | None:
    """Read where an image lies: from its GeoTIFF tags, else from a world file beside it.

    Parameters
    ----------
    path : Path
        An image file. The names tried for `a.jpg` are `a.jgw`, `a.jpgw` and `a.wld`, each in
        lower and in upper case.

    Returns
    -------
    transform : tuple of 6 float, or None
        None if nothing says where the image lies.

    Raises
    ------
    InputError
        If a world file is not six numbers, or pixels would have no area.
    """
    path = Path(path)
    if path.suffix.lower() in TIFF_SUFFIXES:
        transform = _from_tags(path)
        if transform is not None:
            return _checked(transform, path)
    suffix = path.suffix.lower().removeprefix(".")
    endings = [suffix[:1] + suffix[-1:] + "w", suffix + "w", "wld"] if suffix else ["wld"]
    for ending in endings:
        for name in (f"{path.stem}.{ending}", f"{path.stem}.{ending.upper()}"):
            if (path.parent / name).is_file():
                return _checked(_from_world_file(path.parent / name), path.parent / name)
    return None


def read_geotransforms(path: Path) -> dict[str, tuple[float, ...]]:
    """Read a table of geotransforms: a column `name` and those of `COLUMNS`.

    Returns
    -------
    transforms : dict of str to tuple of 6 float
        Empty if there is no such file: then no image has a place on the map.

    Raises
    ------
    InputError
        If a column is absent, or a row does not have six finite numbers.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        absent = [name for name in ("name", *COLUMNS) if name not in (table.fieldnames or ())]
        if absent:
            raise InputError(f"{path}: no column '{absent[0]}'; run prepare_masks again")
        transforms = {}
        for row in table:
            where = Path(f"{path}: {row['name']}")
            transforms[row["name"]] = _checked(_numbers([row[c] for c in COLUMNS], where), where)
    return transforms


def to_map(points: np.ndarray, transform: tuple[float, ...]) -> np.ndarray:
    """Turn points (n, 2), x and y in px from the upper left corner, into map coordinates (n, 2)."""
    x0, xc, xr, y0, yc, yr = transform
    column, row = np.asarray(points, np.float64).T
    return np.stack([x0 + column * xc + row * xr, y0 + column * yc + row * yr], axis=1)


def _from_tags(path: Path) -> tuple[float, ...] | None:
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            tags = dict(image.tag_v2)
    except UnidentifiedImageError:
        return None  # not a TIFF whatever its name says
    if len(tags.get(TRANSFORMATION, ())) == 16:
        xc, xr, _, x0, yc, yr, _, y0 = tags[TRANSFORMATION][:8]
    elif len(tags.get(PIXEL_SCALE, ())) >= 2 and len(tags.get(TIE_POINTS, ())) >= 6:
        (xc, down), xr, yc = tags[PIXEL_SCALE][:2], 0.0, 0.0
        column, row, _, x, y = tags[TIE_POINTS][:5]
        x0, yr, y0 = x - column * xc, -down, y + row * down
    else:
        return None
    keys = tags.get(GEO_KEYS, ())
    keys = {keys[at]: keys[at + 3] for at in range(4, len(keys) - 3, 4)}  # after a header
    centres = keys.get(RASTER_TYPE) == PIXEL_IS_POINT
    return _from_centre(x0, xc, xr, y0, yc, yr) if centres else (x0, xc, xr, y0, yc, yr)


def _from_world_file(path: Path) -> tuple[float, ...]:
    xc, yc, xr, yr, x0, y0 = _numbers(path.read_text(encoding="latin-1").split(), path)
    return _from_centre(x0, xc, xr, y0, yc, yr)


def _from_centre(x0, xc, xr, y0, yc, yr) -> tuple[float, ...]:
    """Move the origin from the centre of the first pixel to its corner."""
    return (x0 - (xc + xr) / 2, xc, xr, y0 - (yc + yr) / 2, yc, yr)


def _numbers(words: list[str | None], path: Path) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except (TypeError, ValueError):
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
