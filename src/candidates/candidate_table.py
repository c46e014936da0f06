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
) -> dict[str, np.ndarray]:
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
    columns : dict of ndarray, shape (N,)
        Those of TYPES, a row for each candidate; `parent` counts from the first.
    """
    height, width = maps["mask"].shape
    spreads = {kind: maps[kind] for kind in SPREADS if kind in maps}
    heads = {kind: one for kind, one in maps.items() if kind not in spreads}
    columns = image_candidates(heads, empty_probability, spreads, params)
    count = len(columns["area"])
    about = {"name": np.full(count, name, object)}
    about |= {"height": np.full(count, height), "width": np.full(count, width)}
    return about | columns


def joined_tables(tables: Iterable[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Join the candidates of images; `parent` then counts from the first row of all.

    Without a row the table has all columns in their types. One table is made at the end, since one
    for each image takes longer than finding the candidates; column by column, since a crowded image
    has a million.
    """
    found = [dict(table) for table in tables if len(table["area"])]
    if not found:
        return pd.DataFrame(columns=list(TYPES)).astype(TYPES)
    counts = [len(table["area"]) for table in found]
    before = np.repeat(np.cumsum(counts) - counts, counts)
    columns: dict[str, pd.Series] = {}
    for column, kind in TYPES.items():
        values = np.concatenate([table.pop(column) for table in found])
        if column == "parent":
            values = values + before * (values >= 0)
        columns[column] = pd.Series(values, dtype=kind, copy=False)
    return pd.DataFrame(columns, copy=False)
