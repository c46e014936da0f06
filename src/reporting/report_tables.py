"""Tables of the report: the headline, the ablations, and which images to show."""

from typing import NamedTuple

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
    "ece": "Expected calibration error of the scores",
    "images": "Images judged",
    "objects": "Objects in them",
    "detections": "Detections judged",
    "ap50_clean": "Average precision at IoU 0.50 on images of no training group",
    "f1_50_clean": "F1 of objects at IoU 0.50 on images of no training group",
    "images_clean": "Images of no training group",
}
LOW, HIGH = "_difference_low", "_difference_high"  # behind the name of a metric
NO_INTERVAL = (
    "In [ ] is the 95 % interval of a difference; where it holds 0, one is not sure of any. "
    "A difference without an interval is no gain: it may be chance."
)
UNDEFINED = "–"


class SetRow(NamedTuple):
    """What one split holds, as text."""

    split: str
    images: str
    objects: str
    empty: str  # images without an object
    coverage: str  # mean share of object pixels
    sizes: str  # height x width in px, as ranges


class AblationRow(NamedTuple):
    """One experiment; differences are empty for the baseline and where a value is missing."""

    experiment: str
    changes: str
    values: list[str]
    differences: list[str]  # "+0.0100 [-0.0050, +0.0250] not sure"


def headline_rows(metrics: dict[str, float | int | None]) -> tuple[list[str], list[tuple]]:
    """Arrange flat metrics as a table of metrics by splits.

    Parameters
    ----------
    metrics : dict
        "<split>.<metric>" -> number or None.

    Returns
    -------
    splits : list of str
        In order of appearance.
    rows : list of (name, plain words, list of str)
        Known metrics in the order of METRICS, then all others under their own name; one text per
        split, UNDEFINED where the split has no such number.
    """
    splits = list(dict.fromkeys(key.partition(".")[0] for key in metrics))
    found = list(dict.fromkeys(key.partition(".")[2] for key in metrics))
    names = [name for name in METRICS if name in found]
    names += [name for name in found if name not in METRICS]
    return splits, [
        (name, METRICS.get(name, name), [as_text(metrics.get(f"{s}.{name}")) for s in splits])
        for name in names
    ]


def interval_rows(rows: list[dict[str, str]], images: str) -> tuple[list[str], list[tuple]]:
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


def _with_bounds(row: dict[str, str]) -> str:
    value, low, high = (_number(row[key]) for key in ("value", "low", "high"))
    text = as_text(int(value) if row["value"].isdecimal() else value)
    return text if low is None else f"{text} [{low:.4f}, {high:.4f}]"


def as_text(number: float | int | None) -> str:
    """Write a count with separators, a fraction with four decimals, None as UNDEFINED."""
    if number is None:
        return UNDEFINED
    return f"{number:,}" if isinstance(number, int) else f"{number:.4f}"


def metric_columns(columns: list[str]) -> list[str]:
    """Return the columns of an ablation table that are metrics, not experiments or intervals."""
    others = ("experiment", "changes")
    return [name for name in columns if name not in others and not name.endswith((LOW, HIGH))]


def ablation_rows(rows: list[dict[str, str]], columns: list[str]) -> list[AblationRow]:
    """Compare every experiment with the first one, the baseline.

    Parameters
    ----------
    rows : list of dict
        experiment, changes and, for every metric of `columns`, a number as text or ""; where a
        metric was given intervals also "<metric>_difference_low" and "_high", "" if unknown.
    columns : list of str
        The metrics shown, see `metric_columns`.

    Returns
    -------
    compared : list of AblationRow
        Differences are signed, experiment minus baseline, with their interval behind and
        "not sure" if it holds 0; "no interval" if other experiments may have one.

    Raises
    ------
    ValueError
        If a value is no number.
    """
    compared = []
    for row in rows:
        values = [_number(row[column]) for column in columns]
        differences = [
            "" if row is rows[0] else _difference(row, rows[0], column) for column in columns
        ]
        texts = [as_text(value) for value in values]
        compared.append(AblationRow(row["experiment"], row["changes"], texts, differences))
    return compared


def _difference(row: dict[str, str], baseline: dict[str, str], column: str) -> str:
    value, base = _number(row[column]), _number(baseline[column])
    if value is None or base is None:
        return ""
    text = f"{value - base:+.4f}"
    if column + LOW not in row:
        return text
    low, high = _number(row[column + LOW]), _number(row[column + HIGH])
    if low is None or high is None:
        return f"{text} no interval"
    return f"{text} [{low:+.4f}, {high:+.4f}]" + (" not sure" if low <= 0 <= high else "")


def headline_markdown(splits: list[str], rows: list[tuple]) -> str:
    """Write the result of `headline_rows` as a Markdown table."""
    header = ["", "metric", *splits]
    return _markdown(header, [[words, name, *texts] for name, words, texts in rows])


def ablation_markdown(columns: list[str], rows: list[AblationRow]) -> str:
    """Write the result of `ablation_rows` as Markdown, each difference in brackets."""
    if not rows:
        return "No experiments collected yet.\n"
    body = []
    for row in rows:
        pairs = zip(row.values, row.differences, strict=True)
        cells = [f"{value} ({change})" if change else value for value, change in pairs]
        body.append([row.experiment, row.changes, *cells])
    table = _markdown(["experiment", "changes", *columns], body)
    return f"{table}\nIn brackets: the difference to {rows[0].experiment}. {NO_INTERVAL}\n"


def set_rows(images: list[dict]) -> list[SetRow]:
    """Sum up what each split of a set of images holds.

    Parameters
    ----------
    images : list of dict
        split, height, width, and objects and coverage (None where nothing is annotated).

    Returns
    -------
    rows : list of SetRow
        train, val, test, then any other split; a split without images has no row.
    """
    order = {"train": 0, "val": 1, "test": 2}
    rows = []
    for split in sorted({row["split"] for row in images}, key=lambda s: (order.get(s, 3), s)):
        members = [row for row in images if row["split"] == split]
        counts = [int(row["objects"]) for row in members if row["objects"] is not None]
        shares = [row["coverage"] for row in members if row["coverage"] is not None]
        sides = [[row[side] for row in members] for side in ("height", "width")]
        rows.append(
            SetRow(
                split=split,
                images=as_text(len(members)),
                objects=as_text(sum(counts) if counts else None),
                empty=as_text(counts.count(0) if counts else None),
                coverage=f"{sum(shares) / len(shares):.1%}" if shares else UNDEFINED,
                sizes=" x ".join(_range(side) for side in sides),
            )
        )
    return rows


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


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    """Escape what would end the cell or be read as HTML."""
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(character, escape)
    return text


def _number(text: str) -> float | None:
    return float(text) if text else None


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"
