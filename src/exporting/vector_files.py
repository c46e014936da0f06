"""Objects as features of GeoPackage and GeoJSON files, written by GDAL through pyogrio."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from shapely.geometry import mapping

from src.exporting.delivery import Delivery, crs_of, measured_batches

CODE = re.compile(r"[A-Z]+:\w+")  # of an authority
DEGREE_DECIMALS = 9  # a tenth of a millimetre: pixels of drones have few
GPKG_VERSION = "1.2"  # of a newer one GDAL 3.6 warns that it may know only a part of it
FIELDS = {"id": pa.int64(), "image": pa.string(), "score": pa.float64(), "area_px": pa.int64()}
MEASURED = ("perimeter_px", "mean_red", "mean_green", "mean_blue", "area_m2", "perimeter_m")
FIELDS |= dict.fromkeys(MEASURED, pa.float64())
SCHEMA = pa.schema([*FIELDS.items(), ("geometry", pa.binary())])


def by_crs(deliveries: list[Delivery]) -> dict[str, list[Delivery]]:
    """Part images by the coordinate system they lie in; those of none are left out."""
    parts: dict[str, list[Delivery]] = {}
    for one in deliveries:
        if crs_of(one):
            parts.setdefault(crs_of(one), []).append(one)
    return parts


def write_geopackage(path: Path, deliveries: list[Delivery]) -> None:
    """Write objects on the map in its coordinate system, a layer for each such system.

    Parameters
    ----------
    path : Path
        Ending in .gpkg.
    deliveries : list of Delivery
        At least one of a known coordinate system.
    """
    parts = by_crs(deliveries)
    for number, (crs, images) in enumerate(parts.items()):
        layer = "objects" if len(parts) == 1 else f"objects_{_crs_word(crs, number)}"
        pyogrio.write_arrow(
            _features(images),
            path,
            driver="GPKG",
            layer=layer,
            geometry_name="geometry",
            geometry_type="MultiPolygon",
            crs=crs,
            dataset_options={"VERSION": GPKG_VERSION} if number == 0 else {},
        )


def write_geojson(path: Path, deliveries: list[Delivery]) -> list[Path]:
    """Write objects on the map as RFC 7946 has it: longitude and latitude in WGS 84.

    Parameters
    ----------
    path : Path
        Ending in .geojson. Where there are several coordinate systems there is a file for each,
        with its name behind that of `path`.
    deliveries : list of Delivery
        Those of no known coordinate system are left out.

    Returns
    -------
    written : list of Path
    """
    parts, written = by_crs(deliveries), []
    for number, (crs, images) in enumerate(parts.items()):
        ending = "" if len(parts) == 1 else f"_{_crs_word(crs, number)}"
        written.append(path.with_name(f"{path.stem}{ending}.geojson"))
        pyogrio.write_arrow(
            _features(images),
            written[-1],
            driver="GeoJSON",
            geometry_name="geometry",
            geometry_type="MultiPolygon",
            crs=crs,
            layer_options={"RFC7946": "YES", "COORDINATE_PRECISION": str(DEGREE_DECIMALS)},
        )
    return written


def write_pixel_geojson(path: Path, deliveries: list[Delivery]) -> None:
    """Write objects of images on no known map: in px from their upper left corners, y down.

    That is no GeoJSON by RFC 7946, which knows but longitude and latitude; viewers that ask for no
    coordinate system draw it.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        begin = "\n"
        for one in deliveries:
            for table, outlines in measured_batches(one._replace(place=None)):
                for row, outline in zip(_rows(table), outlines, strict=True):
                    geometry = mapping(outline)
                    feature = {"type": "Feature", "properties": row, "geometry": geometry}
                    file.write(begin + json.dumps(feature, separators=(",", ":"), allow_nan=False))
                    begin = ",\n"
        file.write("\n]}\n")


def _crs_word(crs: str, number: int) -> str:
    return crs.replace(":", "_") if CODE.fullmatch(crs) else f"WKT_{number + 1}"


def _features(images: list[Delivery]) -> pa.RecordBatchReader:
    """Stream features, so that their number has no part in the memory taken."""

    def parts() -> Iterator[pa.RecordBatch]:
        for image in images:
            for table, outlines in measured_batches(image):
                columns = [_column(table[name], kind) for name, kind in FIELDS.items()]
                geometry = pa.array(shapely.to_wkb(outlines), pa.binary())
                yield pa.record_batch([*columns, geometry], schema=SCHEMA)

    return pa.RecordBatchReader.from_batches(SCHEMA, parts())


def _column(values: pd.Series, kind: pa.DataType) -> pa.Array:
    return pa.array(values.tolist(), kind, from_pandas=True)


def _rows(table: pd.DataFrame) -> list[dict]:
    """Return properties in px alone."""
    return table[[name for name in FIELDS if not name.endswith(("_m", "_m2"))]].to_dict("records")
