"""Which unlabelled images a student learns from: of those it may, the surest."""

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.pseudo_labelling.params import PseudoLabelParams

SUREST_FIRST = {"certain": False, "spread": True, "name": True}  # column, whether it ascends


def unlabelled_images(images: pd.DataFrame, group_of: pd.Series) -> pd.DataFrame:
    """List the images of test and tell which of them a student may learn from.

    Parameters
    ----------
    images : DataFrame
        Columns name, split, height, width, and left_out (bool): that the student leaves it out.
    group_of : Series of str
        The group of every image, by name.

    Returns
    -------
    table : DataFrame
        Columns name, height, width, and allowed (bool): that its group has no image of val and none
        that is left out. Sorted by name, with a new index.

    Raises
    ------
    InputError
        If there is no image of test, or an image has no group.
    """
    missing = sorted(set(images["name"]) - set(group_of.index))
    if missing:
        raise InputError(f"groups.csv: lacks '{missing[0]}' of images.csv; run find_duplicates")
    if not (images["split"] == "test").any():
        raise InputError(
            "images.csv: has no images of test to label; add test_images/ to the data set or empty "
            "student.folds"
        )
    groups = images["name"].map(group_of)
    kept_apart = groups[(images["split"] == "val") | images["left_out"]]
    table = images.assign(allowed=~groups.isin(set(kept_apart)))[images["split"] == "test"]
    return table[["name", "height", "width", "allowed"]].sort_values("name", ignore_index=True)


def choose_images(
    table: pd.DataFrame, params: PseudoLabelParams, *, training_images: int
) -> np.ndarray:
    """Choose the images to learn from, the surest if there are too many.

    An image has more certain pixels than another, or as many and less spread, or the earlier name
    if it is surer.

    Parameters
    ----------
    table : DataFrame
        Columns name, certain, spread and expected_iou as of `sureness`, and allowed (bool).
    params : PseudoLabelParams
        An image is only taken within `min_certain`, `max_spread` and `min_expected_iou`, and if it
        is allowed. At most `max_share` of `training_images` are taken, rounded down; 0 takes all.
    training_images : int
        Positive.

    Returns
    -------
    taken : ndarray of bool, shape (rows,)
    """
    sure = (table["certain"] >= params.min_certain) & (table["spread"] <= params.max_spread)
    sure &= (table["expected_iou"] >= params.min_expected_iou) & table["allowed"]
    order = table[sure].sort_values(list(SUREST_FIRST), ascending=list(SUREST_FIRST.values()))
    shares = np.arange(1, len(order) + 1) / training_images
    chosen = order.index[shares <= params.max_share] if params.max_share else order.index
    return table.index.isin(chosen)
