"""Scores as probabilities: isotonic calibration, and how well scores agree with hit rates."""

from typing import NamedTuple, TypedDict

import numpy as np
from sklearn.isotonic import IsotonicRegression

# sklearn has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

TIE_WEIGHT = 0.001  # of the raw order in a calibrated score; so far may it be off
BINS = 10


class Calibrator(NamedTuple):
    """A rising function of scores: hit rates between knots, and the order where they are level."""

    knots: np.ndarray  # (K,) float64, rising scores
    rates: np.ndarray  # (K,) float64 in [0, 1], never falling
    scores: np.ndarray  # (M,) float64, the different scores it was fitted on, rising


class Bin(TypedDict):
    """The candidates whose scores are in one of BINS ranges of equal width."""

    bin: int  # 0 to 9: bin b holds scores from b / 10 to below (b + 1) / 10, the last also 1
    count: int
    mean_score: float | None  # in [0, 1], as the next; None where the bin is empty
    hit_rate: float | None


def fit_isotonic(scores: np.ndarray, hit: np.ndarray) -> Calibrator:
    """Fit the never falling function of the score that is nearest to the hits.

    Parameters
    ----------
    scores : ndarray of float, shape (N,)
        Finite, at least 0, N at least 1.
    hit : ndarray of bool, shape (N,)

    Returns
    -------
    calibrator : Calibrator

    Raises
    ------
    ValueError
        If there is no score, or one is negative or not finite.
    """
    if not len(scores):
        raise ValueError("no score to calibrate on")
    _check_scores(scores)
    isotonic = IsotonicRegression(y_min=0, y_max=1).fit(scores, np.asarray(hit, np.float64))
    return Calibrator(isotonic.X_thresholds_, isotonic.y_thresholds_, np.unique(scores))


def calibrate(calibrator: Calibrator, scores: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities of a hit that rank as the scores do.

    An isotonic function is level over whole ranges of scores. So that candidates keep their order
    there, 0.999 of the hit rate is added to 0.001 of a strictly rising function of the score in
    [0, 1]: half its rank among the scores fitted on, half s / (1 + s), which goes on rising
    where no score was fitted on. Beyond those the hit rate is that of the nearest.

    Parameters
    ----------
    calibrator : Calibrator
    scores : ndarray of float, shape (N,)
        Finite, at least 0.

    Returns
    -------
    probabilities : ndarray of float64, shape (N,)
        In [0, 1].

    Raises
    ------
    ValueError
        If a score is negative or not finite.
    """
    _check_scores(scores)
    rates = np.interp(scores, calibrator.knots, calibrator.rates)
    ranks = np.linspace(0, 1, len(calibrator.scores))
    order = np.interp(scores, calibrator.scores, ranks) / 2 + scores / (1 + scores) / 2
    return (1 - TIE_WEIGHT) * rates + TIE_WEIGHT * order


def reliability(scores: np.ndarray, hit: np.ndarray) -> list[Bin]:
    """Compare scores with hit rates in ten bins of equal width.

    Parameters
    ----------
    scores : ndarray of float, shape (N,)
        In [0, 1].
    hit : ndarray of bool, shape (N,)

    Returns
    -------
    rows : list of Bin
        One for each, by rising score.

    Raises
    ------
    ValueError
        If a score is outside [0, 1].
    """
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be in [0, 1]")
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows: list[Bin] = []
    for number in range(BINS):
        inside = bins == number
        count = int(inside.sum())
        means = [float(v[inside].mean()) if count else None for v in (scores, hit)]
        rows.append({"bin": number, "count": count, "mean_score": means[0], "hit_rate": means[1]})
    return rows


def expected_calibration_error(rows: list[Bin]) -> float | None:
    """Mean distance of mean score and hit rate over all candidates.

    Parameters
    ----------
    rows : list of Bin
        From `reliability`.

    Returns
    -------
    error : float or None
        In [0, 1], sum of count / N * |mean_score - hit_rate|; None without a candidate.
    """
    total = sum(row["count"] for row in rows)
    gaps = (
        row["count"] * abs(row["mean_score"] - row["hit_rate"])
        for row in rows
        if row["mean_score"] is not None and row["hit_rate"] is not None
    )
    return sum(gaps) / total if total else None


def _check_scores(scores: np.ndarray) -> None:
    if not (np.isfinite(scores) & (scores >= 0)).all():
        raise ValueError("scores must be finite and at least 0")
