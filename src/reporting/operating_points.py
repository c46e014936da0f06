"""Where detections are accepted from, in a sentence for the report."""

from src.acceptance.operating_point import OperatingPoint
from src.reporting.scores import METRICS


def operating_sentence(point: OperatingPoint) -> str:
    """Say from which score detections are accepted, and what chose it.

    Parameters
    ----------
    point : OperatingPoint
        As `rescore` used it.

    Returns
    -------
    sentence : str
        With the 95 % interval of a score that has one, and the range of those of the folds where
        there are at least two.
    """
    score, low, high = point.all
    if point.metric is None:
        return (
            f"Detections are accepted from a score of {score:.4f}, the operating point. It was "
            "given, not chosen."
        )
    told = f"{score:.4f}" if low is None or high is None else f"{score:.4f} [{low:.4f}, {high:.4f}]"
    folds = [one.score for one in point.folds.values()]
    others = ""
    if len(folds) > 1:
        others = (
            "; those of an oof fold from where it is highest on the other folds "
            f"({min(folds):.4f} to {max(folds):.4f})"
        )
    return (
        f"Detections are accepted from a score of {told}, the operating point. About there "
        f"{point.metric} ({METRICS.get(point.metric, point.metric)}) is highest on the "
        f"out-of-fold predictions{others}."
    )
