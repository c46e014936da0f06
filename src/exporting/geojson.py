"""Objects as features of GeoJSON, and the lines before and after them."""

import json

import numpy as np

from src.image_files.geotransforms import to_map

PIXEL_DECIMALS = 3
MAP_DIGITS = 12  # a thousandth of a millimetre in metres, a tenth of one in degrees
END = "\n]}\n"  # of a collection


def collection_start(crs: str = "") -> str:
    """Write what stands before the features of a collection; after them stands `END`.

    Parameters
    ----------
    crs : str, optional
        Coordinate system of all features: "EPSG:32737", WKT, or "" where it is not known.

    Returns
    -------
    text : str
        A system with an EPSG number is the member "crs", as GeoJSON had it in 2008 and GIS programs
        read it; another is "crs_wkt", which no standard knows. RFC 7946 of 2016 has neither: it
        allows longitude and latitude in WGS 84 alone, which is what a collection without a crs
        would be taken for.
    """
    members: dict = {"type": "FeatureCollection"}
    code = crs.removeprefix("EPSG:")
    if code == "4326":  # under its own name latitude would come first
        members["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    elif code != crs:
        members["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}
    elif crs:
        members["crs_wkt"] = crs
    return json.dumps(members, separators=(",", ":"))[:-1] + ',"features":['


def object_feature(
    polygons: list[list[np.ndarray]],
    properties: dict,
    transform: tuple[float | str, ...] | None = None,
) -> str:
    """Write one object as a feature, in one line.

    Parameters
    ----------
    polygons : list of list of ndarray, shape (n, 2)
        In px, as `src.exporting.polygons` has them; at least one.
    properties : dict
        What JSON can hold.
    transform : tuple of 6 float and a str, optional
        The image's place (`src.image_files.geotransforms`). Without one coordinates stay in px,
        whole numbers where the polygons have whole numbers, others to 0.001 px.

    Returns
    -------
    line : str
        A Polygon, or a MultiPolygon of several parts. Rings are closed, outer ones anticlockwise
        with y upwards, holes clockwise, as RFC 7946 asks.

    Raises
    ------
    ValueError
        If there is no polygon.
    """
    if not polygons:
        raise ValueError("an object needs at least one polygon")
    parts = [[_coordinates(ring, transform) for ring in rings] for rings in polygons]
    if len(parts) == 1:
        geometry = {"type": "Polygon", "coordinates": parts[0]}
    else:
        geometry = {"type": "MultiPolygon", "coordinates": parts}
    feature = {"type": "Feature", "properties": properties, "geometry": geometry}
    return json.dumps(feature, separators=(",", ":"), allow_nan=False)


def _coordinates(ring: np.ndarray, transform: tuple[float | str, ...] | None) -> list[list]:
    closed = np.concatenate([ring, ring[:1]])
    if transform is None:
        whole = closed.dtype.kind == "i"
        return (closed if whole else np.round(closed, PIXEL_DECIMALS)).tolist()
    _, xc, xr, _, yc, yr = map(float, transform[:6])
    if xc * yr < xr * yc:  # rows run down the map: what is clockwise in px is not on it
        closed = closed[::-1]
    points = to_map(closed, transform).tolist()
    return [[float(f"{value:.{MAP_DIGITS}g}") for value in point] for point in points]
