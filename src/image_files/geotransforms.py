"""Where the pixels of an image lie on the map: six numbers per image, and of which map.

(x0, xc, xr, y0, yc, yr): the point `column` px right and `row` px down of the upper left corner
of the upper left pixel lies at x = x0 + column * xc + row * xr, y = y0 + column * yc + row * yr.
After them stands the coordinate system: "EPSG:32737" or another authority's code, or WKT if it has
none, or "". Heights are left out of it.
"""

import codecs
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from src.base.errors import InputError
from src.formats.tables import read_table
from src.image_files.geotiff import SETTINGS, Window, open_geotiff
from src.image_files.image_headers import TIFF_STARTS

NUMBERS = ("x_origin", "x_per_column", "x_per_row", "y_origin", "y_per_column", "y_per_row")
COLUMNS = (*NUMBERS, "crs")
NOWHERE = 'LOCAL_CS["unnamed"'  # what GDAL makes of coordinates whose system a file does not name
EPSG = re.compile(r"EPSG:[0-9]+")
LONGEST = 1 << 16  # bytes read of a world file or a .prj file
LONGEST_XML = 1 << 24  # bytes of a .aux.xml file, which holds statistics and more
HORIZONTAL = re.compile(r"(?:PROJCS|GEOGCS|PROJCRS|GEOGCRS|GEODCRS|BOUNDCRS)\[")
GEOJP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")  # whose box holds a TIFF file's tags
JP2_START = b"\0\0\0\x0cjP  \r\n\x87\n"
OFF = 0.5  # px, that a ground control point may lie off the grid of all


def read_geotransform(path: Path) -> tuple[float | str, ...] | None:
    """Read where an image lies: from its own tags, else from the files beside it.

    Parameters
    ----------
    path : Path
        An image file. Its tags are those of GeoTIFF and GeoJP2. Else the file that GDAL writes
        beside any image counts, `a.jpg.aux.xml`, and then a world file. Ground control points,
        in tags or that file, count where one grid fits all of them to half a pixel. The names tried
        for a world file of `a.jpg` are `a.jgw`, `a.jpgw` and `a.wld`, each in lower and in upper
        case; the coordinate system of these stands in `a.prj`, as WKT, or in `a.jpg.aux.xml`.

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
    beside = path.with_name(path.name + ".aux.xml")
    transform, named = _from_aux_file(beside) if beside.is_file() else (None, "")
    if transform is not None:
        return *_checked(transform, beside), named or crs or _from_prj_file(path)
    crs = crs or named
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


def of_window(place: tuple[float | str, ...], window: Window) -> tuple[float | str, ...]:
    """Return where a part of an image lies, by the place of the image."""
    x0, xc, xr, y0, yc, yr = map(float, place[:6])
    x = x0 + window.left * xc + window.top * xr
    y = y0 + window.left * yc + window.top * yr
    return x, xc, xr, y, yc, yr, place[6]


def to_pixels(points: np.ndarray, transform: tuple[float | str, ...]) -> np.ndarray:
    """Turn map coordinates (n, 2) into points, x and y in px; what `to_map` does, undone."""
    x0, xc, xr, y0, yc, yr = map(float, transform[:6])
    x, y = np.asarray(points, np.float64).T
    x, y, area = x - x0, y - y0, xc * yr - xr * yc
    return np.stack([(x * yr - y * xr) / area, (y * xc - x * yc) / area], axis=1)


def to_map(points: np.ndarray, transform: tuple[float | str, ...]) -> np.ndarray:
    """Turn points (n, 2), x and y in px from the upper left corner, into map coordinates (n, 2)."""
    x0, xc, xr, y0, yc, yr = transform[:6]
    column, row = np.asarray(points, np.float64).T
    return np.stack([x0 + column * xc + row * xr, y0 + column * yc + row * yr], axis=1)


def _from_tags(path: Path) -> tuple[tuple[float, ...] | None, str]:
    """Return six numbers, or None, and the coordinate system that a file itself names."""
    start = _read_start(path, len(JP2_START)) if path.is_file() else b""
    source = path if start.startswith(TIFF_STARTS) else None
    if start == JP2_START:
        source = _geojp2_tags(path)
    if source is None:
        return None, ""
    try:
        with open_geotiff(source) as dataset:
            if not dataset.transform.is_identity:  # rasterio's word for none
                return dataset.transform.to_gdal(), _crs_text(dataset.crs)
            points, crs = dataset.gcps
            found = [(p.col, p.row, p.x, p.y) for p in points]
            return _grid_of(found), _crs_text(crs or dataset.crs)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _geojp2_tags(path: Path) -> bytes | None:
    """Return the TIFF file without pixels in a box of a JPEG 2000 file, if there is one."""
    with open(path, "rb") as file:
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            rest = length - 8
            if length == 1:
                rest = int.from_bytes(file.read(8), "big") - 16
            if kind == b"uuid" and 16 < rest <= LONGEST_XML:
                content = file.read(rest)
                if content.startswith(GEOJP2):
                    return content[16:]
            elif length == 0 or rest < 0:  # the last box, or none
                return None
            else:
                file.seek(rest, 1)
    return None


def _from_aux_file(path: Path) -> tuple[tuple[float, ...] | None, str]:
    """Return six numbers, or None, and the coordinate system in a .aux.xml file of GDAL."""
    content = _read_start(path, LONGEST_XML)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # whatever it is, GDAL has not written it
        return None, ""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return None, ""
    points, transform = root.find("GCPList"), root.findtext("GeoTransform")
    text = root.findtext("SRS") or ("" if points is None else points.get("Projection", ""))
    crs = _crs_of_text(text, path) if text.strip() else ""
    if transform is not None:
        return tuple(_numbers(transform.replace(",", " ").split(), path)), crs
    if points is None:
        return None, crs
    keys = ("Pixel", "Line", "X", "Y")
    try:
        found = [tuple(float(point.get(key, "")) for key in keys) for point in points.iter("GCP")]
    except ValueError:
        raise InputError(f"{path}: a ground control point without numbers; remove it") from None
    return _grid_of(found), crs


def _grid_of(points: list[tuple[Any, ...]]) -> tuple[float, ...] | None:
    """Return the six numbers that fit ground control points (column, row, x, y), if any do."""
    if len(points) < 3:
        return None
    known = np.array(points, np.float64)
    if not np.isfinite(known).all():
        return None
    centre = known.mean(axis=0)
    pixels, places = np.hsplit(known - centre, 2)  # small numbers, which are exact
    solution, _, rank, _ = np.linalg.lstsq(pixels, places, rcond=None)
    (xc, yc), (xr, yr) = solution.tolist()
    size = min(math.hypot(xc, yc), math.hypot(xr, yr))
    if rank < 2 or np.abs(pixels @ solution - places).max() > OFF * size:
        return None
    x0, y0 = (centre[2:] - centre[:2] @ solution).tolist()
    return x0, xc, xr, y0, yc, yr


def _from_world_file(path: Path) -> tuple[float, ...]:
    content = _read_start(path, LONGEST).removeprefix(codecs.BOM_UTF8)
    words = content.decode("latin-1").split()
    xc, yc, xr, yr, x0, y0 = _numbers(words, path)
    return _from_centre(x0, xc, xr, y0, yc, yr)


def _from_prj_file(path: Path) -> str:
    """Return the coordinate system that the .prj file beside an image names, or ""."""
    for name in (path.with_suffix(".prj"), path.with_suffix(".PRJ")):
        if name.is_file():
            try:
                text = _read_start(name, LONGEST).decode("utf-8-sig")
            except UnicodeDecodeError:
                text = ""
            return _crs_of_text(text, name)
    return ""


def _crs_of_text(text: str, path: Path) -> str:
    """Return how the coordinate system of WKT is named."""
    # here since it takes 0.2 s, and few datasets have such files
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        with rasterio.Env(**SETTINGS):
            return _crs_text(CRS.from_wkt(text.strip()))
    except CRSError:
        raise InputError(f"{path}: no coordinate system in WKT; remove it") from None


def _crs_text(crs) -> str:
    """Return how a coordinate system of rasterio is named."""
    if not crs or crs.to_wkt().startswith(NOWHERE):
        return ""
    text = crs.to_wkt()
    if text.startswith(("COMPD_CS", "COMPOUNDCRS")):
        text = _horizontal(text)
        crs = type(crs).from_wkt(text)
    code = crs.to_epsg()
    if code is not None:
        return f"EPSG:{code}"
    authority = crs.to_authority()
    return text if authority is None else ":".join(authority)


def _horizontal(text: str) -> str:
    """Return the part of the WKT of a compound system that is not of heights."""
    found = HORIZONTAL.search(text)
    if found is None:
        return text
    depth, quoted = 0, False
    for place in range(found.end() - 1, len(text)):
        character = text[place]
        quoted ^= character == '"'
        depth += 0 if quoted else (character == "[") - (character == "]")
        if depth == 0:
            return text[found.start() : place + 1]
    return text


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


def _checked(numbers: Iterable[float], path: Path) -> tuple[float, ...]:
    transform = tuple(float(number) for number in numbers)
    _, xc, xr, _, yc, yr = transform
    if not all(map(math.isfinite, transform)) or xc * yr == xr * yc:
        raise InputError(f"{path}: pixels have no area on the map by {transform}; correct it")
    return transform
