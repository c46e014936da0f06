"""The table of candidates that postprocess writes, as rescore uses it."""

import numpy as np
import pandas as pd

from src.formats.prepared import Rle

BOX = ["bbox_x", "bbox_y", "bbox_width", "bbox_height"]
COLUMNS = ["name", "height", "width", "counts", "area", *BOX, "parent", "part", "mean_probability"]


def feature_names(table: pd.DataFrame) -> list[str]:
    """Return the columns that a second level learns from: the area and all of floats."""
    return ["area", *table.select_dtypes("float64").columns]


def candidate_rles(table: pd.DataFrame) -> list[Rle]:
    """Return the masks of all rows; those of one size share it, since there may be a million."""
    sizes: dict[tuple[int, int], list[int]] = {}
    columns = (table[name].to_numpy().tolist() for name in ("height", "width", "counts"))
    return [
        {"size": sizes.setdefault((height, width), [height, width]), "counts": counts}
        for height, width, counts in zip(*columns, strict=True)
    ]


def rows_of_images(table: pd.DataFrame, wanted: np.ndarray) -> pd.DataFrame:
    """Return the candidates of some images as a table of their own.

    Parameters
    ----------
    table : DataFrame
        Its parents are row numbers, -1 for none.
    wanted : ndarray of bool, shape (rows,)
        The same for all candidates of an image, and so for a candidate and its parent.

    Returns
    -------
    rows : DataFrame
        In their order, numbered from 0, and the parents with them.
    """
    if wanted.all():  # no copy
        return table.reset_index(drop=True)
    number = np.append(np.cumsum(wanted) - 1, -1)  # the last is what parent -1 reads
    rows = table[wanted].reset_index(drop=True)
    return rows.assign(parent=number[rows["parent"].to_numpy(np.int64)])
