"""Judge the predictions of labelled images: COCO's measures, F1, Dice, and the tables behind them.

    python -m stages.evaluate data/prepared data/folds.csv data/predictions \
        reports/metrics.json data/evaluation

Reads  prepared/truth_{train,val}.json  COCO, masks as compressed RLE
       folds.csv                        name,fold: oof judges the images of the trained folds
       predictions/{oof,val}.json       COCO results; not read for a split without images
Writes metrics.json                     {"<split>.<metric>": number, or null where undefined}
       evaluation/images_<split>.csv            one row per image
       evaluation/detections_<split>.parquet    one row per judged detection, at IoU 0.5
       evaluation/precision_recall_<split>.csv  COCO's 101 points at IoU 0.5
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from pydantic import Field

from src.coco_evaluation import check_predictions, evaluate_detections
from src.errors import InputError
from src.json_files import read_json
from src.new_folder import new_folder, write_text
from src.object_metrics import IMAGE_COLUMNS, score_images, score_together
from src.params import Params, load_params

DETECTION_COLUMNS = ["image_id", "name", "detection", "score", "tp", "ignored", "truth_id", "iou"]


class SplitFoldsParams(Params):
    k: int = Field(ge=2)
    folds: list[int]
    seed: int


class EvaluateParams(Params):
    max_detections: int = Field(ge=1)  # best scored detections judged per image


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("metrics", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    max_detections = load_params(args.params, "evaluate", EvaluateParams).max_detections

    truth = {
        "oof": read_json(args.prepared / "truth_train.json"),
        "val": read_json(args.prepared / "truth_val.json"),
    }
    trained = _names_of(args.folds, folds)
    truth["oof"]["images"] = [i for i in truth["oof"]["images"] if i["name"] in trained]
    if not truth["oof"]["images"]:
        raise InputError(f"split_folds.folds: no image of {args.folds} is in {folds}; name others")
    metrics, tables = {}, {}
    for split, coco in truth.items():
        origin = args.predictions / f"{split}.json"
        scores, tables[split] = _evaluate_split(coco, origin, max_detections)
        for key, value in scores.items():
            metrics[f"{split}.{key}"] = round(value, 6) if isinstance(value, float) else value
    _write_tables(args.evaluation, tables)
    write_text(args.metrics, json.dumps(metrics, indent=2) + "\n")
    print(", ".join(f"{key} {metrics[key]}" for key in metrics if key.endswith(".ap50")))


def _evaluate_split(truth: dict, origin: Path, max_detections: int) -> tuple[dict, dict]:
    """Return metrics and tables of one split; without images {} and tables without rows."""
    images, curve, metrics = [], [], {}
    found = pd.DataFrame(columns=DETECTION_COLUMNS)
    if truth["images"]:
        predictions = read_json(origin)
        check_predictions(predictions, truth["images"], truth["categories"], str(origin))
        result = evaluate_detections(
            truth["images"], truth["annotations"], truth["categories"], predictions, max_detections
        )
        names = {image["id"]: image["name"] for image in truth["images"]}
        found = pd.DataFrame(result.matches._asdict())
        found["name"] = found["image_id"].map(names)
        images = score_images(truth["images"], truth["annotations"], predictions, result.matches)
        curve = [(place / 100, value) for place, value in enumerate(result.precision)]
        metrics = result.metrics | score_together(images)
    return metrics, {
        "images": pd.DataFrame(images, columns=IMAGE_COLUMNS),
        "precision_recall": pd.DataFrame(curve, columns=["recall", "precision"]),
        "detections": found[DETECTION_COLUMNS],
    }


def _write_tables(folder: Path, tables: dict[str, dict[str, pd.DataFrame]]) -> None:
    with new_folder(folder) as partial:
        for split, of_split in tables.items():
            of_split["detections"].to_parquet(partial / f"detections_{split}.parquet", index=False)
            for name in ("images", "precision_recall"):
                path = partial / f"{name}_{split}.csv"
                of_split[name].round(6).to_csv(path, index=False, lineterminator="\n")


def _names_of(path: Path, folds: list[int]) -> set[str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run split_folds")
    table = pd.read_csv(path)
    if list(table.columns) != ["name", "fold"]:
        raise InputError(
            f"{path}: columns {list(table.columns)} are not name,fold; run split_folds"
        )
    return set(table["name"][table["fold"].isin(folds)])


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
