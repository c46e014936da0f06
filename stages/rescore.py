"""Score the candidates, choose among them and keep the best of each image, as COCO results.

    python -m stages.rescore data/prepared data/folds.csv data/candidates data/predictions

What is learnt (second-level model, calibration) is learnt from the candidates of oof images: for
those of a fold from the candidates of the other folds, for val and test from all. The fold of an
image with several is that of its first repeat with a trained one. The truth of val only judges.
Calibration comes last, on the candidates that are left: it keeps their order.

Reads  prepared/{train,val,test}/images.csv, prepared/{train,val}/truth.json, folds.csv
       candidates/{oof,val,test}.parquet  their features are `area` and all columns of floats
Writes predictions/{oof,val,test}.json    COCO results: image_id, category_id, segmentation
                                          (compressed RLE), bbox XYWH, score
       predictions/reliability.csv        split,bin,count,mean_score,hit_rate: ten bins of scores
       predictions/calibration.json       {"<split>.ece": expected calibration error}, null where
                                          a score is above 1 or there is none
       predictions/second_level/          of a learnt score: importance.csv (feature,gain: share of
                                          all gain), and lightgbm's models as text: final.txt,
                                          fold<k>.txt (random_forest has no format that is safe)
"""

import argparse
import json
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.folds.fold_table import SplitFoldsParams, first_trained_fold, read_folds
from src.formats.prepared import LABELLED, Annotation, Rle, read_images, read_truth
from src.formats.prepared import SPLITS as PREPARED
from src.formats.tables import read_parquet, write_table
from src.scoring.calibration import (
    calibrate,
    cross_calibrate,
    expected_calibration_error,
    reliability,
)
from src.scoring.candidate_targets import HIT_IOU, annotations_by_name, best_overlaps, find_hits
from src.scoring.detection_choice import choose_detections
from src.scoring.params import MODELS, RescoreParams
from src.scoring.scores import object_scores
from src.scoring.second_level import cross_fit, importances, model_texts, predict

SPLITS = ("oof", "val", "test")
BOX = ["bbox_x", "bbox_y", "bbox_width", "bbox_height"]
COLUMNS = ["name", "height", "width", "counts", "area", *BOX, "parent", "mean_probability"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("predictions", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "rescore", RescoreParams)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds

    image_ids = read_images(args.prepared, *PREPARED).set_index("name")["image_id"]
    fold_of = first_trained_fold(read_folds(args.folds), folds)
    coco = {split: read_truth(args.prepared, split) for split in LABELLED}
    truth = {"oof": annotations_by_name(coco["train"]), "val": annotations_by_name(coco["val"])}
    tables = {
        split: read_parquet(args.candidates / f"{split}.parquet", "postprocess", COLUMNS)
        for split in SPLITS
    }
    for split, table in tables.items():
        origin = args.candidates / f"{split}.parquet"
        _require(image_ids, table["name"], origin, f"in an images.csv of {args.prepared}")
    origin = args.candidates / "oof.parquet"
    _require(fold_of, tables["oof"]["name"], origin, f"in a trained fold of {args.folds}")
    counts = {split: len(table) for split, table in tables.items()}
    with new_folder(args.predictions) as folder:
        if params.score in MODELS:
            _score_by_model(tables, truth["oof"], fold_of, params, folder / "second_level")
        tables = {split: _choose(table, params) for split, table in tables.items()}
        for split, annotations in truth.items():
            tables[split] = _mark_hits(tables[split], annotations)
        if params.calibration == "isotonic":
            _calibrate(tables, fold_of)
        _write_reliability({split: tables[split] for split in truth}, folder)
        for split, table in tables.items():
            results = _results(table, image_ids, coco["train"]["categories"][0]["id"])
            (folder / f"{split}.json").write_text(json.dumps(results))
            print(f"{len(results)} of {counts[split]} {split} candidates kept")


def _require(known: pd.Series, names: pd.Series, origin: Path, where: str) -> None:
    """Refuse candidates of images that a table does not list."""
    unknown = names[~names.isin(known.index)]
    if len(unknown):
        raise InputError(
            f"{origin}: has candidates of '{unknown.iloc[0]}', which is not {where}; run ensemble "
            "and postprocess again"
        )


def _rles(table: pd.DataFrame) -> list[Rle]:
    rows = zip(table["height"].tolist(), table["width"].tolist(), table["counts"], strict=True)
    return [{"size": [height, width], "counts": counts} for height, width, counts in rows]


def _score_by_model(
    tables: dict[str, pd.DataFrame],
    truth: dict[str, list[Annotation]],
    fold_of: pd.Series,
    params: RescoreParams,
    folder: Path,
) -> None:
    """Add the column `score` to all tables, and write the models and what they look at."""
    oof = tables["oof"]
    overlaps = best_overlaps(oof["name"].to_numpy(str), _rles(oof), truth)
    targets = overlaps.iou if params.target == "iou" else overlaps.iou >= HIT_IOU
    folds, used = fold_of.loc[oof["name"]].to_numpy(), ~overlaps.ignored
    _require_two_folds(folds[used], f"rescore.score {params.score}")
    names = ["area", *oof.select_dtypes("float64").columns]
    features = {split: table[names].to_numpy(float) for split, table in tables.items()}
    fitted = cross_fit(features["oof"], targets, used, folds, names, params)
    tables["oof"] = oof.assign(score=fitted.scores)
    for split in ("val", "test"):
        tables[split] = tables[split].assign(score=predict(fitted.final, features[split]))
    folder.mkdir()
    gains = pd.DataFrame({"feature": names, "gain": importances(fitted.final).round(6)})
    gains = gains.sort_values("gain", ascending=False, kind="stable")
    write_table(folder / "importance.csv", gains)
    for name, text in model_texts(fitted).items():
        (folder / f"{name}.txt").write_text(text, newline="")


def _require_two_folds(folds: np.ndarray, key: str) -> None:
    found = np.unique(folds).tolist()
    if len(found) < 2:
        raise InputError(
            f"{key} needs candidates of at least two trained folds, got them of {found}; "
            "set split_folds.folds to more folds, or find more candidates in postprocess"
        )


def _choose(table: pd.DataFrame, params: RescoreParams) -> pd.DataFrame:
    """Return the detections, by image and falling score."""
    if params.score not in MODELS:
        mean, area = table["mean_probability"].to_numpy(), table["area"].to_numpy()
        table = table.assign(score=object_scores(mean, area, params.score))
    kept = choose_detections(
        table["name"].to_numpy(str),
        _rles(table),
        table[BOX].to_numpy(),
        table["parent"].to_numpy(),
        table["score"].to_numpy(),
        params,
    )
    return table.iloc[kept]


def _mark_hits(table: pd.DataFrame, truth: dict[str, list[Annotation]]) -> pd.DataFrame:
    """Add the columns `hit` and `judged` (not matched with a crowd region)."""
    names, scores = table["name"].to_numpy(str), table["score"].to_numpy()
    found = find_hits(names, _rles(table), scores, truth)
    return table.assign(hit=found.hit, judged=~found.ignored)


def _calibrate(tables: dict[str, pd.DataFrame], fold_of: pd.Series) -> None:
    """Replace the column `score` of all tables by probabilities."""
    oof = tables["oof"]
    folds, used = fold_of.loc[oof["name"]].to_numpy(), oof["judged"].to_numpy()
    _require_two_folds(folds[used], "rescore.calibration isotonic")
    scores, final = cross_calibrate(oof["score"].to_numpy(), oof["hit"].to_numpy(), used, folds)
    tables["oof"] = oof.assign(score=scores)
    for split in ("val", "test"):
        scores = calibrate(final, tables[split]["score"].to_numpy())
        tables[split] = tables[split].assign(score=scores)


def _write_reliability(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    rows, errors = [], {}
    for split, table in tables.items():
        table = table[table["judged"]]
        errors[f"{split}.ece"] = None
        if (table["score"] <= 1).all():
            bins = reliability(table["score"].to_numpy(), table["hit"].to_numpy())
            error = expected_calibration_error(bins)
            errors[f"{split}.ece"] = None if error is None else round(error, 6)
            rows += [{"split": split} | row for row in bins]
    table = pd.DataFrame(rows, columns=["split", "bin", "count", "mean_score", "hit_rate"])
    write_table(folder / "reliability.csv", table.round(6))
    (folder / "calibration.json").write_text(json.dumps(errors, indent=2) + "\n")


def _results(table: pd.DataFrame, image_ids: pd.Series, category_id: int) -> list[dict]:
    rles = pd.Series(_rles(table), table.index, object)
    rows = table.assign(rle=rles, image_id=image_ids.loc[table["name"]].to_numpy())
    return [
        {
            "image_id": row.image_id,
            "category_id": category_id,
            "segmentation": row.rle,
            "bbox": [row.bbox_x, row.bbox_y, row.bbox_width, row.bbox_height],
            # Level ranges of a calibration differ by less than 1e-6.
            "score": round(cast("float", row.score), 8),
        }
        for row in rows.itertuples()
    ]


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
