"""The experiments of the report, those of one data set, beside their baseline."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from src.base.errors import InputError
from src.formats.tables import read_table
from src.reporting.markdown import markdown_table
from src.reporting.scores import as_text, number_in

COLUMNS = ("experiment", "changes", "data")  # before the metrics
LATER = ("seeds", "against")  # likewise, absent in older tables
LOW, HIGH = "_difference_low", "_difference_high"  # behind the name of a metric
NONE = "No experiments collected yet."
NO_BASELINE = "Their baseline was not judged on the same data: no difference can be told."
NO_INTERVAL = (
    "In [ ] is the 95 % interval of a difference; where it holds 0, one is not sure of any. "
    "A difference without an interval is no gain: it may be chance. Of several seeds the interval "
    "is one over images and seeds; of one seed the networks are held fixed, and another seed may "
    "differ by more. None is corrected for the number of experiments: of twenty that change "
    "nothing one is sure by chance."
)


class Difference(NamedTuple):
    """An experiment's value less the baseline's."""

    value: float
    low: float | None  # of the 95 % interval; None where there is none
    high: float | None


class AblationRow(NamedTuple):
    """One experiment; differences are empty for the baseline and where a value is missing."""

    experiment: str
    changes: str
    runs: str  # "one seed", or "3 seeds, against defaults"
    values: list[str]
    differences: list[str]  # "+0.0100 [-0.0050, +0.0250] not sure"
    numbers: list[Difference | None]  # the same


class Ablations(NamedTuple):
    """The experiments that were judged on one data set."""

    columns: list[str]  # the metrics
    rows: list[AblationRow]
    baseline: str  # name of the row that the others are compared with; "" without one
    left_out: str  # a sentence about the rows that are not shown; "" where all are


def read_ablations(path: Path, data: str) -> Ablations:
    """Read the experiments that were judged on some data.

    Parameters
    ----------
    path : Path
        ablation.csv as `experiments.collect` writes it, the baseline first.
    data : str
        Fingerprint of the truth they must be judged by; "" if it is unknown, and then no row is
        known to be.

    Raises
    ------
    InputError
        If the table is absent or not such a table, or a value is no number.
    """
    table = read_table(path, "python -m experiments.collect", COLUMNS)
    rows, columns = table.to_dict("records"), metric_columns(list(table.columns))
    shown = [row for row in rows if data and row["data"] == data]
    baseline = shown[0] if shown and shown[0] is rows[0] else None
    try:
        compared = ablation_rows(shown, columns, baseline)
    except ValueError as error:
        raise InputError(f"{path}: {error}; collect the experiments again") from None
    others = [row["data"] for row in rows if row not in shown]
    name = baseline["experiment"] if baseline else ""
    return Ablations(columns, compared, name, left_out_sentence(others, data))


def left_out_sentence(others: list[str], data: str) -> str:
    """Say how many experiments are not shown, and of which data they are.

    Parameters
    ----------
    others : list of str
        The data of each of them, "" where it is unknown.
    data : str
        That of those which are shown, "" if unknown.

    Returns
    -------
    sentence : str
        Empty without any.
    """
    if not others:
        return ""
    counts = sorted(Counter(others).items(), key=lambda pair: (not pair[0], pair[0]))
    told = [f"{count} on {f'data {other}' if other else 'unknown data'}" for other, count in counts]
    rows = "1 row is" if len(others) == 1 else f"{len(others)} rows are"
    return (
        f"{rows} left out, not or not for certain judged on the data at hand "
        f"({data or 'unknown'}): {', '.join(told)}."
    )


def metric_columns(columns: list[str]) -> list[str]:
    """Return the columns of an ablation table that are metrics, not experiments or intervals."""
    known = (*COLUMNS, *LATER)
    return [name for name in columns if name not in known and not name.endswith((LOW, HIGH))]


def ablation_rows(rows: list[dict], columns: list[str], baseline: dict | None) -> list[AblationRow]:
    """Compare every experiment with the baseline, or with the row it names.

    Parameters
    ----------
    rows : list of dict
        experiment, changes, perhaps seeds and against (name of another row, "" of none) and, for
        every metric of `columns`, a number as text or ""; where a metric was given intervals also
        "<metric>_difference_low" and "_high", "" if unknown.
    columns : list of str
        The metrics shown, see `metric_columns`.
    baseline : dict or None
        One of the rows; None where there is none to compare with.

    Returns
    -------
    compared : list of AblationRow
        Differences are signed, experiment minus baseline, with their interval behind and "not
        sure" if it holds 0; "no interval" if other experiments may have one. Empty ones without a
        baseline.

    Raises
    ------
    ValueError
        If a value is no number.
    """
    compared = []
    for row in rows:
        values = [number_in(row[column]) for column in columns]
        differences = [""] * len(columns)
        numbers: list[Difference | None] = [None] * len(columns)
        base = _base(row, rows, baseline)
        if base is not None:
            numbers = [_difference(row, base, name) for name in columns]
            pairs = zip(numbers, columns, strict=True)
            differences = [_in_words(number, name + LOW in row) for number, name in pairs]
        texts = [as_text(value) for value in values]
        told = (row["experiment"], row["changes"], _runs(row, base, baseline))
        compared.append(AblationRow(*told, texts, differences, numbers))
    return compared


def _base(row: dict, rows: list[dict], baseline: dict | None) -> dict | None:
    """Return the row that a row is compared with: the one it names, or in old tables the first."""
    if row is baseline:
        return None
    if "against" not in row or (baseline and row["against"] == baseline["experiment"]):
        return baseline
    return next((one for one in rows if one["experiment"] == row["against"]), None)


def _runs(row: dict, base: dict | None, baseline: dict | None) -> str:
    count = row.get("seeds", "1")
    seeds = "one seed" if count == "1" else f"{count} seeds"
    return seeds if base is None or base is baseline else f"{seeds}, against {base['experiment']}"


def _difference(row: dict, baseline: dict, column: str) -> Difference | None:
    value, base = number_in(row[column]), number_in(baseline[column])
    if value is None or base is None:
        return None
    low, high = (number_in(row.get(column + end, "")) for end in (LOW, HIGH))
    if low is None or high is None:
        return Difference(value - base, None, None)
    return Difference(value - base, low, high)


def _in_words(number: Difference | None, asked: bool) -> str:
    """Write a difference; `asked` tells whether the metric was given intervals at all."""
    if number is None:
        return ""
    text = f"{number.value:+.4f}"
    if not asked:
        return text
    if number.low is None or number.high is None:
        return f"{text} no interval"
    sure = not number.low <= 0 <= number.high
    return f"{text} [{number.low:+.4f}, {number.high:+.4f}]" + ("" if sure else " not sure")


def ablation_markdown(ablations: Ablations) -> str:
    """Write experiments as Markdown, each difference in brackets."""
    texts = [_table(ablations)] if ablations.rows else []
    texts += [ablations.left_out + "\n"] if ablations.left_out else []
    return "\n".join(texts) or NONE + "\n"


def _table(ablations: Ablations) -> str:
    body = []
    for row in ablations.rows:
        pairs = zip(row.values, row.differences, strict=True)
        cells = [f"{value} ({change})" if change else value for value, change in pairs]
        body.append([row.experiment, row.changes, row.runs, *cells])
    table = markdown_table(["experiment", "changes", "seeds", *ablations.columns], body)
    told = f"In brackets: the difference to {ablations.baseline}, or what else a row names. "
    told += NO_INTERVAL
    return f"{table}\n{told if ablations.baseline else NO_BASELINE}\n"
