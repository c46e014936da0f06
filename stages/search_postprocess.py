"""Choose the values of `postprocess` that are `auto` by what they do to a metric, on oof alone.

    python -m stages.search_postprocess data/prepared data/folds.csv data/ensemble data/search

All combinations of the values listed in section `search` are tried; of equal ones the first wins.
The values for val and test are the best on all oof images, those for the oof images of a fold the
best on the images of the other folds, so that no image has a part in the choice it is judged by.
The fold of an image with several is that of its first repeat with a trained one.

Reads  prepared/truth_train.json  COCO, masks as compressed RLE
       folds.csv                  name,fold,repeat and others
       ensemble/maps.json, oof.zip, oof_<head>.zip, oof_empty.csv  as ensemble writes them
Writes search/chosen.json  {"metric": ..., "all": {key: value}, "folds": {"0": {key: value}, ...}},
                           without keys where nothing is auto; then no map is read
       search/search.csv   fold ("all", or the one left out), the searched keys, the metric
"""

import argparse
import json
from pathlib import Path

import cv2
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder, read_json
from src.base.params import load_params
from src.folds.fold_table import SplitFoldsParams, first_trained_fold, read_folds
from src.formats.archive import ImageArchive, decode_image
from src.objects.map_objects import heads_used
from src.objects.params import PostprocessParams, object_settings, searched_keys
from src.searching.combinations import (
    best_of,
    combinations_of,
    draw_images,
    metric_values,
    sets_to_choose_on,
)
from src.searching.judged_images import Judged, judge_image
from src.searching.params import SearchParams


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("ensemble", type=Path)
    parser.add_argument("search", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "search", SearchParams)
    postprocess = load_params(args.params, "postprocess", PostprocessParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds

    grid = {key: getattr(params, key) for key in searched_keys(postprocess)}
    for key, values in grid.items():
        if not values:
            raise InputError(
                f"{args.params}: search.{key} lists no value to try but postprocess.{key} is auto; "
                "list some or give a number"
            )
    chosen = {"metric": params.metric, "all": {}, "folds": {}}
    table = pd.DataFrame(columns=["fold", params.metric])
    if grid:
        images = _read_images(args.prepared / "truth_train.json", args.folds, folds)
        images = images.iloc[draw_images(images["fold"], params.max_images, params.seed)]
        combinations = combinations_of(grid)
        judged = _judge(images, args.ensemble, postprocess, combinations, params.metric)
        values = metric_values(judged, sets_to_choose_on(images["fold"]), params.metric)
        best = {key: combinations[best_of(key, v, params.metric)] for key, v in values.items()}
        chosen["all"] = best["all"]
        chosen["folds"] = {str(k): best.get(str(k), best["all"]) for k in sorted(folds)}
        tried = pd.DataFrame(combinations)
        tables = [tried.assign(fold=key, **{params.metric: v}) for key, v in values.items()]
        table = pd.concat(tables)[["fold", *grid, params.metric]].round({params.metric: 6})
        print(f"{len(combinations)} combinations on {len(images)} oof images: {chosen['all']}")
        if len(values) == 1:
            print("Only one fold is trained: its oof images are judged by values chosen on them.")
    with new_folder(args.search) as folder:
        (folder / "chosen.json").write_text(json.dumps(chosen, indent=2) + "\n")
        table.to_csv(folder / "search.csv", index=False, lineterminator="\n")


def _read_images(truth: Path, folds_csv: Path, folds: list[int]) -> pd.DataFrame:
    """Return name, fold and annotations of the oof images, by id (the order COCO pools them in)."""
    fold_of = first_trained_fold(read_folds(folds_csv), folds)
    coco = read_json(truth)
    annotations = {image["id"]: [] for image in coco["images"]}
    for annotation in coco["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    images = pd.DataFrame(sorted(coco["images"], key=lambda image: image["id"]))
    images = images[images["name"].isin(fold_of.index)]
    if images.empty:
        raise InputError(f"split_folds.folds: no image of {folds_csv} is in {folds}; name others")
    return pd.DataFrame(
        {
            "name": images["name"].to_numpy(),
            "fold": fold_of[images["name"]].to_numpy(),
            "annotations": [annotations[number] for number in images["id"]],
        }
    )


def _judge(
    images: pd.DataFrame,
    ensemble: Path,
    postprocess: PostprocessParams,
    combinations: list[dict],
    metric: str,
) -> list[Judged]:
    heads = heads_used(
        read_json(ensemble / "maps.json")["heads"],
        method=postprocess.method,
        seeds=postprocess.seeds,
        empty_threshold=postprocess.empty_threshold,
    )
    empty = pd.Series(0.0, images["name"])
    if "empty" in heads:
        empty = pd.read_csv(ensemble / "oof_empty.csv").set_index("name")["probability"]
        heads.remove("empty")
    archives = {
        head: ImageArchive(ensemble / ("oof.zip" if head == "mask" else f"oof_{head}.zip"))
        for head in heads
    }
    settings = object_settings(postprocess)
    judged = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_judge_one)(
            {head: archive.read_bytes(name) for head, archive in archives.items()},
            empty[name],
            annotations,
            settings,
            combinations,
            metric,
        )
        for name, annotations in zip(images["name"], images["annotations"], strict=True)
    )
    return list(tqdm(judged, "search", total=len(images), unit="image"))


def _judge_one(encoded: dict[str, bytes], *arguments) -> Judged:
    maps = {head: decode_image(one, cv2.IMREAD_UNCHANGED, head) for head, one in encoded.items()}
    return judge_image(maps, *arguments)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
