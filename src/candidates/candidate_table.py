"""The table of candidates: those of one image, and of several, one after the other."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from src.candidates.candidates import COLUMNS, image_candidates
from src.objects.params import PostprocessParams

TYPES = {"name": str, "height": int, "width": int} | COLUMNS
MEASURED = ("area", *(column for column, kind in COLUMNS.items() if kind is float))  # features
SPREADS = ("view_spread", "member_spread")


def candidate_table(
    name: str,
    maps: Mapping[str, np.ndarray],
    empty_probability: float,
    params: PostprocessParams,
) -> pd.DataFrame:
    """Return the candidates of one image.

    Parameters
    ----------
    name : str
        Of the image.
    maps : mapping of str to ndarray of uint8, shape (H, W), "embedding" (H, W, 3)
        By kind: those that `params` asks for, and the spreads that there are.
    empty_probability, params
        As for `src.candidates.candidates.image_candidates`.

    Returns
    -------
    table : DataFrame
        A row for each, with the columns TYPES; `parent` counts from its first.
    """
    height, width = maps["mask"].shape
    spreads = {kind: maps[kind] for kind in SPREADS if kind in maps}
    heads = {kind: one for kind, one in maps.items() if kind not in spreads}
    columns = image_candidates(heads, empty_probability, spreads, params)
    return pd.DataFrame({"name": name, "height": height, "width": width} | columns)


def joined_tables(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of images; `parent` then counts from the first row of all.

    Without a row the table has all columns in their types.
    """
    joined, rows = [pd.DataFrame(columns=list(TYPES))], 0
    for table in tables:
        if len(table):
            joined.append(table.assign(parent=table["parent"] + rows * (table["parent"] >= 0)))
            rows += len(table)
    return pd.concat(joined[1:] or joined, ignore_index=True).astype(TYPES)
