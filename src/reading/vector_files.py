"""Outlines read from GeoPackage, GeoJSON and Shapefile, as GDAL reads them through pyogrio."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

from src.base.errors import InputError
from src.image_files.silence import without_warnings

STARTS = {  # of files by their extension: what begins otherwise might start another driver of GDAL
    ".gpkg": (b"SQLite format 3\0",),
    ".geojson": (b"{",),
    ".json": (b"{",),
    ".shp": (b"\x00\x00\x27\x0a",),
}
SUFFIXES = (".gpkg", ".geojson", ".shp")  # by which a file is taken for one of outlines
DRIVERS = {"GPKG", "GeoJSON", "ESRI Shapefile"}
AREAS = ("Polygon", "Surface", "Unknown", "GeometryCollection")  # parts of names of types
BOM = b"\xef\xbb\xbf"
Bounds = tuple[float, float, float, float]
HEAD = 1024  # bytes
SHOWN = 8  # names in a message
LONGEST = {True: 0.005, False: 500.0}  # degrees and m: sides are cut so that a straight one of one
# coordinate system lies within a centimetre of where it lies in another
FARTHEST = {True: 1e3, False: 1e8}  # the same; beyond that lies nothing
MOST_POINTS = 1e7  # that sides are cut at


class Layer(NamedTuple):
    """The features of a layer that were asked for."""

    shapes: np.ndarray  # (N,) of shapely geometries of any type, without heights
    ids: np.ndarray  # (N,) int64, the features' numbers
    crs: str  # an authority's code, or WKT
    there: int  # features in the layer, asked for or not
    empty: int  # asked for, but without a geometry that could be read


def polygon_layers(path: Path) -> list[str]:
    """Name the layers of a file that may hold polygons.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no such layer.
    """
    import pyogrio  # here since it takes 0.2 s, in every worker

    _check_start(path)
    layers = _called(path, pyogrio.list_layers, path).tolist()
    found = [name for name, kind in layers if kind and any(area in kind for area in AREAS)]
    if not found:
        held = ", ".join(f"{name!r:.60} ({kind or 'a table'})" for name, kind in layers[:SHOWN])
        raise InputError(
            f"{path}: holds no layer of polygons but {held or 'nothing'}; give one with outlines"
        )
    return found


def only_layer(path: Path, key: str) -> str:
    """Return the name of the one layer of a file that may hold polygons.

    Raises
    ------
    InputError
        If there are several; `key` is that of params.yaml to set.
    """
    layers = polygon_layers(path)
    if len(layers) > 1:
        names = ", ".join(f"{name!r:.60}" for name in layers[:SHOWN])
        raise InputError(f"{path}: holds the layers {names}; set {key} to the one to read")
    return layers[0]


def read_layer(
    path: Path,
    layer: str,
    where: dict[str, list],
    bounds: list[tuple[Bounds, str]],
) -> Layer:
    """Read the features of a layer that lie in some places and have some values.

    Parameters
    ----------
    path : Path
        A file of `SUFFIXES`.
    layer : str
        Its name in the file.
    where : dict of str to list
        By name of a column the values of which a feature has one; numbers are compared as numbers,
        all else as texts.
    bounds : list of (bounds, str)
        Rectangles (left, bottom, right, top), each in a coordinate system of its own; features that
        touch none of them may be left out.

    Returns
    -------
    layer : Layer
        Curves are replaced by lines, a ring that is not closed is closed.

    Raises
    ------
    InputError
        If the file cannot be read, names no coordinate system, has no such layer or column, or no
        feature has the values asked for.
    """
    import pyogrio
    from pyogrio.raw import read

    _check_start(path)
    about = _called(path, pyogrio.read_info, path, layer=layer)
    crs = about["crs"]
    if about["driver"] not in DRIVERS:
        raise InputError(f"{path}: is a file of {about['driver']!r:.40}; save it as GeoPackage")
    if not crs:
        raise InputError(
            f"{path}: layer {layer!r:.60} names no coordinate system, so nobody knows where it "
            "lies; assign it one (a .prj file beside a Shapefile)"
        )
    missing = [column for column in where if column not in about["fields"]]
    if missing:
        held = ", ".join(f"{name!r:.60}" for name in about["fields"][:SHOWN]) or "none"
        raise InputError(
            f"{path}: layer {layer!r:.60} has no column {missing[0]!r:.60} of dataset.where; its "
            f"columns: {held}"
        )
    options = {"layer": layer, "columns": list(where), "force_2d": True, "return_fids": True}
    box = _common_box(bounds, crs)
    found = _called(path, read, path, bbox=box, **options)
    ids, blobs, kept = found[1], found[2], _fitting(_cells(found), where)
    if where and len(ids) and not kept.any():
        raise InputError(_no_value(path, where, _cells(found)))
    with without_warnings():
        shapes = np.asarray(shapely.from_wkb(blobs[kept], on_invalid="fix"), object).reshape(-1)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    ids = np.asarray(ids, np.int64)[kept][there]
    return Layer(shapes[there], ids, crs, int(about["features"]), int((~there).sum()))


def transformed(shapes: np.ndarray, crs: str, to: str) -> np.ndarray:
    """Bring geometries from one coordinate system to another; those that it cannot hold go missing.

    Raises
    ------
    InputError
        With the reason alone, if nothing is known that leads from one to the other.
    """
    from rasterio._err import CPLE_BaseError  # what PROJ says is no RasterioError
    from rasterio.crs import CRS
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        one, other = CRS.from_user_input(crs), CRS.from_user_input(to)
        near = np.max(np.abs(shapely.bounds(shapes)), axis=1) < FARTHEST[one.is_geographic]
        kept = [shape if flag else None for shape, flag in zip(shapes, near, strict=True)]
        shapes = np.array(kept, object)
        if crs == to or not near.any():
            return shapes
        least = shapely.length(shapes[near]).sum() / MOST_POINTS
        shapes = shapely.segmentize(shapes, max(LONGEST[one.is_geographic], least))
        points = shapely.get_coordinates(shapes)
        x, y, *_ = transform(one, other, points[:, 0].tolist(), points[:, 1].tolist())
    except (RasterioError, CPLE_BaseError, ValueError):
        raise InputError(
            f"nothing leads from the coordinate system {crs:.60} to {to:.60}; save the outlines in "
            "that of the image"
        ) from None
    moved = np.stack([x, y], axis=1)
    owner = shapely.get_coordinates(shapes, return_index=True)[1]
    lost = np.bincount(owner, ~np.isfinite(moved).all(axis=1), len(shapes)) > 0
    moved[~np.isfinite(moved)] = 0
    shapes = shapely.set_coordinates(np.array(shapes), moved)
    shapes[lost] = None
    return shapes


def _check_start(path: Path) -> None:
    """Make sure by its first bytes that a file is what its extension says."""
    starts = STARTS.get(path.suffix.lower())
    if starts is None:
        raise InputError(f"{path}: must end in {' or '.join(SUFFIXES)}; save the outlines as one")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).removeprefix(BOM).lstrip(b" \t\r\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}") from None
    if not head.startswith(starts):
        raise InputError(f"{path}: is no {path.suffix[1:]} file, or damaged; save it again")


def _called(path: Path, function, *arguments, **options) -> Any:
    """Call a function of pyogrio; what GDAL has to say against the file is one sentence."""
    from pyogrio.errors import CRSError, DataSourceError, FeatureError, FieldError, GeometryError

    refused = (CRSError, DataSourceError, FeatureError, FieldError, GeometryError)
    try:
        with without_warnings():
            return function(*arguments, **options)
    except refused as error:
        words = " ".join(str(error).split()).replace(f"{path}: ", "").rstrip(".")
        raise InputError(f"{path}: GDAL cannot read it ({words:.200}); save it again") from None
    except (ValueError, RuntimeError, OverflowError, NameError) as error:
        # the last is pyogrio's own, of a coordinate system that GDAL cannot write as WKT
        words = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read ({words:.200}); save it again") from None


def _cells(found: tuple) -> dict[str, np.ndarray]:
    """Columns by name of what pyogrio has read."""
    return dict(zip(found[0]["fields"].tolist(), found[3], strict=True))


def _fitting(cells: dict[str, np.ndarray], where: dict[str, list]) -> Any:
    """Tell the features that have one of the values in each column; all without a column."""
    kept: Any = slice(None)
    for column, values in where.items():
        wanted = {_comparable(value) for value in values}
        fits = np.array([_comparable(cell) in wanted for cell in cells[column].tolist()], bool)
        kept = fits if isinstance(kept, slice) else kept & fits
    return kept


def _comparable(value) -> float | str:
    """Make numbers and texts of the same meaning the same."""
    return float(value) if type(value) in (int, float) else str(value)


def _no_value(path: Path, where: dict[str, list], cells: dict[str, np.ndarray]) -> str:
    column = next(iter(where))
    values, counts = np.unique([str(cell) for cell in cells[column].tolist()], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    held = ", ".join(f"{str(values[place])!r:.40} ({counts[place]} times)" for place in order)
    return f"{path}: no feature is as dataset.where says; its column {column!r:.60} holds {held}"


def _common_box(bounds: list[tuple[Bounds, str]], crs: str) -> tuple | None:
    """Return the rectangle around all, in another coordinate system; None: everywhere."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    boxes = []
    for box, own in bounds:
        try:
            boxes.append(box if own == crs else transform_bounds(own, crs, *box))
        except (RasterioError, CPLE_BaseError, ValueError):
            return None
    around = np.array(boxes, np.float64).reshape(-1, 4)
    if not np.isfinite(around).all() or (around[:, 0] > around[:, 2]).any():
        return None  # over the date line
    low, high = around[:, :2].min(axis=0), around[:, 2:].max(axis=0)
    rim = (high - low) * 0.01
    return *(low - rim).tolist(), *(high + rim).tolist()
