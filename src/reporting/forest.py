"""Differences of experiments to their baseline with their intervals, as places along an axis."""

import math
from typing import NamedTuple

from src.reporting.ablations import Ablations, Difference

STEPS = (1, 2, 2.5, 5, 10)  # ends of an axis, times a power of ten


class ForestRow(NamedTuple):
    """A difference; places are percent of the width, 50 being no difference."""

    experiment: str
    changes: str
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
        rows = [
            ForestRow(row.experiment, row.changes, *_places(number, reach), *_words(number))
            for row, number in told
        ]
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


def _places(number: Difference, reach: float) -> list[float | None]:
    return [None if value is None else round(50 + 50 * value / reach, 2) for value in number]


def _words(number: Difference) -> tuple[str, bool]:
    if number.low is None or number.high is None:
        return f"{number.value:+.4f} no interval", False
    text = f"{number.value:+.4f} [{number.low:+.4f}, {number.high:+.4f}]"
    return text, not number.low <= 0 <= number.high
