"""Tell how much val and test differ from train, and which train images look like them.

    python -m stages.validate_split data/prepared data/groups data/split reports/split.json

A classifier learns to tell train from val, and train from test, by cheap statistics of the images
(and features of a pretrained encoder). It is cross-validated over whole groups. The better it
tells them apart (AUC: 0.5 is chance, 1 is without error), the less scores on train say.

Images of a split that has no groups of its own, where train has, are grouped by their looks: those
of one place would be known again by each other.

Reads  prepared/<split>/images.csv, images.zip
       groups/groups.csv    name,own_group,group,...  groups of several splits stay together too
Writes split/likeness.csv   name,test_likeness,val_likeness  one row per train image: probability
                            in (0, 1) of being of that split, as if it had as many images as train;
                            empty where there is no such split, or too few groups of it
       split/features.csv   against (val or test),feature,gain: its share in what the classifier
                            splits by, the largest first
       split.json           <split>.auc, .auc_low, .auc_high (95 %, over groups; null where there
                            is none) and .verdict of val and test; .images, .groups of all three
                            splits, as many as were drawn to learn from and to judge by
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder, write_text
from src.base.params import load_params
from src.base.running import run_stage
from src.formats.archive import ImageArchive
from src.formats.prepared import (
    SPLITS,
    archive_of,
    open_photos,
    read_images,
    read_picture,
)
from src.formats.stored_bands import decode_picture
from src.formats.tables import read_table, write_table
from src.likeness.image_statistics import FEATURES, image_statistics
from src.likeness.params import ValidateSplitParams
from src.likeness.split_classifier import SplitDifference, look_alikes, tell_apart
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order

BYTES = 12  # of memory that a pixel takes at most
IMAGE_COLUMNS = ["name", "split", "height", "width"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("groups", type=Path)
    parser.add_argument("split", type=Path, help="folder to write")
    parser.add_argument("report", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "validate_split", ValidateSplitParams)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    table = _read_images(args.prepared, args.groups / "groups.csv")
    table["used"] = _drawn(table["split"], params.max_images, params.seed)
    table = table[table["used"] | (table["split"] == "train")].reset_index(drop=True)
    photos = open_photos(args.prepared, *SPLITS)
    memory = BYTES * largest(zip(table["height"], table["width"], strict=True))
    fixed = {"scheduler": scheduler, "memory": memory}
    features, names = _features(table["name"].tolist(), photos, params, **fixed)
    table["group"] = _groups(table, features, params.k)
    train = table["split"] == "train"
    likeness = pd.DataFrame({"name": table.loc[train, "name"]})
    report, gains = _counts(table[table["used"]]), []
    for against in ("test", "val"):
        rows = (train | (table["split"] == against)).to_numpy()
        found = _compare(features[rows], table[rows], against, params)
        likeness[f"{against}_likeness"] = found.likeness[train[rows]] if found else np.nan
        for key, value in (("auc", "auc"), ("auc_low", "low"), ("auc_high", "high")):
            report[f"{against}.{key}"] = _rounded(getattr(found, value, None))
        report[f"{against}.verdict"] = _verdict(against, found, report, names, params.warn_above)
        print(report[f"{against}.verdict"])
        share = found.gains if found else np.zeros(0)
        rounded = np.round(share, 6)
        for place in np.argsort(-share, kind="stable").tolist():
            gains.append((against, names[place], rounded[place]))
    with new_folder(args.split) as folder:
        write_table(folder / "likeness.csv", likeness)
        gains = pd.DataFrame(gains, columns=["against", "feature", "gain"])
        write_table(folder / "features.csv", gains)
    write_text(args.report, json.dumps(report, indent=2) + "\n")


def _read_images(prepared: Path, groups: Path) -> pd.DataFrame:
    """Return IMAGE_COLUMNS, own_group and group of all images, sorted by name."""
    columns = ["name", "own_group", "group"]
    known = read_table(groups, "find_duplicates", columns)[columns]
    table = read_images(prepared, *SPLITS)[IMAGE_COLUMNS].merge(known, how="left", on="name")
    if table["group"].isna().any():
        name = table.loc[table["group"].isna(), "name"].iloc[0]
        raise InputError(f"{groups}: no row for '{name}'; run find_duplicates again")
    if not (table["split"] == "train").any():
        raise InputError(f"{prepared}: no image of split train; there is nothing to compare with")
    return table


def _groups(table: pd.DataFrame, features: np.ndarray, k: int) -> pd.Series:
    """Return the group of each image: of splits without any, of look-alikes, as large as train's.

    Near-duplicates keep their group.
    """
    train = table[table["used"] & (table["split"] == "train")]
    size = len(train) / train["group"].nunique()
    groups, alone = table["group"].copy(), ~table["group"].duplicated(keep=False)
    for split in ("val", "test"):
        rows = table["split"] == split
        if size > 1 and (table.loc[rows, "own_group"] == table.loc[rows, "name"]).all():
            rows &= alone
            alike = look_alikes(features[rows], max(round(rows.sum() / size), k))
            groups[rows] = [f"{split} images like {number}" for number in alike]
    return groups


def _drawn(splits: pd.Series, count: int, seed: int) -> np.ndarray:
    """Tell which images are drawn: all of a split, or so many."""
    drawn = np.zeros(len(splits), bool)
    for number, split in enumerate(SPLITS):
        places = np.flatnonzero(splits == split)
        drawn[np.random.default_rng([seed, number]).permutation(places)[:count]] = True
    return drawn


def _features(
    names: list[str], photos: dict[str, ImageArchive], params: ValidateSplitParams, **fixed: Any
) -> tuple[np.ndarray, list[str]]:
    """Describe images: rows of numbers, and what the columns are called."""
    calls = ((archive_of(photos, name).read_bytes(name), name) for name in names)
    rows = in_order(_statistics, calls, **fixed)
    features = np.stack(list(tqdm(rows, "statistics", total=len(names), unit="image")))
    if params.encoder == "none":
        return features, list(FEATURES)
    from src.likeness.encoder_features import encoder_features  # imports torch, which takes seconds

    images = (read_picture(photos, name) for name in names)
    images = tqdm(images, "encoder", total=len(names), unit="image")
    learnt = encoder_features(images, encoder=params.encoder, weights=params.encoder_weights)
    channels = [f"encoder_{channel}" for channel in range(learnt.shape[1])]
    return np.hstack([features, learnt]), [*FEATURES, *channels]


def _statistics(encoded: bytes, name: str) -> np.ndarray:
    return image_statistics(decode_picture(encoded, name))


def _compare(
    features: np.ndarray, table: pd.DataFrame, against: str, params: ValidateSplitParams
) -> SplitDifference | None:
    other = (table["split"] == against).to_numpy()
    groups, used = table["group"].to_numpy(str), table["used"].to_numpy()
    numbers = {"trees": params.trees, "resamples": params.resamples, "seed": params.seed}
    return tell_apart(features, other, groups, used, k=params.k, **numbers)


def _counts(table: pd.DataFrame) -> dict:
    counts = {}
    for split in SPLITS:
        rows = table[table["split"] == split]
        counts |= {f"{split}.images": len(rows), f"{split}.groups": rows["group"].nunique()}
    return counts


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


def _verdict(
    against: str, found: SplitDifference | None, report: dict, names: list[str], warn_above: float
) -> str:
    """Say in a sentence what was found."""
    if found is None and not report[f"{against}.images"]:
        return f"there is no {against} to compare train with"
    if found is None:
        groups = " and ".join(f"{report[f'{s}.groups']} of {s}" for s in ("train", against))
        return f"train and {against} cannot be compared: {groups} are too few groups"
    between = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    auc = f"AUC {found.auc:.2f}{between}"
    most = [names[place] for place in np.argsort(-found.gains, kind="stable")[:3].tolist()]
    by = f"{auc}, mostly by {', '.join(most)}"
    if found.auc >= warn_above:
        return f"train and {against} differ: {by}; out-of-fold scores may not hold on {against}"
    if found.low is not None and found.low > 0.5:
        return f"train and {against} differ little: {by}"
    return f"no difference between train and {against} was found: {auc}"


if __name__ == "__main__":
    run_stage(main)
