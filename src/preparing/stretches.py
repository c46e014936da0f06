"""Values of any kind brought to 8 bits."""

import numpy as np

from src.base.errors import InputError

STRETCHES = ("none", "range", "percentile", "auto")
BLOCK = 1 << 20  # values turned at a time, so that a large image does not need room for more


def to_8_bits(
    values: np.ndarray,
    *,
    stretch: str,
    low: float,
    high: float,
    bits: int | None = None,
    invalid: np.ndarray | None = None,
) -> np.ndarray:
    """Bring the values of an image to 0..255.

    Parameters
    ----------
    values : ndarray, shape (H, W, bands)
        Whole or real numbers.
    stretch : str
        none: uint8 stays and of uint16 the upper eight bits are kept. range: `low` becomes 0 and
        `high` 255, evenly between and rounded to the nearest, clipped outside. percentile: the
        same, where `low` and `high` are the smallest values of the band that at least so many
        percent of its valid values do not exceed. Where the two are one value, what exceeds it
        becomes 255 and all else 0; so a constant band is 0. auto: uint8 as with none, others as
        with range, for which `low` must be below `high`.
    low, high : float
        Values, or percentages from 0 to 100; not used with none. With auto both may be 0 where no
        range is known.
    bits : int, optional
        Of them a value uses (the 12 of a camera), where these are less than its dtype has; for
        none.
    invalid : ndarray, bool, shape (H, W), optional
        Pixels that have no part in the percentiles, and become 0.

    Returns
    -------
    image : ndarray, uint8, shape (H, W, bands)
        `values` itself if nothing needs to change.

    Raises
    ------
    InputError
        With the reason alone, if values that are neither uint8 nor uint16 are not stretched, or
        with auto values that are not uint8 have no range.
    ValueError
        If `stretch` is unknown, or `low` is not below `high`, or they are no percentages.
    """
    check_stretch(stretch, low, high)
    if stretch == "auto":
        if values.dtype != np.uint8 and not low < high:
            raise InputError(
                f"values of type {values.dtype}, but the images of train that were looked at have "
                "8 bits; set images.stretch to range"
            )
        stretch = "none" if values.dtype == np.uint8 else "range"
    if stretch == "none":
        image = _upper_bits(values, bits)
    else:
        image = np.empty(values.shape, np.uint8)
        for band in range(values.shape[2]):
            plane = values[..., band]
            limits = (low, high)
            if stretch == "percentile":
                limits = _percentiles(plane, low, high, invalid)
            _spread(plane, *limits, image[..., band])
    if invalid is not None and image[invalid].any():
        image = image.copy() if image is values else image
        image[invalid] = 0
    return image


def to_16_bits(
    values: np.ndarray,
    *,
    stretch: str,
    low: float,
    high: float,
    invalid: np.ndarray | None = None,
) -> np.ndarray:
    """Bring the values of an image to 0..65535, or leave them as they are there.

    Parameters
    ----------
    values : ndarray, shape (H, W, bands)
        Whole or real numbers.
    stretch : str
        none and auto: uint8 and uint16 stay, each value what it is. auto: others as with range.
        range, percentile: as `to_8_bits`, up to 65535 in place of 255.
    low, high : float
        As there.
    invalid : ndarray, bool, shape (H, W), optional
        Pixels that have no part in the percentiles, and become 0.

    Returns
    -------
    image : ndarray, uint16, shape (H, W, bands)

    Raises
    ------
    InputError
        With the reason alone, if values that are neither uint8 nor uint16 have no range.
    ValueError
        As `to_8_bits`.
    """
    check_stretch(stretch, low, high)
    if values.dtype in (np.uint8, np.uint16) and stretch in ("none", "auto"):
        image = values.astype(np.uint16)
    elif stretch == "none" or not low < high:
        raise InputError(
            f"values of type {values.dtype}, of which 16 bits cannot be kept as they are; set "
            "images.stretch to range"
        )
    else:
        image = np.empty(values.shape, np.uint16)
        for band in range(values.shape[2]):
            plane, limits = values[..., band], (low, high)
            if stretch == "percentile":
                limits = _percentiles(plane, low, high, invalid)
            _spread(plane, *limits, image[..., band])
    if invalid is not None:
        image[invalid] = 0
    return image


def check_stretch(stretch: str, low: float, high: float) -> None:
    """Raise ValueError if these are not what `to_8_bits` takes."""
    if stretch not in STRETCHES:
        raise ValueError(f"stretch is one of {', '.join(STRETCHES)}, not {stretch!r}")
    if stretch in ("range", "percentile") and not (low < high and np.isfinite([low, high]).all()):
        raise ValueError(f"low must be below high, and both finite, got {low} and {high}")
    if stretch == "percentile" and (low < 0 or high > 100):
        raise ValueError(f"percentiles lie between 0 and 100, got {low} and {high}")


def _upper_bits(values: np.ndarray, bits: int | None) -> np.ndarray:
    if values.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"values of type {values.dtype} do not say which of them is black or white; "
            "set images.stretch to range or percentile"
        )
    bits = 8 * values.itemsize if bits is None else bits
    if bits < 8:
        return (values * np.float64(255 / (2**bits - 1))).clip(0, 255).astype(np.uint8)
    return values if bits == 8 and values.dtype == np.uint8 else _shifted(values, bits - 8)


def _shifted(values: np.ndarray, by: int) -> np.ndarray:
    return np.minimum(values >> by, 255).astype(np.uint8)


def _percentiles(
    plane: np.ndarray, low: float, high: float, invalid: np.ndarray | None
) -> tuple[float, float]:
    """Return values of the band, never between two of them: so it cannot overflow."""
    valid = plane if invalid is None else plane[~invalid]
    if not valid.size:
        return 0.0, 0.0
    first, last = np.percentile(valid, [low, high], method="inverted_cdf")
    return float(first), float(last)


def _spread(plane: np.ndarray, low: float, high: float, image: np.ndarray) -> None:
    """Write the band into the image, row by row or many at once."""
    step, full = max(1, BLOCK // plane.shape[1]), float(np.iinfo(image.dtype).max)
    for top in range(0, len(plane), step):
        rows = plane[top : top + step].astype(np.float64)
        rows[np.isnan(rows)] = low
        if high / 2 - low / 2 > 0:  # halves: the difference itself may be too large for a float
            rows = (rows.clip(low, high) / 2 - low / 2) / (high / 2 - low / 2) * full
        else:
            rows = np.where(rows > high, full, 0.0)
        image[top : top + step] = np.rint(rows)
