"""Parts of the out-of-fold images: what is learnt or chosen for one is learnt from the others.

A part is a trained fold. Where a single fold is trained its images are dealt into parts, which is
as honest: its network has seen none of them.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from src.folds.fold_table import first_trained_fold

ALL = "all"  # what is learnt from all out-of-fold images, for val and test
OF_ONE_FOLD = 5  # parts of a fold that is trained alone, if it has as many groups


def image_parts(table: pd.DataFrame, folds: Collection[int]) -> pd.DataFrame:
    """Return the part and the group of every out-of-fold image.

    Parameters
    ----------
    table : DataFrame
        From `src.folds.fold_table.read_folds`.
    folds : collection of int
        The folds that are trained.

    Returns
    -------
    parts : DataFrame
        Text columns part and group by name, sorted by it; images in no trained fold are left out.
        The part is the fold, "0", of an image with several that of the first repeat with a trained
        one. Where all images are of one fold its groups are dealt into up to OF_ONE_FOLD parts with
        as many images, "0.0" to "0.4"; if it has a single group, it is the one part.
    """
    fold_of = first_trained_fold(table, folds)
    group_of = table.drop_duplicates("name").set_index("name")["group"]
    groups, labels = group_of[fold_of.index], fold_of.astype(str)
    if fold_of.nunique() == 1 and groups.nunique() > 1:
        dealt = deal_groups(groups.to_numpy(str), np.ones(len(groups)), OF_ONE_FOLD)
        labels = labels + "." + pd.Series(dealt, labels.index).astype(str)
    return pd.DataFrame({"part": labels, "group": groups}, fold_of.index)


def learning_images(parts: pd.Series) -> dict[str, pd.Series]:
    """Tell which images each choice may look at.

    Parameters
    ----------
    parts : Series of str
        The part of each image.

    Returns
    -------
    images : dict of str to Series of bool
        Of ALL all images, of each part, in order, those of the others: none if it is the only one.
    """
    others = {part: parts != part for part in sorted(parts.unique())}
    return {ALL: parts == parts} | others


def deal_groups(groups: np.ndarray, sizes: np.ndarray, most: int) -> np.ndarray:
    """Deal whole groups into parts of like size, always in the same way.

    Parameters
    ----------
    groups : ndarray of str, shape (N,)
    sizes : ndarray of float, shape (N,)
        What each row counts, at least 0.
    most : int
        Number of parts, at least 1; fewer if there are fewer groups.

    Returns
    -------
    parts : ndarray of int64, shape (N,)
        From 0. The largest groups come first, equal ones by name, each into the part that has least
        so far: no part stays without a group that counts as long as there are enough of these.
    """
    names, of_row = np.unique(groups, return_inverse=True)
    counts = np.bincount(of_row, weights=sizes, minlength=len(names))
    of_group = np.zeros(len(names), np.int64)
    load = np.zeros(min(most, max(len(names), 1)))
    for group in np.argsort(-counts, kind="stable"):
        of_group[group] = np.argmin(load)
        load[of_group[group]] += counts[group]
    return of_group[of_row]
