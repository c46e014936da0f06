"""How large the pixels of images are on the ground."""

import math
from collections.abc import Iterable

import numpy as np

METRES_PER_DEGREE = 111_320.0  # of latitude, and of longitude at the equator


def median_pixel_size(places: Iterable[tuple[float | str, ...]]) -> float | None:
    """Return the median side of a pixel in metres.

    Parameters
    ----------
    places : iterable of (6 floats and a coordinate system)
        Of `src.image_files.geotransforms.read_geotransforms`.

    Returns
    -------
    side : float or None
        In m: the root of a pixel's area. None where no image tells its coordinate system.
    """
    sides = [side for side in map(pixel_size, places) if side is not None]
    return float(np.median(sides)) if sides else None


def pixel_size(place: tuple[float | str, ...]) -> float | None:
    """Return the side of a pixel in metres.

    Parameters
    ----------
    place : (6 floats and a coordinate system)
        See `src.image_files.geotransforms`.

    Returns
    -------
    side : float or None
        The root of the area of the upper left pixel; where coordinates are degrees, at its
        latitude, on a sphere. None where the coordinate system is not known or neither.
    """
    x0, xc, xr, y0, yc, yr = (float(number) for number in place[:6])
    text = str(place[6])
    if not text:
        return None
    # here since it takes 0.2 s, and few data sets lie on a map
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        crs = CRS.from_string(text)
        metres = 1.0 if crs.is_geographic else float(crs.linear_units_factor[1])
    except CRSError:
        return None
    side = math.sqrt(abs(xc * yr - xr * yc)) * metres
    if crs.is_geographic:
        side *= METRES_PER_DEGREE * math.sqrt(max(math.cos(math.radians(y0)), 0.0))
    return side if side > 0 else None
