"""The pixels of one annotated object, whatever the format it comes from."""

from typing import NamedTuple

import numpy as np

from src.label_maps.labels import IGNORE

MAX_OBJECTS = IGNORE - 1  # an image can hold so many, labels being uint16


class Region(NamedTuple):
    """The pixels of one object as runs in column-major order (all of column 0, then column 1)."""

    runs: np.ndarray  # (R, 2) int64: first pixel of each run and the one after its last
    area: int  # px; 0 for a region without pixels
    bbox: tuple[int, int, int, int]  # XYWH in px; zeros without pixels
