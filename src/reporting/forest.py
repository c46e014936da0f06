"""Differences of experiments to their baseline with their intervals, as places along an axis."""

import math
from typing import NamedTuple

from src.reporting.ablations import AblationRow, Ablations, Difference

STEPS = (1, 2, 2.5, 5, 10)  # ends of an axis, times a power of ten


class ForestRow(NamedTuple):
    """A difference; places are percent of the width, 50 being no difference."""

    experiment: str
    changes: str
    runs: str  # how many seeds, and what it is compared with
    point: float
    low: float | None  # None where there is no interval
    high: float | None
    text: str  # "+0.0100 [-0.0050, +0.0250]"
    sure: bool  # the interval does not hold 0


class Forest(NamedTuple):
    """The differences in one metric, in the order of the table."""

    metric: str
    reach: float  # what the ends of the axis stand for
    rows: list[ForestRow]


def forests(ablations: Ablations) -> list[Forest]:
    """Lay out the differences of each metric that has an interval anywhere.

    Parameters
    ----------
    ablations : Ablations

    Returns
    -------
    forests : list of Forest
        Empty without a baseline or an interval.
    """
    laid = []
    for place, metric in enumerate(ablations.columns):
        told = [(row, row.numbers[place]) for row in ablations.rows]
        told = [(row, number) for row, number in told if number is not None]
        if not any(number.low is not None for _, number in told):
            continue
        values = [abs(value) for _, number in told for value in number if value is not None]
        reach = axis_reach(max(values))
        rows = [_row(row, number, reach) for row, number in told]
        laid.append(Forest(metric, reach, rows))
    return laid


def axis_reach(largest: float) -> float:
    """Return the end of an axis that holds numbers up to `largest`: 1, 2, 2.5 or 5 times 10**n.

    It is 0.001 at least, so that an axis has an extent where nothing differs.
    """
    if largest <= 0.001:
        return 0.001
    power = 10.0 ** math.floor(math.log10(largest))
    return round(next(step for step in STEPS if step * power >= largest * (1 - 1e-12)) * power, 12)


def _row(row: AblationRow, number: Difference, reach: float) -> ForestRow:
    text, sure, low, high = f"{number.value:+.4f} no interval", False, None, None
    if number.low is not None and number.high is not None:
        text = f"{number.value:+.4f} [{number.low:+.4f}, {number.high:+.4f}]"
        sure = not number.low <= 0 <= number.high
        low, high = _place(number.low, reach), _place(number.high, reach)
    point = _place(number.value, reach)
    return ForestRow(row.experiment, row.changes, row.runs, point, low, high, text, sure)


def _place(value: float, reach: float) -> float:
    return round(50 + 50 * value / reach, 2)
