"""What is known of the judged images of a split, and pictures of each kind of error in them."""

from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from src.base.files import read_json
from src.formats.archive import ImageArchive
from src.formats.prepared import read_picture, read_truth
from src.formats.tables import read_parquet, read_table
from src.objects.rle import crop_mask
from src.reporting.error_figures import KINDS
from src.reporting.overlays import (
    Shown,
    draw_outcomes,
    in_window,
    list_error,
    window_around,
)
from src.reporting.params import ReportParams
from src.reporting.pictures import encode_picture

SPLIT_OF = {"oof": "train", "val": "val"}  # judged -> where its truth is
WINDOW = 96  # px, around an error shown close up
IMAGES = {"name": str, "image_id": int, "tp": int, "fp": int, "fn": int}
IMAGES |= dict.fromkeys(("f1_50", "dice", "iou", "boundary_iou", "detection_accuracy"), float)
IMAGES |= {"group": str}
MATCHES = ("image_id", "detection", "score", "tp", "ignored", "truth_id", "iou", "accepted")
WORST = {"kind": str, "place": int, "name": str, "errors": int, "share": float}
OBJECTS = {"name": str, "truth_id": int, "outcome": str, "detection": int}
WRONG = {"name": str, "detection": int, "kind": str, "truth_id": int}
Pictured = dict[str, list[tuple[str, dict]]]  # kind -> (file name, what its caption tells)


class Judged(NamedTuple):
    """What is known of the judged images of one split."""

    split: str  # oof or val
    images: pd.DataFrame  # counts and scores of each
    truth: list[dict]  # annotations
    predictions: list[dict]
    matches: pd.DataFrame  # of the predictions that were judged, accepted or not
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
    return Judged(
        split=split,
        images=read_table(evaluation / f"images_{split}.csv", "evaluate", IMAGES),
        truth=read_truth(prepared, SPLIT_OF[split])["annotations"],
        predictions=cast("list[dict]", read_json(predictions / f"{split}.json")),
        matches=read_parquet(evaluation / f"detections_{split}.parquet", "evaluate", MATCHES),
        worst=read_table(errors / f"worst_{split}.csv", "analyse_errors", WORST),
        objects=read_table(errors / f"objects_{split}.csv", "analyse_errors", OBJECTS),
        wrong=read_table(errors / f"detections_{split}.csv", "analyse_errors", WRONG),
    )


def draw_close_ups(
    judged: Judged, photos: dict[str, ImageArchive], params: ReportParams
) -> tuple[Pictured, dict[str, bytes]]:
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
        if kind not in KINDS or row["place"] > params.close_ups:
            continue
        objects, wrong = (
            table[table["name"] == name].to_dict("records")
            for table in (judged.objects, judged.wrong)
        )
        listed = list_error(kind, objects, wrong, truth, judged.predictions)
        masks = [Shown(outcome, *crop_mask(rle)) for outcome, rle in listed]
        around = [one for one in masks if one.outcome == "fn"]
        around = around or [one for one in masks if one.outcome == "fp"]
        largest = max(around, key=lambda one: np.count_nonzero(one.mask))
        photo = read_picture(photos, name)
        window = window_around(largest, photo.shape, WINDOW)
        seen = filter(None, (in_window(one, window) for one in masks))
        photo = np.ascontiguousarray(photo[window])
        file = f"error_{judged.split}_{kind}_{row['place']}.png"
        pictures[file] = encode_picture(draw_outcomes(photo, seen, params.scale))
        shown.setdefault(kind, []).append((file, row))
    return shown, pictures
