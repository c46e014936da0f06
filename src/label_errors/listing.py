"""What disagrees most, in one order: objects and detections, and the images they are in."""

import numpy as np
import pandas as pd

from src.label_errors.disagreement import Suspect

BOX = ("left", "top", "width", "height")
OBJECT_COLUMNS = ("image", "object_id", "kind", "disagreement", "detection", *BOX)
IMAGE_COLUMNS = ("image", "suspects", "largest", "sum")


def suspect_rows(found: dict[str, list[Suspect]], least: float) -> pd.DataFrame:
    """List what disagrees by at least `least`, the most first.

    Parameters
    ----------
    found : dict of str to list of Suspect
        By image.
    least : float
        In [0, 1].

    Returns
    -------
    rows : DataFrame
        OBJECT_COLUMNS; of equals by image, then as they were found.
    """
    rows = [
        (name, one.object_id, one.kind, one.disagreement, one.detection, *one.box)
        for name in sorted(found)
        for one in found[name]
        if one.disagreement >= least
    ]
    table = pd.DataFrame(rows, columns=pd.Index(OBJECT_COLUMNS))
    return table.sort_values("disagreement", ascending=False, kind="stable", ignore_index=True)


def image_rows(suspects: pd.DataFrame) -> pd.DataFrame:
    """List the images of suspects by their largest disagreement, of equals by the sum.

    Parameters
    ----------
    suspects : DataFrame
        From `suspect_rows`.

    Returns
    -------
    rows : DataFrame
        IMAGE_COLUMNS: how many suspects there are, the largest disagreement and the sum.
    """
    if not len(suspects):
        return pd.DataFrame(columns=pd.Index(IMAGE_COLUMNS))
    grouped = suspects.groupby("image", sort=True)["disagreement"]
    table = pd.DataFrame(
        {"suspects": grouped.size(), "largest": grouped.max(), "sum": grouped.sum()}
    ).reset_index()
    order = np.lexsort((table["image"], -table["sum"], -table["largest"]))
    return table.iloc[order].reset_index(drop=True)
