"""Pictures of the images of a split that tell most: best and worst, and each kind of error."""

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from src.base.files import read_json
from src.formats.archive import ImageArchive
from src.formats.prepared import read_picture, read_truth
from src.formats.tables import read_parquet, read_table
from src.objects.rle import decode
from src.reporting.error_figures import KINDS
from src.reporting.overlays import draw_outcomes, list_error, list_outcomes, window_around
from src.reporting.params import ReportParams
from src.reporting.pictures import encode_picture

SPLIT_OF = {"oof": "train", "val": "val"}  # judged -> where its truth is
WINDOW = 96  # px, around an error shown close up
IMAGES = {"name": str, "image_id": int, "tp": int, "fp": int, "fn": int}
IMAGES |= {"f1_50": float, "dice": float}
MATCHES = ("image_id", "detection", "tp", "ignored", "truth_id", "accepted")
WORST = {"kind": str, "place": int, "name": str, "errors": int, "share": float}
OBJECTS = {"name": str, "truth_id": int, "outcome": str, "detection": int}
WRONG = {"name": str, "detection": int, "kind": str, "truth_id": int}
Shown = dict[str, list[tuple[str, dict]]]  # kind -> (file name, what its caption tells)


class Judged(NamedTuple):
    """What is known of the judged images of one split."""

    split: str  # oof or val
    images: pd.DataFrame  # counts and scores of each
    truth: list[dict]  # annotations
    predictions: list[dict]
    matches: pd.DataFrame  # of the predictions that are accepted
    worst: pd.DataFrame  # images with most errors, of each kind and of all
    objects: pd.DataFrame  # outcome of each object
    wrong: pd.DataFrame  # kind of each wrong detection


def read_judged(
    split: str, prepared: Path, predictions: Path, evaluation: Path, errors: Path
) -> Judged:
    """Read what the pictures of one split are drawn from.

    Parameters
    ----------
    split : {"oof", "val"}
    prepared, predictions, evaluation, errors : Path
        Folders of `prepare_masks`, `rescore`, `evaluate` and `analyse_errors`.

    Raises
    ------
    InputError
        If a file is absent or not as its stage writes it.
    """
    matches = read_parquet(evaluation / f"detections_{split}.parquet", "evaluate", MATCHES)
    return Judged(
        split=split,
        images=read_table(evaluation / f"images_{split}.csv", "evaluate", IMAGES),
        truth=read_truth(prepared, SPLIT_OF[split])["annotations"],
        predictions=cast("list[dict]", read_json(predictions / f"{split}.json")),
        matches=matches[matches["accepted"].astype(bool)],
        worst=read_table(errors / f"worst_{split}.csv", "analyse_errors", WORST),
        objects=read_table(errors / f"objects_{split}.csv", "analyse_errors", OBJECTS),
        wrong=read_table(errors / f"detections_{split}.csv", "analyse_errors", WRONG),
    )


def draw_overlays(
    judged: Judged, photos: dict[str, ImageArchive], params: ReportParams
) -> tuple[Shown, dict[str, bytes]]:
    """Show what was found and missed in the best, median and worst images and those of most errors.

    Parameters
    ----------
    judged : Judged
    photos : dict
        As `src.formats.prepared.open_photos` gives them.
    params : ReportParams

    Returns
    -------
    shown : dict
        best, median, worst, most errors -> (file, row of the image in `judged.images`).
    pictures : dict
        File name -> PNG.
    """
    images = judged.images.to_dict("records")
    told = {row["name"]: row for row in images}
    picked = pick_images(images, params.overlays)
    most = judged.worst["name"][judged.worst["kind"] == "all"]
    picked["most errors"] = [told[name] for name in most]
    shown, pictures = {}, {}
    for kind, rows in picked.items():
        shown[kind] = []
        for place, row in enumerate(rows, start=1):
            picture = draw_outcomes(
                read_picture(photos, row["name"]),
                _outcomes_of(judged, row["image_id"]),
                params.scale,
            )
            file = f"overlay_{judged.split}_{kind.replace(' ', '_')}_{place}.png"
            pictures[file] = encode_picture(picture)
            shown[kind].append((file, row))
    return shown, pictures


def draw_close_ups(
    judged: Judged, photos: dict[str, ImageArchive], params: ReportParams
) -> tuple[Shown, dict[str, bytes]]:
    """Show of each kind of error the largest one in the images that have most of that kind.

    Parameters
    ----------
    judged : Judged
    photos : dict
        As `src.formats.prepared.open_photos` gives them.
    params : ReportParams

    Returns
    -------
    shown : dict
        Kind of error -> (file, row of `judged.worst`); kinds without an error are left out.
    pictures : dict
        File name -> PNG.
    """
    truth = {annotation["id"]: annotation for annotation in judged.truth}
    shown, pictures = {}, {}
    for row in judged.worst.to_dict("records"):
        kind, name = row["kind"], row["name"]
        if kind not in KINDS or row["place"] > 2 * params.overlays:
            continue
        objects, wrong = (
            table[table["name"] == name].to_dict("records")
            for table in (judged.objects, judged.wrong)
        )
        listed = list_error(kind, objects, wrong, truth, judged.predictions)
        outcomes = [(outcome, decode(rle)) for outcome, rle in listed]
        around = [mask for outcome, mask in outcomes if outcome == "fn"]
        around = around or [mask for outcome, mask in outcomes if outcome == "fp"]
        window = window_around(max(around, key=np.count_nonzero), WINDOW)
        photo = np.ascontiguousarray(read_picture(photos, name)[window])
        outcomes = [(outcome, np.ascontiguousarray(mask[window])) for outcome, mask in outcomes]
        file = f"error_{judged.split}_{kind}_{row['place']}.png"
        pictures[file] = encode_picture(draw_outcomes(photo, outcomes, params.scale))
        shown.setdefault(kind, []).append((file, row))
    return shown, pictures


def pick_images(rows: list[dict], count: int) -> dict[str, list[dict]]:
    """Pick the best, the median and the worst images.

    Parameters
    ----------
    rows : list of dict
        name, f1_50, dice, tp, fp, fn of each image. Images without truth and detections are
        left out.
    count : int
        Images of each kind, at least 1; fewer where the kinds would overlap.

    Returns
    -------
    picked : dict
        "best" (best first), "median" (in between, better first), "worst" (worst first), by
        f1_50, then dice, then name. Empty lists without an image.
    """
    rows = [row for row in rows if row["tp"] + row["fp"] + row["fn"]]
    rows = sorted(rows, key=lambda row: (-row["f1_50"], -row["dice"], row["name"]))
    count = min(count, max(len(rows) // 3, 1))
    middle = (len(rows) - count) // 2
    return {
        "best": rows[:count],
        "median": rows[middle : middle + count] if rows else [],
        "worst": rows[::-1][:count],
    }


def _outcomes_of(judged: Judged, image_id: int) -> list[tuple[str, np.ndarray]]:
    annotations = [one for one in judged.truth if one["image_id"] == image_id]
    matches = judged.matches[judged.matches["image_id"] == image_id].to_dict("records")
    listed = list_outcomes(annotations, matches, judged.predictions)
    return [(outcome, decode(rle)) for outcome, rle in listed]
