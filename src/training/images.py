"""Which images a network learns from, which it is looked at on, and what each weighs."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.folds.image_numbers import image_numbers
from src.formats.archive import ImageArchive
from src.formats.labels import IGNORE
from src.formats.tables import read_table
from src.networks.params import ModelParams
from src.training.holdout import hold_out_groups
from src.training.params import TrainParams


def training_images(table: pd.DataFrame, train: TrainParams) -> pd.DataFrame:
    """Tell what each image of the training set is used for.

    Parameters
    ----------
    table : DataFrame
        As `src.folds.fold_images.fold_images` returns it.
    train : TrainParams
        `holdout`: fraction of the images outside the left-out fold to choose an epoch by; `seed`:
        which groups they are. `dedupe`: "drop" learns of near-duplicates only from the first; the
        others change nothing here.

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
    held = hold_out_groups(rest, fraction=train.holdout, seed=train.seed)
    if held.all():
        raise InputError(f"params.yaml: train.holdout {train.holdout} leaves nothing to learn from")
    use = np.full(len(table), "fold", object)
    use[~left_out] = np.where(held, "holdout", "learn")
    if train.dedupe == "drop":
        use[(use == "learn") & (table["copy"] > 0).to_numpy()] = "drop"
    return table.assign(use=use)


def image_weights(
    table: pd.DataFrame, *, column: str, dedupe: str, pseudo_weight: float
) -> np.ndarray:
    """Return what the pixels of each image weigh in the loss.

    Parameters
    ----------
    table : DataFrame
        As `training_images` returns it, those of `pseudo_images` added.
    column : str
        Of the weights of labelled images: "test_likeness" or one of the metadata; "none" weighs all
        of them 1.
    dedupe : {"keep", "drop", "weight"}
        "weight" divides the weight of an image learnt from by the number of its near-duplicates,
        itself among them.
    pseudo_weight : float
        Of an image with pseudo labels.

    Returns
    -------
    weights : ndarray of float64, shape (rows,)

    Raises
    ------
    InputError
        If a labelled image has no number in the column.
    """
    weights, is_labelled = np.full(len(table), float(pseudo_weight)), table["in_train"].to_numpy()
    labelled = table[is_labelled]
    if column == "test_likeness" and labelled[column].isna().all():
        raise InputError(
            "params.yaml: loss.image_weight test_likeness: folds.csv has none; set "
            "split_folds.likeness to true, or loss.image_weight to none if there is no test set to "
            "be like"
        )
    weights[is_labelled] = 1
    if column != "none":
        weights[is_labelled] = image_numbers(labelled, column, "loss.image_weight")
    if dedupe == "weight":
        weights[is_labelled] /= np.where(labelled["use"] == "learn", labelled["copies"], 1)
    return weights


def depth_range(table: pd.DataFrame, model: ModelParams) -> list[float] | None:
    """Return the range of depths learnt from, that depths are relative to; None without depths.

    Parameters
    ----------
    table : DataFrame
        With the column `use` of `training_images`.
    model : ModelParams
        `extra_channels`, and the `depth_column` that "depth" among them is read from.

    Raises
    ------
    InputError
        If an image has no number in the column.
    """
    if "depth" not in model.extra_channels:
        return None
    depths = image_numbers(table, model.depth_column, "model.depth_column")
    learnt = depths[table["use"] == "learn"]
    return [float(learnt.min()), float(learnt.max())]


def pseudo_images(table: pd.DataFrame, path: Path, instances: ImageArchive) -> pd.DataFrame:
    """Return the rows of the images taken to be learnt from with pseudo labels.

    Parameters
    ----------
    table : DataFrame
        As `src.folds.fold_images.fold_images` returns it.
    path : Path
        images.csv of pseudo_label.
    instances : ImageArchive
        uint16 (H, W), what pseudo_label says of these images.

    Returns
    -------
    rows : DataFrame
        Those of `table`, by name; at least one. `use` is "learn"; `objects` and `coverage` are
        counted in the instances.

    Raises
    ------
    InputError
        If the file is absent or not as pseudo_label writes it, no image is taken, or one that is
        not there or is in a fold.
    """
    rows = read_table(path, "pseudo_label", {"name": str, "taken": bool})
    taken = set(rows["name"][rows["taken"]])
    if not taken:
        raise InputError(
            f"{path}: no image is taken; lower pseudo_label.min_certain, raise its max_spread, or "
            "empty student.folds"
        )
    found = table[table["name"].isin(taken) & ~table["in_train"]]
    wrong = sorted(taken - set(found["name"]))
    if wrong:
        raise InputError(
            f"{path}: takes {wrong[0]}, which is not in images.csv or is a training image; run "
            "pseudo_label again"
        )
    return with_counts(found, instances).assign(use="learn")


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
