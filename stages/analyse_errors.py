"""Tell what the accepted detections miss, what of them is wrong, and what each kind costs in AP50.

    python -m stages.analyse_errors data/prepared data/folds.csv data/predictions \
        data/evaluation data/errors

Reads  prepared/{train,val}/truth.json  COCO, masks as compressed RLE
       folds.csv                        name,fold,repeat and others: oof are the images of the
                                        trained folds
       predictions/{oof,val}.json       COCO results; not read for a split without images
       evaluation/images_<split>.csv    name,group of the judged images
       evaluation/detections_<split>.parquet  the judged detections, at IoU 0.5; looked at are
                                        those that are accepted
Writes errors/objects_<split>.csv       one row per object: what became of it, its neighbour
       errors/detections_<split>.csv    one row per wrong detection: its kind
       errors/recall_<split>.csv        question,bin,objects,found,recall
       errors/precision_<split>.csv     question,bin,detections,right,precision
       errors/fixes_<split>.csv         kind,count,ap50_if_fixed,regained (share of 1 - AP50)
       errors/worst_<split>.csv         kind,place,name,errors,share: the images to look at

`src.analysis` says what they mean: `outcomes` the kinds, `rates` the questions, `fixes` the fixes.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from src.analysis.fixes import fix_each_kind
from src.analysis.outcomes import analyse_image
from src.analysis.params import ErrorsParams
from src.analysis.rates import precision_by_bin, recall_by_bin
from src.analysis.worst_images import worst_images
from src.base.errors import InputError
from src.base.files import new_folder, read_json
from src.base.params import load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams, first_trained_fold, read_folds
from src.formats.prepared import read_truth
from src.formats.tables import read_parquet, read_table, write_table
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order

TRUTH = {"oof": "train", "val": "val"}
RECALL = ["question", "bin", "objects", "found", "recall"]
PRECISION = ["question", "bin", "detections", "right", "precision"]
WORST = ["kind", "place", "name", "errors", "share"]
JUDGED = ["image_id", "detection", "score", "tp", "ignored", "truth_id"]
BYTES = 8  # of memory that a pixel takes at most


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name in ("prepared", "folds", "predictions", "evaluation", "errors"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    params = load_params(args.params, "errors", ErrorsParams)
    workers = load_params(args.params, "workers", WorkersParams)

    trained = first_trained_fold(read_folds(args.folds), folds).index
    with new_folder(args.errors) as folder:
        for split, source in TRUTH.items():
            truth = read_truth(args.prepared, source)
            images = [i for i in truth["images"] if split != "oof" or i["name"] in trained]
            images.sort(key=lambda image: image["id"])
            group_of = _read_groups(args.evaluation / f"images_{split}.csv", images)
            judged = args.evaluation / f"detections_{split}.parquet"
            judged = read_parquet(judged, "evaluate", [*JUDGED, "accepted"])
            judged = judged.loc[judged["accepted"].astype(bool), JUDGED]
            judged = judged.astype({"tp": bool, "ignored": bool})
            predictions = args.predictions / f"{split}.json"
            parts = _by_image(images, truth["annotations"], judged, predictions)
            memory = BYTES * largest((image["height"], image["width"]) for image in images)
            fixed = {"scheduler": workers.scheduler, "memory": memory}
            results = in_order(analyse_image, parts, iou_poor=params.iou_poor, **fixed)
            results = list(tqdm(results, total=len(images), desc=split, unit="image"))
            if not images:  # one empty result gives the empty tables their columns
                results = [analyse_image([], [], 1, 1, params.iou_poor)]
            objects = _join(images, [result.objects for result in results], group_of)
            detections = _join(images, [result.detections for result in results], group_of)
            images_of = Counter(group_of[image["name"]] for image in images)
            groups = sorted(group for group, count in images_of.items() if count > 1)
            _write(folder, split, objects, detections, groups, params.gallery)
            lost = int((~objects["found"]).sum())
            print(f"{split}: {lost} of {len(objects['found'])} objects are not found")


def _by_image(
    images: list[dict], annotations: list[dict], judged: pd.DataFrame, path: Path
) -> list[tuple[list[dict], list[dict], int, int]]:
    """Return objects, judged detections, height and width of every image."""
    predictions = read_json(path) if images else []
    if not judged["detection"].between(0, len(predictions) - 1).all():
        raise InputError(f"{path}: not the predictions that were judged; run evaluate again")
    strange = set(judged["image_id"]) - {image["id"] for image in images}
    if strange:
        raise InputError(
            f"{path}: image {min(strange)} was judged and is not in a trained fold; "
            "run evaluate again"
        )
    objects, detections = defaultdict(list), defaultdict(list)
    for annotation in annotations:
        if not annotation["iscrowd"]:
            objects[annotation["image_id"]].append(annotation)
    rows = judged[~judged["ignored"]].sort_values(["image_id", "detection"])
    for row in rows[JUDGED].to_dict("records"):
        mask = predictions[row["detection"]]["segmentation"]
        detections[row["image_id"]].append(row | {"segmentation": mask})
    return [(objects[i["id"]], detections[i["id"]], i["height"], i["width"]) for i in images]


def _join(images: list[dict], tables: list[dict], group_of: dict[str, str]) -> dict:
    """Put the columns of all images together, behind the name and group of each row's image."""
    counts = [len(table["detection"]) for table in tables]
    names = np.repeat([image["name"] for image in images] or [""], counts).astype(object)
    groups = np.array([group_of[name] for name in names], object)
    joined = {key: np.concatenate([table[key] for table in tables]) for key in tables[0]}
    return {"name": names, "group": groups} | joined


def _write(
    folder: Path, split: str, objects: dict, detections: dict, groups: list[str], gallery: int
) -> None:
    wrong = detections["kind"] != "right"
    tables = {
        "objects": pd.DataFrame(objects),
        "detections": pd.DataFrame(detections)[wrong],
        "recall": pd.DataFrame(recall_by_bin(objects, groups), columns=RECALL),
        "precision": pd.DataFrame(precision_by_bin(detections, groups), columns=PRECISION),
        "fixes": pd.DataFrame(fix_each_kind(objects, detections)),
        "worst": pd.DataFrame(worst_images(objects, detections, gallery), columns=WORST),
    }
    for name, table in tables.items():
        write_table(folder / f"{name}_{split}.csv", table.round(6))


def _read_groups(path: Path, images: list[dict]) -> dict[str, str]:
    """Return the group of every image by name."""
    table = read_table(path, "evaluate", ("name", "group"))
    groups = dict(zip(table["name"], table["group"], strict=True))
    missing = [image["name"] for image in images if image["name"] not in groups]
    if missing:
        raise InputError(f"{path}: no row for '{missing[0]}'; run evaluate again")
    return groups


if __name__ == "__main__":
    run_stage(main)
