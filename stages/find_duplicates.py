"""Find near-duplicates, turned and mirrored ones too, and make groups that no split may part.

    python -m stages.find_duplicates data/prepared data/groups reports/leakage.json

Reads  prepared/<split>/images.zip         uint8 RGB (H, W, 3) per name; unless distance is -1
       prepared/<split>/images.csv         columns name, split, height, width, group and others
       prepared/<split>/geotransforms.csv  where images lie on the map; if tile_overlap is not 0
Writes groups/train.csv   name,split,own_group,group,cluster  one row per image of train, as if
                          there were no other: folds are made of these groups alone
       groups/groups.csv  the same of all splits, sorted by name
       groups/pairs.csv   name_a,name_b,view,distance,difference  pairs that join each cluster
       leakage.json       numbers of images, and of those that train shares with val and test;
                          warning: where one cluster holds most of train, or null

cluster numbers the clusters of near-duplicates; it is empty for an image without one. group joins
own_group (that of the data set), cluster and overlapping ground. view 0..7 turns a into b: odd ones
mirror left to right first, then come view // 2 quarter turns. Images that show nothing, such as
clear sky or missing data, are near-duplicates of none: they tell a network nothing. So are images
that share a background and differ in one place (find_duplicates.local_difference).
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder, write_text
from src.base.params import load_params
from src.base.running import run_stage
from src.duplicates.ground import find_overlaps
from src.duplicates.groups import (
    count_leaks,
    describe_leaks,
    join_groups,
    number_clusters,
    warn_of_cluster,
)
from src.duplicates.near_duplicates import Pairs, find_pairs
from src.duplicates.params import FindDuplicatesParams
from src.duplicates.perceptual_hash import FINE, SIDE, hash_views, is_blank, shrink_twice
from src.formats.archive import decode_image
from src.formats.prepared import SPLITS, archive_of, open_photos, read_images
from src.formats.stored_bands import decode_picture, is_bands
from src.formats.tables import write_table
from src.image_files.geotransforms import read_geotransforms
from src.parallel.workers import WorkersParams, in_order

THUMBNAILS = np.dtype(
    [("coarse", np.uint8, (SIDE, SIDE)), ("fine", np.uint8, (FINE, FINE))], align=True
)
GREY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION

BYTES = 8  # of memory that a pixel takes at most


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("groups", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "find_duplicates", FindDuplicatesParams)
    workers = load_params(args.params, "workers", WorkersParams)

    images = read_images(args.prepared, *SPLITS)
    if images.empty:
        raise InputError(f"{args.prepared}: holds no image; prepare a dataset that has some")
    names, train = images["name"].tolist(), (images["split"] == "train").to_numpy()
    thumbnails, blank = np.empty(0, THUMBNAILS), None
    if params.distance >= 0:
        memory = BYTES * int((images["height"] * images["width"]).max())
        thumbnails = _read_thumbnails(args.prepared, names, workers.scheduler, memory)
        blank = int(is_blank(thumbnails["coarse"]).sum())
    pairs, train_pairs = _find_pairs(thumbnails, train, params)
    places = _read_places(args.prepared) if params.tile_overlap > 0 else {}
    table = _group(images, pairs, places, params)
    train_table = _group(images[train], train_pairs, places, params)
    clusters = None
    if params.distance >= 0:
        clusters = table["cluster"].replace("", -1).to_numpy(np.int64)
    leaks = count_leaks(images["split"].to_numpy(), table["group"].to_numpy(), clusters)
    with new_folder(args.groups) as folder:
        write_table(folder / "groups.csv", table)
        write_table(folder / "train.csv", train_table)
        write_table(folder / "pairs.csv", _name_pairs(names, pairs))
    warning = warn_of_cluster(leaks)
    report = leaks | {"blank": blank, "warning": warning}
    write_text(args.report, json.dumps(report, indent=2) + "\n")
    print(f"{describe_leaks(leaks)} -> {args.groups}")
    if warning:
        print(warning)


def _find_pairs(
    thumbnails: np.ndarray, train: np.ndarray, params: FindDuplicatesParams
) -> tuple[Pairs, Pairs]:
    """Return the pairs that join the clusters of all images, and of train by numbers of its own.

    What is joined in train is joined among all, too.
    """
    if not len(thumbnails):
        nothing = Pairs(*np.empty((5, 0), np.int64))
        return nothing, nothing
    hashes = hash_views(thumbnails["coarse"])
    train_pairs = _search(thumbnails[train], hashes[train], params)
    if train.all():
        return train_pairs, train_pairs
    numbers = np.flatnonzero(train)
    first, second = numbers[train_pairs.first], numbers[train_pairs.second]
    pairs = _search(thumbnails, hashes, params)
    clusters = number_clusters(len(thumbnails), np.stack(pairs[:2], axis=1))
    missed = (clusters[first] != clusters[second]) | (clusters[first] < 0)
    among_all = train_pairs._replace(first=first, second=second)
    joined = (np.append(a, b[missed]) for a, b in zip(pairs, among_all, strict=True))
    return Pairs(*joined), train_pairs


def _search(thumbnails: np.ndarray, hashes: np.ndarray, params: FindDuplicatesParams) -> Pairs:
    return find_pairs(
        thumbnails["coarse"],
        hashes,
        distance=params.distance,
        difference=params.difference,
        local_difference=params.local_difference,
        finer=thumbnails["fine"],
    )


def _group(
    images: pd.DataFrame, pairs: Pairs, places: dict[str, tuple], params: FindDuplicatesParams
) -> pd.DataFrame:
    """Return the group and the cluster of each image; pairs hold numbers of its rows."""
    duplicates = np.stack(pairs[:2], axis=1)
    clusters, joined = number_clusters(len(images), duplicates), duplicates
    if params.tile_overlap > 0:
        names, sizes = images["name"].tolist(), images[["height", "width"]].to_numpy()
        joined = np.concatenate([joined, find_overlaps(names, sizes, places, params.tile_overlap)])
    return images[["name", "split"]].assign(
        own_group=images["group"],
        group=join_groups(images["group"].tolist(), joined),
        cluster=[cluster if cluster >= 0 else "" for cluster in clusters.tolist()],
    )


def _read_places(prepared: Path) -> dict[str, tuple]:
    """Return where the images of all splits lie on the map, by name."""
    places = {}
    for split in SPLITS:
        places |= read_geotransforms(prepared / f"geotransforms/{split}.csv")
    return places


def shrink_image(encoded: bytes, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the thumbnails, uint8 (SIDE, SIDE) and (FINE, FINE), of an encoded image."""
    if is_bands(encoded):
        grey = cv2.cvtColor(decode_picture(encoded, origin), cv2.COLOR_RGB2GRAY)
    else:
        grey = decode_image(encoded, GREY, origin)
    return shrink_twice(grey)


def _read_thumbnails(prepared: Path, names: list[str], scheduler: str, memory: int) -> np.ndarray:
    """Return the thumbnails of all images, of the type THUMBNAILS."""
    photos = open_photos(prepared, *SPLITS)
    archives = [archive_of(photos, name) for name in names]
    images = (
        (one.read_bytes(name), f"{one.path}: {name}")
        for one, name in zip(archives, names, strict=True)
    )
    thumbnails = in_order(shrink_image, images, scheduler=scheduler, memory=memory)
    thumbnails = tqdm(thumbnails, total=len(names), desc="hash", unit="image")
    return np.fromiter(thumbnails, THUMBNAILS, len(names))


def _name_pairs(names: list[str], pairs: Pairs) -> pd.DataFrame:
    first, second = ([names[i] for i in column.tolist()] for column in pairs[:2])
    table = {"name_a": first, "name_b": second, "view": pairs.view, "distance": pairs.distance}
    return pd.DataFrame(table | {"difference": pairs.difference.round(3)})


if __name__ == "__main__":
    run_stage(main)
