"""The scores from which detections are accepted, by the part of their image: operating_point.json.

{"metric": "f1_50", "all": {"score": 0.43, "low": 0.38, "high": 0.49}, "folds": {"0": {...}, ...}}
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, cast

from src.base.errors import InputError
from src.base.files import read_json, write_text


class Point(NamedTuple):
    """A score from which detections are accepted, and how sure it is."""

    score: float  # at least 0, on the scale of the scores of the predictions
    low: float | None  # 2.5 % of the points chosen on images drawn anew are below; None where
    high: float | None  # params give the score, or there are no two groups to draw from


class OperatingPoint(NamedTuple):
    """The points by who is cut at them."""

    metric: str | None  # that is best there: f1_50, pq, detection_accuracy; None if params give it
    all: Point  # chosen on all oof images, for val and test
    folds: dict[str, Point]  # for oof images, by src.parts.image_parts: chosen on the other parts


def write_operating_point(path: Path, point: OperatingPoint) -> None:
    """Write what `read_operating_point` reads."""
    folds = {part: one._asdict() for part, one in point.folds.items()}
    document = {"metric": point.metric, "all": point.all._asdict(), "folds": folds}
    write_text(path, json.dumps(document, indent=2) + "\n")


def read_operating_point(path: Path) -> OperatingPoint:
    """Read the scores from which rescore accepts detections.

    Parameters
    ----------
    path : Path
        operating_point.json.

    Returns
    -------
    point : OperatingPoint

    Raises
    ------
    InputError
        If the file is absent or not as `write_operating_point` writes it.
    """
    found = read_json(path)
    try:
        document = cast("dict[str, Any]", found)
        metric, folds = document["metric"], cast("dict[str, Any]", document["folds"])
        points = {part: _point(one) for part, one in {"all": document["all"], **folds}.items()}
        if metric is not None and not isinstance(metric, str):
            raise TypeError
    except (KeyError, TypeError):
        raise InputError(f"{path}: no scores to accept from; run rescore") from None
    return OperatingPoint(metric, points.pop("all"), points)


def _point(found: Any) -> Point:
    point = Point(**found)
    for bound in point:
        if bound is not None and not (isinstance(bound, int | float) and math.isfinite(bound)):
            raise TypeError
    if point.score is None:
        raise TypeError
    return point
