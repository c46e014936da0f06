"""The scores of the report as text: metrics by splits, with their intervals."""

from pathlib import Path
from typing import NamedTuple

from src.base.errors import InputError
from src.base.files import read_json
from src.formats.tables import read_table
from src.reporting.markdown import markdown_table

METRICS = {  # name in metrics.json or metrics.csv -> in plain words
    "ap50": "Average precision at IoU 0.50",
    "ar50": "Average recall at IoU 0.50",
    "ap": "Average precision, mean over IoU 0.50 to 0.95",
    "ar": "Average recall, mean over IoU 0.50 to 0.95",
    "ap75": "Average precision at IoU 0.75",
    "ap50_small": "AP at IoU 0.50 of objects below 14 x 14 px",
    "ap50_large": "AP at IoU 0.50 of objects from 14 x 14 px",
    "ar50_small": "AR at IoU 0.50 of objects below 14 x 14 px",
    "ar50_large": "AR at IoU 0.50 of objects from 14 x 14 px",
    "ap_coco_small": "AP, mean over IoU, of objects up to 32 x 32 px",
    "ap_coco_medium": "AP, mean over IoU, of objects from 32 x 32 to 96 x 96 px",
    "ap_coco_large": "AP, mean over IoU, of objects from 96 x 96 px",
    "ar_coco_small": "AR, mean over IoU, of objects up to 32 x 32 px",
    "ar_coco_medium": "AR, mean over IoU, of objects from 32 x 32 to 96 x 96 px",
    "ar_coco_large": "AR, mean over IoU, of objects from 96 x 96 px",
    "operating_point": "Score from which detections are accepted",
    "f1_50": "F1 of objects matched at IoU 0.50",
    "f1_histogram_50": "F1 of objects matched at IoU 0.50 without regard to scores",
    "precision_50": "Share of detections that are right",
    "recall_50": "Share of objects that are found",
    "detection_accuracy": "TP / (TP + FP + FN), mean over IoU 0.50 to 0.95 and images",
    "detection_accuracy_50": "TP / (TP + FP + FN) of all objects at IoU 0.50",
    "detection_accuracy_75": "TP / (TP + FP + FN) of all objects at IoU 0.75",
    "pq": "Panoptic quality: SQ times RQ",
    "sq": "SQ, mean IoU of the matches",
    "rq": "RQ, F1 of the matches above IoU 0.50",
    "dice_mean": "Dice of the pixels, mean over images",
    "iou_mean": "IoU of the pixels, mean over images",
    "boundary_iou_mean": "IoU of the bands along the outlines, mean over images",
    "polis": "PoLiS, px: mean distance between the polygons found and their objects",
    "boundary_f": "F-score of the outlines within 2 px",
    "vertex_ratio": "Corners of the polygons found to those of their objects",
    "c_iou": "C-IoU: IoU of the polygons, less where their corners are more or fewer",
    "ece": "Expected calibration error of the scores",
    "images": "Images judged",
    "objects": "Objects in them",
    "detections": "Detections accepted in them",
    "ap50_clean": "Average precision at IoU 0.50 on images of no training group",
    "f1_50_clean": "F1 of objects at IoU 0.50 on images of no training group",
    "images_clean": "Images of no training group",
}
OF_NO_DETECTIONS = {"operating_point", "images", "objects", "images_clean"}
JUDGES = {  # metric -> which detections it judges: all, best first, or the accepted ones
    name: "ranking" if name.startswith(("ap", "ar", "ece")) else "operating point"
    for name in METRICS
    if name not in OF_NO_DETECTIONS
}
UNDEFINED = "–"
TITLE_METRIC = ("ap50", "AP50")


class Scores(NamedTuple):
    """What the judged predictions are worth, as text."""

    data: str  # fingerprint of the truth that they were judged by; "" where it is not told
    splits: list[str]
    headline: list[tuple]  # (name, plain words, a text of each split), see `headline_rows`
    further: list[tuple]  # likewise, all other metrics


def read_scores(metrics: Path, table: Path) -> Scores:
    """Read what `evaluate` found.

    Parameters
    ----------
    metrics : Path
        metrics.json, the headline.
    table : Path
        metrics.csv, every metric with its interval.

    Raises
    ------
    InputError
        If one is absent or not as `evaluate` writes it.
    """
    found = read_json(metrics)
    if not isinstance(found, dict):
        raise InputError(f"{metrics}: no map of metrics to numbers; run evaluate again")
    splits, headline = headline_rows(found)
    columns = ("split", "images", "metric", "value", "low", "high")
    rows = read_table(table, "evaluate", columns).to_dict("records")
    try:
        told = _texts_with_intervals(rows)
    except ValueError as error:
        raise InputError(f"{table}: {error}; run evaluate again") from None
    shown = []
    for name, words, plain in headline:
        texts = told.get(name, (words, {}))[1]
        pairs = zip(splits, plain, strict=True)
        known = [texts.get(s, text) if text != UNDEFINED else text for s, text in pairs]
        shown.append((name, words, known))
    listed = {name for name, _, _ in headline}
    further = [
        (name, words, [texts.get(split, UNDEFINED) for split in splits])
        for name, (words, texts) in told.items()
        if name not in listed and not name.endswith("_clean")
    ]
    return Scores(str(found.get("data", "")), splits, shown, further)


def title_of(data_set: str, scores: Scores) -> str:
    """Name a page by its data set and its first figure: of val, or of oof where there is no val."""
    name, words = TITLE_METRIC
    rows = [texts for metric, _, texts in scores.headline if metric == name]
    for split, text in reversed(list(zip(scores.splits, rows[0], strict=True)) if rows else []):
        if text != UNDEFINED:
            return f"{data_set}: {words} {text.partition(' ')[0]} on {split}"
    return data_set


def headline_rows(metrics: dict[str, float | int | str | None]) -> tuple[list[str], list[tuple]]:
    """Arrange flat metrics as a table of metrics by splits.

    Parameters
    ----------
    metrics : dict
        "<split>.<metric>" -> number or None. What is text tells of the data, and is no metric.

    Returns
    -------
    splits : list of str
        In order of appearance.
    rows : list of (name, plain words, list of str)
        Known metrics in the order of METRICS, then all others under their own name; one text per
        split, UNDEFINED where the split has no such number.
    """
    numbers = {key: value for key, value in metrics.items() if not isinstance(value, str)}
    splits = list(dict.fromkeys(key.partition(".")[0] for key in numbers))
    found = list(dict.fromkeys(key.partition(".")[2] for key in numbers))
    names = [name for name in METRICS if name in found]
    names += [name for name in found if name not in METRICS]
    return splits, [
        (name, METRICS.get(name, name), [as_text(numbers.get(f"{s}.{name}")) for s in splits])
        for name in names
    ]


def interval_rows(rows: list[dict], images: str) -> tuple[list[str], list[tuple]]:
    """Arrange the rows of metrics.csv as `headline_rows` does, each value with its interval.

    Parameters
    ----------
    rows : list of dict
        split, images, metric, and value, low, high as text: "" where there is none.
    images : str
        Which of them: "all", or "clean".

    Returns
    -------
    splits : list of str
    rows : list of (name, plain words, list of str)
        A text is "0.7298 [0.6900, 0.7600]", without brackets where there is no interval.
    """
    chosen = [row for row in rows if row["images"] == images]
    texts = {f"{row['split']}.{row['metric']}": _with_bounds(row) for row in chosen}
    splits, found = headline_rows(dict.fromkeys(texts))
    return splits, [
        (name, words, [texts.get(f"{split}.{name}", UNDEFINED) for split in splits])
        for name, words, _ in found
    ]


def _texts_with_intervals(rows: list[dict]) -> dict[str, tuple[str, dict[str, str]]]:
    """Return metric, "_clean" behind it for the clean images, -> (plain words, split -> text)."""
    texts = {}
    for images, behind in (("all", ""), ("clean", "_clean")):
        splits, told = interval_rows(rows, images)
        for name, words, of_splits in told:
            texts[name + behind] = words, dict(zip(splits, of_splits, strict=True))
    return texts


def _with_bounds(row: dict) -> str:
    value, low, high = (number_in(row[key]) for key in ("value", "low", "high"))
    text = as_text(int(row["value"]) if row["value"].isdecimal() else value)
    return text if low is None else f"{text} [{low:.4f}, {high:.4f}]"


def as_text(number: float | int | None) -> str:
    """Write a count with separators, a fraction with four decimals, None as UNDEFINED."""
    if number is None:
        return UNDEFINED
    return f"{number:,}" if isinstance(number, int) else f"{number:.4f}"


def headline_markdown(splits: list[str], rows: list[tuple]) -> str:
    """Write the result of `headline_rows` as a Markdown table."""
    header = ["", "metric", "judges", *splits]
    told = [[words, name, JUDGES.get(name, ""), *texts] for name, words, texts in rows]
    return markdown_table(header, told)


def number_in(cell: str) -> float | None:
    """Return the number in a cell, None if it is empty. Raises ValueError if it is no number."""
    return float(cell) if cell else None
