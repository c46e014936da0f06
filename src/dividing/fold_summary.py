"""What the folds of a division hold, to see how alike they are."""

import pandas as pd

COLUMNS = (
    "fold",
    "images",
    "groups",
    "duplicated",
    "empty",
    "coverage",
    "objects",
    "object_area",
    "test_likeness",
)


def summarise_folds(folds: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Count and average the images of each fold.

    Parameters
    ----------
    folds : DataFrame
        Rows of folds.csv: name, fold, group, copies, test_likeness (NaN where unknown).
    images : DataFrame
        The same images, by name as index: height and width in px, objects, coverage in [0, 1].

    Returns
    -------
    summary : DataFrame
        COLUMNS, a row per fold by number. images; groups; duplicated: images with a near-duplicate
        in train; empty: images without object; means over the images of coverage, objects and
        test_likeness; object_area: mean area of an object in px, NaN where there is none.
    """
    table = folds.join(images, on="name")
    rows = []
    for fold, found in table.groupby("fold", sort=True):
        objects = found["objects"].sum()
        area = (found["coverage"] * found["height"] * found["width"]).sum()
        counts = (len(found), found["group"].nunique(), (found["copies"] > 1).sum())
        means = (found["coverage"].mean(), found["objects"].mean())
        object_area = area / objects if objects else float("nan")
        empty = (found["objects"] == 0).sum()
        rows.append((fold, *counts, empty, *means, object_area, found["test_likeness"].mean()))
    return pd.DataFrame(rows, columns=list(COLUMNS))
