"""Turn probability maps into candidate objects and measure their features.

    python -m stages.postprocess data/folds.csv data/ensemble data/plan data/search data/candidates

Values that are `auto` are planned or searched (src/objects/params.load_postprocess). Of those that
are searched an out-of-fold image gets what search_postprocess chose on the images of the other
folds, one of val or test what was chosen on all. What the second level learns from for a fold are
the images of the other folds, cut at that fold's values; where they are cut otherwise in
oof.parquet, they are written again. Hulls of uncertain regions (hull_*) change what is an object,
not the probabilities it is given.

Reads  folds.csv                          name,fold,repeat,group and others
       ensemble/{oof,val,test}.zip        uint8 (H, W): probability * 255; maps.json and the further
                                          maps that the method asks for, and spreads
       plan/postprocess.json              values of keys that are `auto` and not searched
       search/chosen.json                 where a value is searched
Writes candidates/{oof,val,test}.parquet  one row per candidate: name, height, width, counts (RLE);
                                          area, bbox_{x,y,width,height} in pixels; parent (row of
                                          the candidate around it, one layer lower, or -1);
                                          float64 src.candidates.candidate_features.FEATURES
       candidates/learn_<part>.parquet    the same of the oof images that a part (a fold, or all)
                                          learns from, where these are not rows of oof.parquet
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
from src.base.running import run_stage
from src.candidates.candidate_table import candidate_table, joined_tables
from src.folds.fold_table import SplitFoldsParams, read_folds
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
from src.objects.params import (
    PostprocessParams,
    load_postprocess,
    searched_keys,
    with_chosen,
)
from src.parallel.memory import most_pixels
from src.parallel.workers import WorkersParams, in_order
from src.parts.image_parts import ALL, image_parts, learning_images

BYTES = 64  # of memory that a pixel takes at most, of crowded images


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folds", type=Path)
    parser.add_argument("ensemble", type=Path)
    parser.add_argument("plan", type=Path, help="folder of the stage plan")
    parser.add_argument("search", type=Path)
    parser.add_argument("candidates", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_postprocess(args.params, args.plan)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds

    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    part_of = image_parts(read_folds(args.folds), folds)["part"]
    maps = read_map_folder(args.ensemble, "ensemble")
    kinds = heads_used(maps.heads, params) + [SPREADS[spread] for spread in maps.spreads]
    of_parts = dict.fromkeys([ALL, *part_of], params)
    if searched_keys(params):
        of_parts = _chosen_params(params, args.search / "chosen.json")
    choices: list[PostprocessParams] = []
    for one in of_parts.values():
        choices += [one] if one not in choices else []
    choice_of = {part: choices.index(one) for part, one in of_parts.items()}
    with new_folder(args.candidates) as folder:
        for split in SPLITS:
            archive = open_maps(maps, split, "mask")
            names = archive.names
            memory = BYTES * most_pixels(archive.read_bytes(name) for name in names)
            wanted = {split: dict.fromkeys(names, choice_of[ALL])}
            if split == "oof":
                wanted = _oof_tables(names, part_of, choice_of)
            jobs = list(dict.fromkeys(job for rows in wanted.values() for job in rows.items()))
            inputs = _inputs(maps, split, kinds, jobs, choices)
            found = in_order(_candidates, inputs, scheduler=scheduler, memory=memory)
            found = tqdm(found, split, total=len(jobs), unit="image")
            tables = dict(zip(jobs, found, strict=True))
            for table, rows in wanted.items():
                joined = joined_tables(tables[job] for job in rows.items())
                joined.to_parquet(folder / f"{table}.parquet", index=False)
                print(f"{len(joined)} candidates in {len(rows)} {table} images")


def _chosen_params(params: PostprocessParams, path: Path) -> dict[str, PostprocessParams]:
    """Return the params with the chosen values, by ALL and part."""
    chosen = read_chosen(path)
    parts = {ALL: chosen.all} | chosen.folds
    return {part: with_chosen(params, values, str(path)) for part, values in parts.items()}


def _oof_tables(
    names: list[str], part_of: pd.Series, choice_of: dict[str, int]
) -> dict[str, dict[str, int]]:
    """Return the tables of oof images to write: which images, and by which choice of values each.

    Beside the images by the choice of their own part these are, for every part, those it learns
    from by its choice, unless that is their own.
    """
    for name in [*names, *part_of.index]:
        part = str(part_of.get(name))
        if part not in choice_of:
            raise InputError(
                f"{name}: no values for its fold ({part}); run split_folds, ensemble and "
                "search_postprocess"
            )
    own = {name: choice_of[part_of[name]] for name in names}
    tables = {"oof": own}
    for part, seen in learning_images(part_of).items():
        rows = {name: choice_of[part] for name in names if seen[name]}
        if any(own[name] != choice for name, choice in rows.items()):
            tables[f"learn_{part}"] = rows
    return tables


def _inputs(
    maps: MapFolder,
    split: str,
    kinds: list[str],
    jobs: list[tuple[str, int]],
    choices: list[PostprocessParams],
) -> Iterator[tuple[str, dict[str, bytes], float, PostprocessParams]]:
    """Yield name, maps as stored, probability of being empty and params of each job."""
    empty = np.zeros(len(jobs))
    if "empty" in kinds:
        empty = read_empty(maps, split, [name for name, _ in jobs])
    archives = {kind: open_maps(maps, split, kind) for kind in kinds if kind != "empty"}
    for (name, choice), probability in zip(jobs, empty.tolist(), strict=True):
        encoded = {kind: one.read_bytes(name) for kind, one in archives.items()}
        yield name, encoded, probability, choices[choice]


def _candidates(
    name: str, encoded: dict[str, bytes], empty_probability: float, params: PostprocessParams
) -> dict[str, np.ndarray]:
    """Return the candidates of one image; `parent` counts from its first."""
    maps = {kind: decode_image(e, cv2.IMREAD_UNCHANGED, name) for kind, e in encoded.items()}
    return candidate_table(name, maps, empty_probability, params)


if __name__ == "__main__":
    run_stage(main)
