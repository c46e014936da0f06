"""Which images a network learns from, which it is looked at on, and what each weighs."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.folds.image_numbers import image_numbers
from src.formats.archive import ImageArchive
from src.formats.labels import IGNORE
from src.training.holdout import hold_out_groups


def training_images(table: pd.DataFrame, *, holdout: float, seed: int, dedupe: str) -> pd.DataFrame:
    """Tell what each image of the training set is used for.

    Parameters
    ----------
    table : DataFrame
        As `src.folds.fold_images.fold_images` returns it.
    holdout : float
        Fraction of the images outside the left-out fold to choose an epoch by, in [0, 1).
    seed : int
        Which groups they are.
    dedupe : {"keep", "drop", "weight"}
        "drop" learns of near-duplicates only from the first; the others change nothing here.

    Returns
    -------
    table : DataFrame
        The rows that are in a fold, with a column `use`: "fold" for images left out, else
        "holdout", "learn", or "drop" for near-duplicates not learnt from. As near-duplicates share
        a group, all but the first are dropped, or none.

    Raises
    ------
    InputError
        If the hold-out leaves nothing to learn from.
    """
    table = table[table["in_train"]]
    left_out = table["left_out"].to_numpy()
    rest = table["group"][~left_out].tolist()
    held = hold_out_groups(rest, fraction=holdout, seed=seed)
    if held.all():
        raise InputError(f"params.yaml: train.holdout {holdout} leaves nothing to learn from")
    use = np.full(len(table), "fold", object)
    use[~left_out] = np.where(held, "holdout", "learn")
    if dedupe == "drop":
        use[(use == "learn") & (table["copy"] > 0).to_numpy()] = "drop"
    return table.assign(use=use)


def image_weights(table: pd.DataFrame, *, column: str, dedupe: str) -> np.ndarray:
    """Return what the pixels of each image weigh in the loss.

    Parameters
    ----------
    table : DataFrame
        As `training_images` returns it.
    column : str
        Of weights: "test_likeness" or one of the metadata; "none" weighs all images 1.
    dedupe : {"keep", "drop", "weight"}
        "weight" divides the weight of an image learnt from by the number of its near-duplicates,
        itself among them.

    Returns
    -------
    weights : ndarray of float64, shape (rows,)

    Raises
    ------
    InputError
        If an image has no number in the column.
    """
    weights = np.ones(len(table))
    if column == "test_likeness" and table[column].isna().all():
        raise InputError(
            "params.yaml: loss.image_weight test_likeness: folds.csv has none, as there is no test "
            "set to be like; set it to none"
        )
    if column != "none":
        weights = image_numbers(table, column, "loss.image_weight")
    if dedupe == "weight":
        weights = weights / np.where(table["use"] == "learn", table["copies"], 1)
    return weights


def pseudo_images(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows of the images taken to be learnt from with pseudo labels.

    Parameters
    ----------
    table : DataFrame
        As `src.folds.fold_images.fold_images` returns it.
    path : Path
        images.csv of pseudo_label.

    Returns
    -------
    rows : DataFrame
        Those of `table`, by name; at least one.

    Raises
    ------
    InputError
        If the file is absent, no image is taken, or one that is not there or is in a fold.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the pseudo_label stage")
    rows = pd.read_csv(path)
    taken = set(rows["name"][rows["taken"].astype(bool)])
    if not taken:
        raise InputError(
            f"{path}: no image is taken; lower pseudo_label.min_certain, raise its max_spread, or "
            "empty student.folds"
        )
    found = table[table["name"].isin(taken) & ~table["in_train"]]
    wrong = sorted(taken - set(found["name"]))
    if wrong:
        raise InputError(
            f"{path}: takes {wrong[0]}, which is not in images.csv or is a training image; run the "
            "pseudo_label stage again"
        )
    return found


def with_counts(table: pd.DataFrame, instances: ImageArchive) -> pd.DataFrame:
    """Fill the columns `objects` and `coverage` as prepare_masks does, from other labels.

    Parameters
    ----------
    table : DataFrame
        With a column `name`; both columns are replaced.
    instances : ImageArchive
        uint16 (H, W): 0 background, 1..N objects, 65535 ignored.

    Returns
    -------
    table : DataFrame
    """
    maps = (instances.read(name) for name in table["name"])
    counts = [_objects_and_coverage(np.where(one == IGNORE, 0, one)) for one in maps]
    objects, coverage = zip(*counts, strict=True)
    return table.assign(objects=objects, coverage=coverage)


def _objects_and_coverage(objects: np.ndarray) -> tuple[int, float]:
    return int(objects.max()), float(np.mean(objects > 0))
