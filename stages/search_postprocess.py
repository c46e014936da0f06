"""Choose the values of `postprocess` that are `auto` by what they do to a metric, on oof alone.

    python -m stages.search_postprocess data/prepared data/folds.csv data/ensemble data/plan \
        data/search

All combinations of the values listed in section `search` are tried; of equal ones the first wins.
The values for val and test are the best on all oof images, those for the oof images of a fold the
best on the images of the other folds, so that no image has a part in the choice it is judged by.
Where a single fold is trained its images are dealt into parts in place of folds, whole groups at a
time; see src/parts/image_parts.py.

Reads  prepared/labels/train/truth.json  COCO, masks as compressed RLE
       folds.csv                  name,fold,repeat,group and others
       plan/postprocess.json      values of keys that are `auto` and not searched
       ensemble/maps.json, oof.zip, oof_<head>.zip, oof_empty.csv  as ensemble writes them
Writes search/chosen.json  {"metric": ..., "all": {key: value}, "folds": {"0": {key: value}, ...}},
                           without keys where nothing is searched; then no map is read
       search/search.csv   fold ("all", or the part left out), the searched keys, the metric
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
from src.folds.fold_table import SplitFoldsParams, read_folds
from src.formats.archive import decode_image
from src.formats.prepared import read_truth
from src.formats.tables import write_table
from src.maps.map_folder import open_maps, read_empty, read_map_folder
from src.objects.chosen_values import Chosen, write_chosen
from src.objects.map_objects import heads_used
from src.objects.params import PostprocessParams, load_postprocess, with_chosen
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order
from src.parts.image_parts import ALL, image_parts, learning_images
from src.searching.combinations import (
    best_of,
    combinations_of,
    draw_images,
    metric_values,
)
from src.searching.judged_images import Judged, judge_image
from src.searching.params import SearchParams, searched_values

BYTES = 72  # of memory that a pixel takes at most


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("ensemble", type=Path)
    parser.add_argument("plan", type=Path, help="folder of the stage plan")
    parser.add_argument("search", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "search", SearchParams)
    postprocess = load_postprocess(args.params, args.plan)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds

    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    grid = searched_values(args.params, params, postprocess)
    chosen = Chosen(params.metric, {}, {})
    table = pd.DataFrame(columns=["fold", params.metric])
    if grid:
        images = _read_images(args.prepared, args.folds, folds)
        images = images.iloc[draw_images(images["part"], params.max_images, params.seed)]
        combinations = combinations_of(grid)
        fixed = {
            "combinations": [with_chosen(postprocess, one, "search") for one in combinations],
            "metric": params.metric,
            "scheduler": scheduler,
            "memory": BYTES * largest(zip(images["height"], images["width"], strict=True)),
        }
        judged = in_order(_judge, _inputs(images, args.ensemble, postprocess), **fixed)
        judged = list(tqdm(judged, "search", total=len(images), unit="image"))
        sets = learning_images(images["part"])
        seen = {part: one.to_numpy() for part, one in sets.items() if one.any()}
        values = metric_values(judged, seen, params.metric)
        best = {part: combinations[best_of(part, v, params.metric)] for part, v in values.items()}
        of_parts = {part: best.get(part, best[ALL]) for part in sets if part != ALL}
        chosen = Chosen(params.metric, best[ALL], of_parts)
        tried = pd.DataFrame(combinations)
        tables = [tried.assign(fold=key, **{params.metric: v}) for key, v in values.items()]
        table = pd.concat(tables)[["fold", *grid, params.metric]].round({params.metric: 6})
        print(f"{len(combinations)} combinations on {len(images)} oof images: {chosen.all}")
        if len(values) == 1:
            print("There is but one group of oof images: it is judged by values chosen on it.")
    with new_folder(args.search) as folder:
        write_chosen(folder / "chosen.json", chosen)
        write_table(folder / "search.csv", table)


def _read_images(prepared: Path, folds_csv: Path, folds: list[int]) -> pd.DataFrame:
    """Return name, part, annotations and size of the oof images, by id as COCO pools them."""
    part_of = image_parts(read_folds(folds_csv), folds)["part"]
    truth = read_truth(prepared, "train")
    annotations = {image["id"]: [] for image in truth["images"]}
    for annotation in truth["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    images = sorted(truth["images"], key=lambda image: image["id"])
    images = [image for image in images if image["name"] in part_of.index]
    if not images:
        raise InputError(f"split_folds.folds: no image of {folds_csv} is in {folds}; name others")
    names = [image["name"] for image in images]
    return pd.DataFrame(
        {
            "name": names,
            "part": part_of[names].to_numpy(),
            "annotations": [annotations[image["id"]] for image in images],
            "height": [image["height"] for image in images],
            "width": [image["width"] for image in images],
        }
    )


def _inputs(
    images: pd.DataFrame, ensemble: Path, postprocess: PostprocessParams
) -> Iterator[tuple[str, dict[str, bytes], float, list[dict]]]:
    """Yield name, maps as stored, probability of being empty and annotations of each image."""
    maps = read_map_folder(ensemble, "ensemble")
    heads = heads_used(maps.heads, postprocess)
    empty = np.zeros(len(images))
    if "empty" in heads:
        empty = read_empty(maps, "oof", images["name"])
        heads.remove("empty")
    archives = {head: open_maps(maps, "oof", head) for head in heads}
    columns = (images["name"], empty.tolist(), images["annotations"])
    for name, probability, annotations in zip(*columns, strict=True):
        encoded = {head: archive.read_bytes(name) for head, archive in archives.items()}
        yield name, encoded, probability, annotations


def _judge(
    name: str,
    encoded: dict[str, bytes],
    empty_probability: float,
    annotations: list[dict],
    *,
    combinations: list[PostprocessParams],
    metric: str,
) -> Judged:
    maps = {head: decode_image(one, cv2.IMREAD_UNCHANGED, name) for head, one in encoded.items()}
    return judge_image(maps, empty_probability, annotations, combinations, metric)


if __name__ == "__main__":
    run_stage(main)
