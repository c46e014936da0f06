"""Score the candidates, choose among them and say which are accepted, as COCO results.

    python -m stages.rescore data/prepared data/folds.csv data/candidates data/predictions

What is learnt or chosen (second-level model, calibration, operating point) is learnt, for the oof
images of a fold, from those of the other folds, for val and test from all. Where a single fold is
trained its images are dealt into parts in place of folds, whole groups at a time (`group` of
folds.csv). The truth of val only judges. See src/scoring/learning.py.

Reads  prepared/{train,val,test}/images.csv, prepared/{train,val}/truth.json, folds.csv
       candidates/{oof,val,test}.parquet  their features are `area` and all columns of floats
       candidates/learn_<part>.parquet    what a part (a fold, or all) learns from, where that is
                                          not rows of oof.parquet
Writes predictions/{oof,val,test}.json    COCO results: image_id, category_id, segmentation
                                          (compressed RLE), bbox XYWH, score, accepted (score is at
                                          least the operating point of the part)
       predictions/operating_point.json   as src.acceptance.operating_point writes it
       predictions/learnt.json            what val and test are scored by, as
                                          src.scoring.learnt_file writes it
       predictions/reliability.csv        split,bin,count,mean_score,hit_rate: ten bins of scores
       predictions/calibration.json       {"<split>.ece": expected calibration error}, null where
                                          a score is above 1 or there is none
       predictions/second_level/          of a learnt score: importance.csv (feature,gain: share of
                                          all gain), and lightgbm's models as text: final.txt,
                                          fold<k>.txt, which scores the fold and was learnt from
                                          others (random_forest has no format that is safe)
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from src.acceptance.operating_point import OperatingPoint, write_operating_point
from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams, read_folds
from src.formats.prepared import LABELLED, Annotation, read_images, read_truth
from src.formats.prepared import SPLITS as PREPARED
from src.formats.tables import read_parquet, write_table
from src.parts.image_parts import ALL, image_parts, learning_images
from src.scoring.calibration import expected_calibration_error, reliability
from src.scoring.candidate_tables import COLUMNS, candidate_rles, feature_names, rows_of_images
from src.scoring.candidate_targets import Overlaps, annotations_by_name, best_overlaps, find_hits
from src.scoring.learning import Learnt, detect, learn
from src.scoring.learnt_file import write_learnt
from src.scoring.params import MODELS, RescoreParams, given_point
from src.scoring.second_level import Fitted, importances, model_text

SPLITS = ("oof", "val", "test")


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
    images = image_parts(read_folds(args.folds), folds)
    coco = {split: read_truth(args.prepared, split) for split in LABELLED}
    truth = {"oof": annotations_by_name(coco["train"]), "val": annotations_by_name(coco["val"])}
    paths = {split: args.candidates / f"{split}.parquet" for split in SPLITS}
    tables = {split: read_parquet(path, "postprocess", COLUMNS) for split, path in paths.items()}
    for split, table in tables.items():
        where = f"in an images.csv of {args.prepared}"
        _require(image_ids.index, table["name"], paths[split], where)
    where = f"in a trained fold of {args.folds}"
    _require(images.index, tables["oof"]["name"], paths["oof"], where)
    with new_folder(args.predictions) as folder:
        learnt = _learn(tables["oof"], args.candidates, truth["oof"], images, params)
        _tell_what_was_not_learnt(learnt, params)
        detections = {split: detect(tables[split], learnt[ALL]) for split in ("val", "test")}
        detections["oof"] = _detect_parts(tables["oof"], images["part"], learnt)
        _write_models(learnt, feature_names(tables["oof"]), folder / "second_level")
        write_learnt(folder / "learnt.json", learnt[ALL], feature_names(tables["oof"]))
        points = {part: one.point for part, one in learnt.items()}
        metric = params.operating_metric if given_point(params) is None else None
        point = OperatingPoint(metric, points.pop(ALL), points)
        write_operating_point(folder / "operating_point.json", point)
        judged = {split: _mark_hits(detections[split], truth[split]) for split in truth}
        _write_reliability(judged, folder)
        for split in SPLITS:
            found = detections[split]
            results = _results(found, image_ids, coco["train"]["categories"][0]["id"])
            (folder / f"{split}.json").write_text(json.dumps(results))
            counts = f"{len(tables[split])} {split} candidates, {int(found['accepted'].sum())}"
            print(f"{len(found)} of {counts} of them accepted")


def _require(known: pd.Index, names: pd.Series, origin: Path, where: str) -> None:
    """Refuse candidates of images that a table does not list."""
    unknown = names[~names.isin(known)]
    if len(unknown):
        raise InputError(
            f"{origin}: has candidates of '{unknown.iloc[0]}', which is not {where}; run ensemble "
            "and postprocess again"
        )


def _learn(
    oof: pd.DataFrame,
    folder: Path,
    truth: dict[str, list[Annotation]],
    images: pd.DataFrame,
    params: RescoreParams,
) -> dict[str, Learnt]:
    """Learn what each part of the oof images, and val and test, are scored by."""
    of_oof = _overlaps(oof, truth, params)
    learnt: dict[str, Learnt] = {}
    fitted: Fitted = {}
    looked_at = learning_images(images["part"]).items()
    for part, seen in tqdm(looked_at, "learn to score", unit="part", delay=2):
        known = images[seen]
        own_truth = {name: truth[name] for name in known.index if name in truth}
        path = folder / f"learn_{part}.parquet"
        if path.exists():
            table = read_parquet(path, "postprocess", COLUMNS)
            _require(known.index, table["name"], path, f"one that {part} may learn from")
            overlaps = _overlaps(table, own_truth, params)
        else:
            rows = oof["name"].isin(known.index).to_numpy()
            table = rows_of_images(oof, rows)
            overlaps = Overlaps(*(column[rows] for column in of_oof))
        learnt[part] = learn(table, overlaps, own_truth, known, params, fitted)
    return learnt


def _overlaps(
    table: pd.DataFrame, truth: dict[str, list[Annotation]], params: RescoreParams
) -> Overlaps:
    if params.score not in MODELS:  # nobody looks at them
        return Overlaps(np.zeros(len(table)), np.zeros(len(table), bool))
    return best_overlaps(table["name"].to_numpy(str), candidate_rles(table), truth)


def _tell_what_was_not_learnt(learnt: dict[str, Learnt], params: RescoreParams) -> None:
    def named(parts: list[str]) -> str:
        return ", ".join("val and test" if part == ALL else f"fold {part}" for part in parts)

    asked = params.calibration != "none"
    plain = [part for part, one in learnt.items() if one.params.score != params.score]
    if plain:
        print(
            f"rescore.score {params.score} has no candidates of two groups of other images to "
            f"learn from: {named(plain)} scored by mean probability{', not calibrated' * asked}."
        )
    bare = [part for part, one in learnt.items() if asked and one.calibrator is None]
    bare = [part for part in bare if part not in plain]
    if bare:
        print(
            f"rescore.calibration {params.calibration} has no detection of other images to learn "
            f"from: {named(bare)} not calibrated."
        )


def _detect_parts(oof: pd.DataFrame, parts: pd.Series, learnt: dict[str, Learnt]) -> pd.DataFrame:
    """Make detections of the oof candidates, those of each part by what it has learnt."""
    of_row = parts[oof["name"]].to_numpy(str)
    found = [
        detect(rows_of_images(oof, of_row == part), one)
        for part, one in learnt.items()
        if part != ALL
    ]
    if not found:
        return detect(oof, learnt[ALL])  # there is no image
    return pd.concat(found).sort_values("name", kind="stable", ignore_index=True)


def _write_models(learnt: dict[str, Learnt], names: list[str], folder: Path) -> None:
    """Write the models and what the one of val and test looks at."""
    models = {part: one.model for part, one in learnt.items() if one.model is not None}
    if models:
        folder.mkdir()
    if ALL in models:
        gains = pd.DataFrame({"feature": names, "gain": importances(models[ALL]).round(6)})
        gains = gains.sort_values("gain", ascending=False, kind="stable")
        write_table(folder / "importance.csv", gains)
    for part, model in models.items():
        name, text = "final" if part == ALL else f"fold{part}", model_text(model)
        if text is not None:
            (folder / f"{name}.txt").write_text(text, newline="")


def _mark_hits(table: pd.DataFrame, truth: dict[str, list[Annotation]]) -> pd.DataFrame:
    """Add the columns `hit` and `judged` (not matched with a crowd region)."""
    names, scores = table["name"].to_numpy(str), table["score"].to_numpy()
    found = find_hits(names, candidate_rles(table), scores, truth)
    return table.assign(hit=found.hit, judged=~found.ignored)


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
    rles = pd.Series(candidate_rles(table), table.index, object)
    rows = table.assign(rle=rles, image_id=image_ids.loc[table["name"]].to_numpy())
    return [
        {
            "image_id": row.image_id,
            "category_id": category_id,
            "segmentation": row.rle,
            "bbox": [row.bbox_x, row.bbox_y, row.bbox_width, row.bbox_height],
            "score": row.score,
            "accepted": row.accepted,
        }
        for row in rows.itertuples()
    ]


if __name__ == "__main__":
    run_stage(main)
