"""What the page lets its reader explore: every image, its objects and its detections.

Detections are matched by falling score, so what becomes of one does not depend on those below it:
its outcome, found once, holds at every score from which detections may be accepted.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd

from src.acceptance.operating_point import OperatingPoint, Point
from src.base.errors import InputError
from src.base.files import read_json
from src.formats.prepared import IMAGE_TYPES
from src.reporting.galleries import Judged

FORMAT = 1  # a page reads those of others that have the same
TP, IGNORED, ACCEPTED = 1, 2, 4  # bits of what is told of a detection
SCORES = ("f1_50", "dice", "iou", "boundary_iou", "detection_accuracy")  # at the operating point
KINDS = ("found", "right", "missed", "merged", "split", "poor_outline", "duplicate", "spurious")
FOUND = ("rle", "score", "is", "kind", "iou")  # columns of detections
OF_PARTS = {"split_part": "split"}  # kinds of wrong detections that go by another name here
UNJUDGED = -1  # place in KINDS of what is not accepted, or has no truth


class PageSet(NamedTuple):
    """A set of images as the page has it."""

    record: dict[str, Any]  # name, judged, point, from
    images: list[dict[str, Any]]


def judged_set(judged: Judged, images: pd.DataFrame, points: OperatingPoint | None) -> PageSet:
    """Gather what the page tells of the images of a set that has truth.

    Parameters
    ----------
    judged : Judged
    images : DataFrame
        As `src.formats.prepared.read_images` gives them; others may be among them.
    points : OperatingPoint or None
        Where detections are accepted from, if that is known.

    Returns
    -------
    gathered : PageSet
        record: name; judged, true; point, the score that all detections are accepted from, None
        where each fold has its own or none is known; from, the score below which detections were
        not judged, being too many in their image, None where all were.
        images, in the order of `judged.images`: name, file, size (height, width, px), group,
        facts (metadata), scores (those of SCORES, None if undefined), crowd (run lengths),
        truth: rle, kind (place in KINDS) and by (place of the detection that finds it, -1 if
        none) of each object; found: rle, score, is (sum of TP, IGNORED, ACCEPTED), kind and iou (of
        the object it found, else the best) of each judged detection by falling score.

    Raises
    ------
    InputError
        If what is told of the accepted detections is not what `evaluate` has counted, or
        `analyse_errors` does not know an object.
    """
    name = judged.split
    rows = judged.matches.sort_values("score", ascending=False, kind="stable")
    matches = _by_image(_records(rows))
    truth = _by_image(judged.truth)
    told = images.set_index("name")
    outcomes = dict(zip(judged.objects["truth_id"], judged.objects["outcome"], strict=True))
    kinds = dict(zip(judged.wrong["detection"], judged.wrong["kind"], strict=True))
    records: list[dict[str, Any]] = []
    for row in _records(judged.images):
        number = row["image_id"]
        found = _found(matches[number], judged.predictions, kinds)
        place = {m["truth_id"]: n for n, m in enumerate(matches[number]) if m["tp"]}
        objects = [one for one in truth[number] if not one["iscrowd"]]
        record = _image(row["name"], told.loc[row["name"]], row["group"])
        record["scores"] = [_number(row[score]) for score in SCORES]
        record["crowd"] = [_counts(one) for one in truth[number] if one["iscrowd"]]
        record["truth"] = {
            "rle": [_counts(one) for one in objects],
            "kind": [KINDS.index(_outcome(outcomes, one["id"], name)) for one in objects],
            "by": [place.get(one["id"], -1) for one in objects],
        }
        record["found"] = found
        _refuse_other_counts(name, row, record)
        records.append(record)
    judged_places = set(judged.matches["detection"])
    others = (d["score"] for n, d in enumerate(judged.predictions) if n not in judged_places)
    point = points.all if points is not None and name == "val" else None
    return PageSet(
        {"name": name, "judged": True, "point": _told(point), "from": max(others, default=None)},
        records,
    )


def unjudged_set(predictions: Path, images: pd.DataFrame, points: OperatingPoint | None) -> PageSet:
    """Gather what the page tells of the images without truth; see `judged_set`.

    Parameters
    ----------
    predictions : Path
        test.json; not read where there is no image.
    images : DataFrame
        Those of test.
    points : OperatingPoint or None

    Returns
    -------
    gathered : PageSet
        Of the detections no kind is known; `scores`, `truth` and `crowd` are empty.
    """
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    if len(images):
        document = cast("list[dict[str, Any]]", read_json(predictions))
        found = _by_image(sorted(document, key=lambda one: -one["score"]))
    records: list[dict[str, Any]] = []
    for _, row in images.iterrows():
        record = _image(row["name"], row, row["group"])
        of_image = found[row["image_id"]]
        nothing: dict[str, list[Any]] = {"rle": [], "kind": [], "by": []}
        record |= {"scores": [None] * len(SCORES), "crowd": [], "truth": nothing}
        record["found"] = {
            "rle": [_counts(one) for one in of_image],
            "score": [float(one["score"]) for one in of_image],
            "is": [ACCEPTED * bool(one.get("accepted", True)) for one in of_image],
            "kind": [UNJUDGED] * len(of_image),
            "iou": [None] * len(of_image),
        }
        records.append(record)
    point = _told(points.all if points is not None else None)
    return PageSet({"name": "test", "judged": False, "point": point, "from": None}, records)


def page_data(
    title: str, metrics: dict[str, Any], sets: list[PageSet], images: pd.DataFrame
) -> dict[str, Any]:
    """Put sets together as the document that the page reads, its own and those of other runs.

    Parameters
    ----------
    title : str
    metrics : dict
        The headline of `evaluate`.
    sets : list of PageSet
    images : DataFrame
        Whose further columns, the metadata, are named.

    Returns
    -------
    data : dict
        Of what JSON can tell. Each image has `set`, the place of its set.
    """
    kept = [one for one in sets if one.images]
    return {
        "format": FORMAT,
        "title": title,
        "metrics": metrics,
        "kinds": KINDS,
        "scores": SCORES,
        "facts": _fact_columns(images),
        "sets": [one.record for one in kept],
        "images": [{"set": n} | image for n, one in enumerate(kept) for image in one.images],
    }


def _found(
    matches: list[dict[str, Any]], predictions: list[dict[str, Any]], kinds: dict[int, str]
) -> dict[str, list[Any]]:
    """Return the columns of the detections of one image."""
    columns: dict[str, list[Any]] = {name: [] for name in FOUND}
    for row in matches:
        accepted, right = bool(row["accepted"]), bool(row["tp"])
        kind = "right" if right else kinds.get(row["detection"], "") if accepted else ""
        kind = OF_PARTS.get(kind, kind)
        columns["rle"].append(_counts(predictions[row["detection"]]))
        columns["score"].append(float(row["score"]))
        flags = TP * right + IGNORED * bool(row["ignored"]) + ACCEPTED * accepted
        columns["is"].append(flags)
        columns["kind"].append(KINDS.index(kind) if kind else UNJUDGED)
        columns["iou"].append(round(float(row["iou"]), 3))
    return columns


def _outcome(outcomes: dict[int, str], number: int, split: str) -> str:
    if number not in outcomes:
        raise InputError(f"objects_{split}.csv: has no object {number}; run analyse_errors again")
    return outcomes[number]


def _refuse_other_counts(split: str, row: dict[str, Any], record: dict[str, Any]) -> None:
    flags = [is_ for is_ in record["found"]["is"] if is_ & ACCEPTED]
    right = sum(is_ & TP for is_ in flags)
    wrong = sum(not is_ & (TP | IGNORED) for is_ in flags)
    told = right, wrong, len(record["truth"]["rle"]) - right
    counted = row["tp"], row["fp"], row["fn"]
    if told != counted:
        raise InputError(
            f"{row['name']} of {split}: its detections are {told} right, wrong and missed, and "
            f"images_{split}.csv has {counted}; run evaluate again"
        )


def _image(name: str, told: pd.Series, group: str) -> dict[str, Any]:
    return {
        "name": name,
        "file": told["file_name"],
        "size": [int(told["height"]), int(told["width"])],
        "group": str(group),
        "facts": [str(told[column]) for column in _fact_columns(told.to_frame().T)],
    }


def _fact_columns(images: pd.DataFrame) -> list[str]:
    return [column for column in images.columns if column not in {*IMAGE_TYPES, "name"}]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", table.to_dict("records"))


def _by_image(rows: list[dict[str, Any]]) -> defaultdict[int, list[dict[str, Any]]]:
    of_image: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_image[row["image_id"]].append(row)
    return of_image


def _counts(record: dict[str, Any]) -> str:
    return record["segmentation"]["counts"]


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _told(point: Point | None) -> float | None:
    return None if point is None else point.score
