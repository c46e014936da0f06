"""An image whose objects are delivered, and their measurements."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely

from src.exporting.object_file import read_objects
from src.exporting.on_map import on_map
from src.image_files.geotransforms import to_map

Place = tuple[float | str, ...]
DECIMALS = {"score": 6, "perimeter_px": 3, "x_px": 3, "y_px": 3, "perimeter_m": 3, "area_m2": 4}
DECIMALS |= dict.fromkeys(("mean_red", "mean_green", "mean_blue"), 2)
COLUMNS = (
    "id", "image", "score", "area_px", "perimeter_px", "x_px", "y_px", "mean_red", "mean_green",
    "mean_blue", "area_m2", "perimeter_m", "x_map", "y_map", "crs",
)  # fmt: skip


class Delivery(NamedTuple):
    """One image or scene, or several that were joined."""

    name: str
    height: int  # px
    width: int
    place: Place | None  # on the map; see src.image_files.geotransforms
    objects: Path  # file of src.exporting.object_file
    first: int  # id of its first object


def crs_of(delivery: Delivery) -> str:
    """Return the coordinate system an image lies in, "" where it is not known."""
    return "" if delivery.place is None else str(delivery.place[-1])


def metres_per_unit(crs: str) -> float | None:
    """Return how many metres a unit of a projected coordinate system has; None of another one."""
    if not crs:
        return None
    # here since it takes 0.2 s, and few images lie on a map
    from rasterio.crs import CRS

    system = CRS.from_user_input(crs)
    return float(system.linear_units_factor[1]) if system.is_projected else None


def measured_batches(delivery: Delivery) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Measure the objects of an image, some at a time.

    Yields
    ------
    table : DataFrame
        Columns `COLUMNS`: `area_px` is the number of pixels; `perimeter_px` the length of the
        outline as it is written; `x_px`, `y_px` its centroid from the upper left corner of the
        image; `mean_red`, `mean_green`, `mean_blue` means over pixels, 0 to 255, as the model sees
        them. In a projected coordinate system also `area_m2` and `perimeter_m`, and in any
        `x_map`, `y_map`, the centroid; NaN elsewhere.
    outlines : ndarray of MultiPolygon
        On the map, in px where the image lies on none.
    """
    place, crs, first = delivery.place, crs_of(delivery), delivery.first
    unit = metres_per_unit(crs)
    for batch in read_objects(delivery.objects):
        outlines = np.asarray(shapely.from_wkb(batch.column("outline").to_numpy(False)))
        centre = shapely.centroid(outlines)
        x, y = shapely.get_x(centre), shapely.get_y(centre)
        area = batch.column("area_px").to_numpy()
        table = {
            "id": first + np.arange(len(area)),
            "image": delivery.name,
            "score": batch.column("score").to_numpy(),
            "area_px": area,
            "perimeter_px": shapely.length(outlines),
            "x_px": x,
            "y_px": y,
        }
        for colour in ("red", "green", "blue"):
            table[f"mean_{colour}"] = batch.column(colour).to_numpy()
        nothing = np.full(len(area), math.nan)
        table |= dict.fromkeys(COLUMNS[10:14], nothing) | {"crs": crs}
        if place is not None:
            _, xc, xr, _, yc, yr = map(float, place[:6])
            table["x_map"], table["y_map"] = to_map(np.stack([x, y], axis=1), place).T
            outlines = on_map(outlines, place)
            if unit is not None:
                table["area_m2"] = area * abs(xc * yr - xr * yc) * unit**2
                table["perimeter_m"] = shapely.length(outlines) * unit
        first += len(area)
        yield pd.DataFrame(table)[list(COLUMNS)].round(DECIMALS), outlines
