"""Small scenes on the map and files of outlines, written for tests."""

import warnings
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from rasterio.transform import Affine

UTM = "EPSG:32737"
EAST, NORTH, PIXEL = 500_000.0, 9_300_000.0, 0.5  # of the upper left corner, m
DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile", ".fgb": "FlatGeobuf"}


def write_scene(path, image, *, left=0, top=0, crs: str | None = UTM, placed=True, **options):
    """Write an image (H, W, 3) as GeoTIFF, its corner so many px right and down of the origin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = image.shape
    origin = Affine(PIXEL, 0, EAST + left * PIXEL, 0, -PIXEL, NORTH - top * PIXEL)
    place = {"transform": origin, "crs": crs} if placed else {}
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count}
    profile |= {"dtype": image.dtype, **place, **options}
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.moveaxis(image, 2, 0))
    return path


def on_map(shape):
    """Bring a geometry in px of the scene at the origin to UTM."""
    corner, size = (EAST, NORTH), (PIXEL, -PIXEL)
    return shapely.transform(shape, lambda points: corner + points * size)


def write_outlines(
    path: Path,
    shapes: list,
    columns: dict[str, list] | None = None,
    *,
    crs: str | None = UTM,
    layer: str | None = None,
    append: bool = False,
    kind: str = "Unknown",
):
    """Write geometries (of shapely, WKB or None) with columns to a vector file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = [shape if isinstance(shape, bytes) or shape is None else shape.wkb for shape in shapes]
    geometry = np.empty(len(blobs), object)
    geometry[:] = blobs
    columns = columns or {"name": [f"n{number}" for number in range(len(shapes))]}
    data = [np.array(values, object if isinstance(values[0], str) else None)
            for values in columns.values()] if shapes else [np.array([], object)]  # fmt: skip
    if path.suffix == ".shp":
        kind = "Polygon" if kind == "Unknown" else kind
    with warnings.catch_warnings(action="ignore"):
        pyogrio.raw.write(
            path, geometry, data, list(columns), driver=DRIVERS[path.suffix], crs=crs,
            geometry_type=kind, layer=layer, append=append,
        )  # fmt: skip
    return path
