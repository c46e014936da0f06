"""Tables of the report: the headline, the ablations, and which images to show."""

from typing import NamedTuple

METRICS = {  # name in metrics.json -> in plain words
    "ap50": "Average precision at IoU 0.50",
    "ar50": "Average recall at IoU 0.50",
    "ap": "Average precision, mean over IoU 0.50 to 0.95",
    "ap50_small": "AP at IoU 0.50 of objects below 14 x 14 px",
    "ap50_large": "AP at IoU 0.50 of objects from 14 x 14 px",
    "ar50_small": "AR at IoU 0.50 of objects below 14 x 14 px",
    "ar50_large": "AR at IoU 0.50 of objects from 14 x 14 px",
    "f1_50": "F1 of objects matched at IoU 0.50",
    "precision_50": "Share of detections that are right",
    "recall_50": "Share of objects that are found",
    "dice_mean": "Dice of the pixels, mean over images",
    "images": "Images judged",
    "objects": "Objects in them",
    "detections": "Detections judged",
}
NO_INTERVAL = "A difference without an interval is no gain: it may be chance."
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
    differences: list[str]


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


def as_text(number: float | int | None) -> str:
    """Write a count with separators, a fraction with four decimals, None as UNDEFINED."""
    if number is None:
        return UNDEFINED
    return f"{number:,}" if isinstance(number, int) else f"{number:.4f}"


def ablation_rows(rows: list[dict[str, str]], columns: list[str]) -> list[AblationRow]:
    """Compare every experiment with the first one, the baseline.

    Parameters
    ----------
    rows : list of dict
        experiment, changes and, for every metric of `columns`, a number as text or "".
    columns : list of str
        The metrics shown.

    Returns
    -------
    compared : list of AblationRow
        Differences are signed, experiment minus baseline.

    Raises
    ------
    ValueError
        If a value is no number.
    """
    compared = []
    for row in rows:
        values = [_number(row[column]) for column in columns]
        baseline = [_number(rows[0][column]) for column in columns]
        differences = [
            "" if row is rows[0] or None in (value, base) else f"{value - base:+.4f}"
            for value, base in zip(values, baseline, strict=True)
        ]
        texts = [as_text(value) for value in values]
        compared.append(AblationRow(row["experiment"], row["changes"], texts, differences))
    return compared


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
