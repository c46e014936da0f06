"""Where in its whole image a pixel lies, as bytes that are cut, padded, turned along with it."""

from collections.abc import Sequence

import numpy as np
import torch

POSITION_CHANNELS = ("coordinates", "row_gradient")  # of model.extra_channels
BYTES = 4  # low and high of the row, low and high of the column
LAST = 65534  # an even number, so that the middle is a number too


def needs_positions(extra_channels: Sequence[str]) -> bool:
    """Tell whether a network is fed with positions."""
    return any(name in POSITION_CHANNELS for name in extra_channels)


def position_bytes(height: int, width: int) -> np.ndarray:
    """Return the positions in an image, from the first to the last row and column.

    Returns
    -------
    positions : ndarray of uint8, shape (height, width, 4)
        Not to be interpolated. The middle where there is only one row or column.
    """
    rows, columns = (
        np.rint(np.linspace(0, LAST, side) if side > 1 else np.array([LAST / 2])).astype(np.uint16)
        for side in (height, width)
    )
    where = np.empty((height, width, BYTES), np.uint8)
    where[..., 0], where[..., 1] = (rows & 255)[:, None], (rows >> 8)[:, None]
    where[..., 2], where[..., 3] = (columns & 255)[None], (columns >> 8)[None]
    return where


def positions_of(where: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (B, 4, H, W) into float32 (B, 2, H, W): row and column, from -1 to 1."""
    parts = where.float()
    return (parts[:, 0::2] + 256 * parts[:, 1::2]) / (LAST / 2) - 1
