"""Find near-duplicates, turned and mirrored ones too, and make groups that no split may part.

    python -m stages.find_duplicates data/prepared data/groups reports/leakage.json

Reads  prepared/images.zip         uint8 RGB (H, W, 3) per name; unless distance is -1
       prepared/images.csv         columns name, split, height, width, group and others
       prepared/geotransforms.csv  where images lie on the map; if tile_overlap is not 0
Writes groups/groups.csv  name,split,own_group,group,cluster  one row per image, sorted by name
       groups/pairs.csv   name_a,name_b,view,distance,difference  pairs that join each cluster
       leakage.json       numbers of images, and of those that train shares with val and test

cluster numbers the clusters of near-duplicates; it is empty for an image without one. group joins
own_group (that of the data set), cluster and overlapping ground. view 0..7 turns a into b: odd ones
mirror left to right first, then come view // 2 quarter turns. Images that show nothing, such as
clear sky or missing data, are near-duplicates of none: they tell a network nothing.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder, write_text
from src.base.params import Params, load_params
from src.duplicates.ground import find_overlaps
from src.duplicates.groups import count_leaks, describe_leaks, join_groups, number_clusters
from src.duplicates.near_duplicates import Pairs, find_pairs
from src.duplicates.perceptual_hash import SIDE, hash_views, is_blank, shrink
from src.formats.archive import ImageArchive, decode_image
from src.formats.tables import read_table
from src.formats.workers import WorkersParams, in_order
from src.image_files.geotransforms import read_geotransforms

COLUMNS = ["name", "split", "height", "width", "group"]
GREY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION


class FindDuplicatesParams(Params):
    distance: int = Field(ge=-1, le=16)  # bits of 64; -1 is off
    difference: float = Field(ge=0)  # grey levels
    tile_overlap: float = Field(ge=0, lt=1)  # share of the smaller image's ground; 0 is off


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("groups", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "find_duplicates", FindDuplicatesParams)
    workers = load_params(args.params, "workers", WorkersParams)

    images = _read_images(args.prepared / "images.csv")
    names = images["name"].tolist()
    pairs, blank = Pairs(*np.empty((5, 0), np.int64)), None
    if params.distance >= 0:
        thumbnails = _read_thumbnails(args.prepared / "images.zip", names, workers.scheduler)
        blank = int(is_blank(thumbnails).sum())
        limits = {"distance": params.distance, "difference": params.difference}
        pairs = find_pairs(thumbnails, hash_views(thumbnails), **limits)
    duplicates = np.stack([pairs.first, pairs.second], axis=1)
    clusters = number_clusters(len(images), duplicates)
    joined = duplicates
    if params.tile_overlap > 0:
        sizes = images[["height", "width"]].to_numpy()
        places = read_geotransforms(args.prepared / "geotransforms.csv")
        joined = np.concatenate([joined, find_overlaps(names, sizes, places, params.tile_overlap)])
    table = images[["name", "split"]].assign(
        own_group=images["group"],
        group=join_groups(images["group"].tolist(), joined),
        cluster=[cluster if cluster >= 0 else "" for cluster in clusters.tolist()],
    )
    searched = clusters if params.distance >= 0 else None
    leaks = count_leaks(images["split"].to_numpy(), table["group"].to_numpy(), searched)
    with new_folder(args.groups) as folder:
        table.to_csv(folder / "groups.csv", index=False, lineterminator="\n")
        _name_pairs(names, pairs).to_csv(folder / "pairs.csv", index=False, lineterminator="\n")
    write_text(args.report, json.dumps(leaks | {"blank": blank}, indent=2) + "\n")
    print(f"{describe_leaks(leaks)} -> {args.groups}")


def shrink_image(encoded: bytes, origin: str) -> np.ndarray:
    """Return the thumbnail, uint8 (SIDE, SIDE), of an encoded image."""
    return shrink(decode_image(encoded, GREY, origin))


def _read_thumbnails(path: Path, names: list[str], scheduler: str) -> np.ndarray:
    archive = ImageArchive(path)
    images = ((archive.read_bytes(name), f"{path}: {name}") for name in names)
    thumbnails = in_order(shrink_image, images, scheduler=scheduler)
    thumbnails = tqdm(thumbnails, total=len(names), desc="hash", unit="image")
    return np.fromiter(thumbnails, (np.uint8, (SIDE, SIDE)), len(names))


def _read_images(path: Path) -> pd.DataFrame:
    """Read the columns of images.csv that matter here, sorted by name."""
    try:
        table = read_table(path, "prepare_masks")[COLUMNS]
        table = table.astype({"height": int, "width": int})
    except (KeyError, ValueError) as error:
        reason = str(error).strip()
        raise InputError(f"{path}: not a table of images ({reason}); run prepare_masks") from None
    if table.empty:
        raise InputError(f"{path}: holds no image; prepare a dataset that has some")
    return table.sort_values("name")


def _name_pairs(names: list[str], pairs: Pairs) -> pd.DataFrame:
    first, second = ([names[i] for i in column.tolist()] for column in pairs[:2])
    table = {"name_a": first, "name_b": second, "view": pairs.view, "distance": pairs.distance}
    return pd.DataFrame(table | {"difference": pairs.difference.round(3)})


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
