"""Turn probability maps into candidate objects and measure their features.

    python -m stages.postprocess data/folds.csv data/ensemble data/search data/candidates

Values that are `auto` are those found by search_postprocess: an out-of-fold image gets what was
chosen on the images of the other folds, one of val or test what was chosen on all. The fold of an
image with several is that of its first repeat with a trained one. Hulls of uncertain regions
(hull_*) change what is an object, not the probabilities it is given.

Reads  folds.csv                          name,fold,repeat and others
       ensemble/{oof,val,test}.zip        uint8 (H, W): probability * 255; maps.json and the further
                                          maps that the method asks for, and spreads
       search/chosen.json                 where a value is `auto`
Writes candidates/{oof,val,test}.parquet  one row per candidate: name, height, width, counts (RLE);
                                          area, bbox_{x,y,width,height} in pixels; parent (row of
                                          the candidate around it, one layer lower, or -1);
                                          float64 src.candidates.candidate_features.FEATURES
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.candidates.candidates import COLUMNS, image_candidates
from src.folds.fold_table import SplitFoldsParams, first_trained_fold, read_folds
from src.formats.archive import decode_image
from src.maps.map_folder import (
    SPLITS,
    SPREADS,
    MapFolder,
    open_maps,
    read_empty,
    read_map_folder,
)
from src.objects.chosen_values import read_chosen
from src.objects.map_objects import heads_used
from src.objects.params import PostprocessParams, searched_keys, with_chosen
from src.parallel.workers import WorkersParams, in_order

TYPES = {"name": str, "height": int, "width": int} | COLUMNS


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folds", type=Path)
    parser.add_argument("ensemble", type=Path)
    parser.add_argument("search", type=Path)
    parser.add_argument("candidates", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "postprocess", PostprocessParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds

    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    fold_of = first_trained_fold(read_folds(args.folds), folds).to_dict()
    maps = read_map_folder(args.ensemble, "ensemble")
    kinds = heads_used(maps.heads, params) + [SPREADS[spread] for spread in maps.spreads]
    of_parts = dict.fromkeys(["all", *map(str, fold_of.values())], params)
    if searched_keys(params):
        of_parts = _chosen_params(params, args.search / "chosen.json")
    with new_folder(args.candidates) as folder:
        for split in SPLITS:
            names = open_maps(maps, split, "mask").names
            parts = (_part(of_parts, fold_of, name, split) for name in names)
            inputs = _inputs(maps, split, kinds, names)
            arguments = ((*one, part) for one, part in zip(inputs, parts, strict=True))
            tables = in_order(_candidates, arguments, scheduler=scheduler)
            table = _joined(tqdm(tables, split, total=len(names), unit="image"))
            table.to_parquet(folder / f"{split}.parquet", index=False)
            print(f"{len(table)} candidates in {len(names)} {split} images")


def _chosen_params(params: PostprocessParams, path: Path) -> dict[str, PostprocessParams]:
    """Return the params with the chosen values, by "all" and fold."""
    chosen = read_chosen(path)
    parts = {"all": chosen.all} | chosen.folds
    return {part: with_chosen(params, values, str(path)) for part, values in parts.items()}


def _part(of_parts: dict, fold_of: dict, name: str, split: str) -> PostprocessParams:
    """Return the params of the fold of an out-of-fold image, else those of all."""
    part = str(fold_of.get(name)) if split == "oof" else "all"
    if part not in of_parts:
        raise InputError(
            f"{name}: no values for its fold ({part}); run split_folds, ensemble and "
            "search_postprocess"
        )
    return of_parts[part]


def _inputs(
    maps: MapFolder, split: str, kinds: list[str], names: list[str]
) -> Iterator[tuple[str, dict[str, bytes], float]]:
    """Yield name, maps as stored and probability of being empty of each image."""
    empty = np.zeros(len(names))
    if "empty" in kinds:
        empty = read_empty(maps, split, names)
    archives = {kind: open_maps(maps, split, kind) for kind in kinds if kind != "empty"}
    for name, probability in zip(names, empty.tolist(), strict=True):
        yield name, {kind: one.read_bytes(name) for kind, one in archives.items()}, probability


def _candidates(
    name: str, encoded: dict[str, bytes], empty_probability: float, params: PostprocessParams
) -> pd.DataFrame:
    """Return the candidates of one image; `parent` counts from its first."""
    maps = {head: decode_image(e, cv2.IMREAD_UNCHANGED, name) for head, e in encoded.items()}
    spreads = {spread: maps.pop(spread) for spread in SPREADS.values() if spread in maps}
    height, width = maps["mask"].shape
    columns = image_candidates(maps, empty_probability, spreads, params)
    return pd.DataFrame({"name": name, "height": height, "width": width} | columns).astype(TYPES)


def _joined(tables) -> pd.DataFrame:
    """Join the tables of all images; `parent` then counts from the first row of all."""
    joined, rows = [pd.DataFrame(columns=list(TYPES)).astype(TYPES)], 0
    for table in tables:
        table["parent"] += rows * (table["parent"] >= 0)
        joined.append(table)
        rows += len(table)
    return pd.concat(joined, ignore_index=True)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
