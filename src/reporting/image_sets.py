"""What each split of a data set holds, as a table."""

from typing import NamedTuple

import pandas as pd

from src.formats.prepared import SPLITS
from src.reporting.scores import UNDEFINED, as_text


class SetRow(NamedTuple):
    """What one split holds, as text."""

    split: str
    images: str
    objects: str
    empty: str  # images without an object
    coverage: str  # mean share of object pixels
    sizes: str  # height x width in px, as ranges


def set_rows(images: pd.DataFrame) -> list[SetRow]:
    """Sum up what each split of a set of images holds.

    Parameters
    ----------
    images : DataFrame
        split, height, width, and objects and coverage (NaN where nothing is annotated), as
        `src.formats.prepared.read_images` gives them.

    Returns
    -------
    rows : list of SetRow
        train, val, test; a split without images has no row.
    """
    rows = []
    for split in SPLITS:
        members = images[images["split"] == split]
        if members.empty:
            continue
        counts, shares = members["objects"].dropna(), members["coverage"].dropna()
        rows.append(
            SetRow(
                split=split,
                images=as_text(len(members)),
                objects=as_text(int(counts.sum()) if len(counts) else None),
                empty=as_text(int((counts == 0).sum()) if len(counts) else None),
                coverage=f"{sum(shares) / len(shares):.1%}" if len(shares) else UNDEFINED,
                sizes=" x ".join(_range(members[side]) for side in ("height", "width")),
            )
        )
    return rows


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return str(low) if low == high else f"{low}-{high}"
