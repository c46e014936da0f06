"""Pictures of what labels and out-of-fold predictions disagree on most."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.formats.archive import ImageArchive
from src.formats.prepared import read_picture
from src.formats.tables import read_table
from src.objects.rle import crop_mask
from src.reporting.galleries import WINDOW, Judged, Pictured
from src.reporting.overlays import Shown, draw_outcomes, in_window, window_around
from src.reporting.params import ReportParams
from src.reporting.pictures import encode_picture

SUSPECTS = {"image": str, "object_id": int, "kind": str, "disagreement": float, "detection": int}
LABEL_ERRORS = {  # kinds in the order of the page, in plain words
    "not_found": "Objects that no detection overlaps",
    "not_annotated": "Detections where nothing is annotated",
    "outline": "Objects whose detection has another outline",
}


def read_suspects(path: Path) -> pd.DataFrame:
    """Read what find_label_errors listed, the most suspicious first.

    Raises
    ------
    InputError
        If the table is absent or not as that stage writes it.
    """
    table = read_table(path, "find_label_errors", SUSPECTS)
    strange = table["kind"][~table["kind"].isin(list(LABEL_ERRORS))]
    if len(strange):
        raise InputError(
            f"{path}: '{strange.iloc[0]}' is no kind of {', '.join(LABEL_ERRORS)}; run "
            "find_label_errors again"
        )
    return table


def draw_label_errors(
    suspects: pd.DataFrame,
    judged: Judged,
    photos: dict[str, ImageArchive],
    params: ReportParams,
) -> tuple[Pictured, dict[str, bytes]]:
    """Show of each kind what is most suspicious, the label over the detection.

    Parameters
    ----------
    suspects : DataFrame
        From `read_suspects`.
    judged : Judged
        Of oof.
    photos : dict
        As `src.formats.prepared.open_photos` gives them.
    params : ReportParams

    Returns
    -------
    shown : dict
        Kind -> (file, row of `suspects`), at most `params.close_ups`; kinds without any are left
        out.
    pictures : dict
        File name -> PNG.

    Raises
    ------
    InputError
        If a suspect is of an annotation or a detection that there is not.
    """
    truth = {annotation["id"]: annotation for annotation in judged.truth}
    shown: Pictured = {}
    pictures: dict[str, bytes] = {}
    for kind, rows in suspects.groupby("kind", sort=False):
        for place, row in enumerate(rows.head(params.close_ups).to_dict("records"), start=1):
            masks = _masks(row, truth, judged.predictions)
            largest = max(masks, key=lambda one: np.count_nonzero(one.mask))
            photo = read_picture(photos, row["image"])
            window = window_around(largest, photo.shape, WINDOW)
            seen = filter(None, (in_window(one, window) for one in masks))
            file = f"label_{kind}_{place}.png"
            drawn = draw_outcomes(np.ascontiguousarray(photo[window]), seen, params.scale)
            pictures[file] = encode_picture(drawn)
            shown.setdefault(str(kind), []).append((file, row))
    return shown, pictures


def _masks(row: dict, truth: dict[int, dict], predictions: list[dict]) -> list[Shown]:
    known = row["object_id"] < 0 or row["object_id"] in truth
    if not known or row["detection"] >= len(predictions):
        raise InputError(
            f"label_errors: object {row['object_id']} or detection {row['detection']} of "
            f"{row['image']} is not there any more; run find_label_errors again"
        )
    masks = []
    if row["detection"] >= 0:
        masks.append(Shown("fp", *crop_mask(predictions[row["detection"]]["segmentation"])))
    if row["object_id"] >= 0:
        masks.append(Shown("fn", *crop_mask(truth[row["object_id"]]["segmentation"])))
    return masks
