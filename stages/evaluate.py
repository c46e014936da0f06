"""Judge the predictions of labelled images, and tell how sure each figure is.

    python -m stages.evaluate data/prepared data/groups data/folds.csv data/predictions \
        data/plan reports/metrics.json data/evaluation

AP, AR, the precision-recall curve and the calibration error judge the whole ranking; all but the
last see of it the evaluate.max_detections best of an image. All other figures, the counts of
detections among them, stand at the operating point: they see all accepted detections, no others.

Reads  prepared/{train,val}/truth.json  COCO, masks as compressed RLE
       groups/groups.csv                name,split,group and others: near-duplicates share a group
       folds.csv                        name,fold,repeat and others: oof judges the images of the
                                        trained folds
       predictions/{oof,val}.json       COCO results; not read for a split without images; one
                                        without the key `accepted` is accepted
       predictions/operating_point.json the score from which they are; may be absent
       predictions/calibration.json     {"<split>.ece": number or null}; may be absent
       plan/evaluate.json               {"max_detections": number}, for `auto`
Writes metrics.json                     the headline: {"<split>.<metric>": number, or null}, and
                                        "data": the fingerprint of the truth of train and val
       evaluation/metrics.csv           split,images,metric,value,low,high: every metric of all and
                                        of the clean images; 95 % interval over groups of images
       evaluation/images_<split>.csv            one row per image
       evaluation/detections_<split>.parquet    one row per judged detection, at IoU 0.5, and
                                                bool tp_50 .. tp_95, ignored_50 .. ignored_95;
                                                bool ranked (in AP and AR), accepted (in all else)
       evaluation/precision_recall_<split>.csv  COCO's 101 points at IoU 0.5
       evaluation/outlines_<split>.csv          one row per image with a detection that has found
                                                an object: sums over such pairs
       evaluation/detection_limit.csv           split,max_detections, what is beyond it, warning

An image is clean if none of its group is among the training images. Those of oof all are, since
folds never part a group. The operating point of oof is the mean of those of its folds, without an
interval. What is undefined is null or empty.
"""

import argparse
import json
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from src.acceptance.operating_point import Point, read_operating_point
from src.base.errors import InputError
from src.base.files import new_folder, read_json, write_text
from src.base.params import load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams, first_trained_fold, read_folds
from src.formats.prepared import read_truth
from src.formats.tables import read_table, write_table
from src.judging.bootstrap import METRICS, PERCENTS, metric_rows, resample
from src.judging.coco_evaluation import (
    Matches,
    accepted_alone,
    check_predictions,
    evaluate_detections,
)
from src.judging.detection_limit import BeyondLimit, beyond_limit, limit_warning
from src.judging.fingerprint import data_fingerprint
from src.judging.object_metrics import IMAGE_COLUMNS, score_images, score_together
from src.judging.outline_agreement import OUTLINE_COLUMNS, judge_outlines, outline_rows
from src.judging.params import EvaluateParams
from src.outlines.params import OutlinesParams
from src.parallel.workers import WorkersParams

# fmt: off
HEADLINE = [
    "ap50", "ar50", "ap", "ap75", "ap50_small", "ap50_large", "f1_50", "precision_50", "recall_50",
    "detection_accuracy", "dice_mean", "iou_mean", "boundary_iou_mean", "pq", "ece", "polis",
    "boundary_f", "vertex_ratio", "c_iou", "operating_point", "images", "objects", "detections",
]
# fmt: on
CLEAN_HEADLINE = ["ap50", "f1_50", "images"]  # of val
AT_COLUMNS = [f"{kind}_{percent}" for kind in ("tp", "ignored") for percent in PERCENTS]
TABLES = {
    "images": [*IMAGE_COLUMNS, "group", "clean"],
    "detections": [*Matches._fields[:-3], "name", "group", *AT_COLUMNS],
    "precision_recall": ["recall", "precision"],
    "outlines": OUTLINE_COLUMNS,
}
LIMIT_COLUMNS = ["split", "max_detections", *BeyondLimit._fields, "warning"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name in ["prepared", "groups", "folds", "predictions", "plan", "metrics", "evaluation"]:
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    params = load_params(args.params, "evaluate", EvaluateParams, plan=args.plan)
    outlines = load_params(args.params, "outlines", OutlinesParams)
    workers = load_params(args.params, "workers", WorkersParams)

    truth = {"oof": read_truth(args.prepared, "train"), "val": read_truth(args.prepared, "val")}
    data = data_fingerprint(truth.values())
    trained = set(first_trained_fold(read_folds(args.folds), folds).index)
    truth["oof"]["images"] = [i for i in truth["oof"]["images"] if i["name"] in trained]
    if not truth["oof"]["images"]:
        raise InputError(f"split_folds.folds: no image of {args.folds} is in {folds}; name others")
    images = read_table(args.groups / "groups.csv", "find_duplicates", ("name", "split", "group"))
    path = args.predictions / "calibration.json"
    calibration = cast("dict", read_json(path)) if path.exists() else {}
    points = _points(args.predictions / "operating_point.json")

    tables, rows, limits, headline = {}, [], [], {"data": data}
    for split, coco in truth.items():
        tables[split] = {name: pd.DataFrame(columns=columns) for name, columns in TABLES.items()}
        if coco["images"]:
            origin = args.predictions / f"{split}.json"
            how = (params, outlines, workers)
            metrics, tables[split], beyond = _judge(split, coco, images, origin, *how)
            metrics["ece"] = calibration.get(f"{split}.ece")
            of_split = _with_intervals(split, metrics, tables[split], params)
            sums, judged = tables[split]["outlines"], tables[split]["images"]
            of_split += outline_rows(split, sums, judged, params)
            of_split.append(_point_row(split, points[split]))
            limits.append(_limit_row(split, params.max_detections, beyond))
            found = {(row["images"], row["metric"]): row["value"] for row in of_split}
            headline |= {f"{split}.{name}": found["all", name] for name in HEADLINE}
            if split == "val":
                headline |= {f"val.{name}_clean": found["clean", name] for name in CLEAN_HEADLINE}
            rows += of_split
    _write_tables(args.evaluation, tables, rows, limits)
    write_text(args.metrics, json.dumps(headline, indent=2) + "\n")
    shown = [row for row in rows if row["metric"] == "ap50" and row["images"] == "all"]
    print(", ".join(f"{r['split']}.ap50 {r['value']} ({r['low']} to {r['high']})" for r in shown))
    for warning in filter(None, (row["warning"] for row in limits)):
        print(f"warning: {warning}")


def _points(path: Path) -> dict[str, Point | None]:
    """Return where detections of each split are accepted from; None where that is not told."""
    if not path.exists():
        return {"oof": None, "val": None}
    found = read_operating_point(path)
    scores = [point.score for point in found.folds.values()]
    mean = Point(float(np.mean(scores)), None, None) if scores else None
    return {"oof": mean, "val": found.all}


def _judge(
    split: str,
    truth: dict,
    known: pd.DataFrame,
    origin: Path,
    params: EvaluateParams,
    outlines: OutlinesParams,
    workers: WorkersParams,
) -> tuple[dict, dict[str, pd.DataFrame], BeyondLimit]:
    """Return the metrics and the tables of one split, which has images."""
    records, categories = (truth["images"], truth["annotations"]), truth["categories"]
    predictions = check_predictions(read_json(origin), records[0], categories, str(origin))
    result = evaluate_detections(*records, categories, predictions, params.max_detections)
    rows = score_images(*records, predictions, accepted_alone(result.matches))
    table = pd.DataFrame(rows).merge(known[["name", "group"]], how="left")
    if table["group"].isna().any():
        raise InputError("groups.csv does not list every image of the truth; run find_duplicates")
    of_training = known["group"][known["split"] == "train"]
    table["clean"] = (split == "oof") | ~table["group"].isin(of_training)
    columns = result.matches._asdict()
    at = np.hstack([columns.pop(name) for name in ("tp_at", "ignored_at")])
    del columns["paired"]
    found = pd.DataFrame(columns).merge(table[["image_id", "name", "group"]], how="left")
    curve = [(place / 100, value) for place, value in enumerate(result.precision)]
    tables = {
        "images": table,
        "detections": found.join(pd.DataFrame(at, columns=AT_COLUMNS)),
        "precision_recall": pd.DataFrame(curve, columns=TABLES["precision_recall"]),
    }
    judged = (predictions, tables["detections"])
    tables["outlines"] = judge_outlines(*records, *judged, params, outlines, workers)
    beyond = beyond_limit(*records, result.matches, params.max_detections)
    return result.metrics | score_together(rows), tables, beyond


def _with_intervals(
    split: str, metrics: dict, tables: dict[str, pd.DataFrame], params: EvaluateParams
) -> list[dict]:
    """Return rows of metrics.csv: all metrics, then those of METRICS on the clean images."""
    rows, sampled, images = [], {}, tables["images"]
    for kind, chosen in (("all", images), ("clean", images[images["clean"]])):
        if not len(chosen):
            sampled = {}
        elif kind == "all" or len(chosen) < len(images):
            found = tables["detections"]
            found = found[found["image_id"].isin(chosen["image_id"])]
            drawing = {"resamples": params.resamples, "seed": params.seed}
            sampled = resample(chosen, found, metrics=METRICS, **drawing)
        if kind == "clean":
            metrics = {name: sampled[name].value if sampled else None for name in METRICS}
            metrics |= {"images": len(chosen)} | chosen[["objects", "detections"]].sum().to_dict()
        rows += [{"split": split, "images": kind} | row for row in metric_rows(metrics, sampled)]
    return rows


def _point_row(split: str, point: Point | None) -> dict:
    numbers = {"value": None, "low": None, "high": None}
    if point is not None:
        numbers = {"value": point.score, "low": point.low, "high": point.high}
    rounded = {key: None if n is None else round(float(n), 6) for key, n in numbers.items()}
    return {"split": split, "images": "all", "metric": "operating_point", **rounded}


def _limit_row(split: str, max_detections: int, beyond: BeyondLimit) -> dict:
    warning = limit_warning(split, max_detections, beyond)
    row = {"split": split, "max_detections": max_detections}
    return row | beyond._asdict() | {"warning": warning}


def _write_tables(
    folder: Path, tables: dict[str, dict[str, pd.DataFrame]], rows: list, limits: list
) -> None:
    with new_folder(folder) as partial:
        for split, of_split in tables.items():
            of_split["detections"].to_parquet(partial / f"detections_{split}.parquet", index=False)
            for name in ("images", "precision_recall", "outlines"):
                write_table(partial / f"{name}_{split}.csv", of_split[name].round(6))
        table = pd.DataFrame(rows, dtype=object)  # keeps counts whole
        write_table(partial / "metrics.csv", table)
        limited = pd.DataFrame(limits, columns=LIMIT_COLUMNS)
        write_table(partial / "detection_limit.csv", limited)


if __name__ == "__main__":
    run_stage(main)
