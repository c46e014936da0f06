"""The score from which detections are accepted: where a metric is best, and how sure it is."""

from typing import NamedTuple

import numpy as np

from src.acceptance.operating_point import Point
from src.judging.group_draws import Sampled, group_weights, percentiles
from src.scoring.outcomes import Outcomes
from src.scoring.params import MetricName

DECIMALS = 8  # of a score as it is written
RESAMPLES = 200  # of the groups of images, for the point and its interval
EQUAL = 12  # decimals to which a metric tells two cuts apart; sums of floats differ in the last


class _Steps(NamedTuple):
    """How a metric moves from one detection to the next, best first: a quotient of two sums."""

    scores: np.ndarray  # (N,) float64, falling
    image: np.ndarray  # (N,) int64
    numerator: np.ndarray  # (N,) float64, what the detection adds
    denominator: np.ndarray  # (N,) float64
    counts: np.ndarray  # (N,) bool, it is right or wrong
    first: np.ndarray  # (2, I) float64, numerator and denominator of an image without detections
    cuts: np.ndarray  # (C,) int64: so many are accepted at each cut, as equal scores all are


def choose_point(outcomes: Outcomes, metric: MetricName, groups: np.ndarray, seed: int) -> Point:
    """Choose the score from which detections are accepted, with a 95 % interval.

    It is the median of those that are best on RESAMPLES sets of as many groups, drawn with
    replacement (bagging, Breiman 1996): where a metric hardly changes over a range of scores, the
    place of its highest value is chance. With a single group it is the best one itself.

    Accepted is what scores at least as high. All cuts are tried, which one sweep by falling score
    does exactly. Of equally good ones the highest is taken: what others accept beyond it gains
    nothing. The score is halfway between the lowest that is accepted and the highest that is not (0
    if all are), as far from both as can be, so that neither changes sides where scores of other
    images move a little; what counts neither way, as of crowds, is no bound. It is as round as it
    can be there.

    Parameters
    ----------
    outcomes : Outcomes
        By `src.scoring.outcomes.detection_outcomes` for this metric; scores as they are written.
    metric : {"f1_50", "pq", "detection_accuracy"}
        f1_50 and pq pool all images, detection_accuracy is their mean.
    groups : ndarray of str, shape (I,)
        Images of one group are drawn together for the interval.
    seed : int
        Of these draws.

    Returns
    -------
    point : Point
        Without a detection the score is 0, which accepts any: nothing speaks against it. Where it
        is best to accept none (there is no object, or none is found) it is just above the highest
        score. The bounds are of the scores that are best on the sets drawn; None without a
        detection or a second group.
    """
    if not len(outcomes.scores):
        return Point(0.0, None, None)
    steps = _steps(outcomes, metric)
    of_image = np.unique(groups, return_inverse=True)[1]
    weights = group_weights(of_image, RESAMPLES, seed)
    drawn = np.array([_best_score(steps, one[of_image]) for one in weights])
    low, high = percentiles(Sampled(0.0, drawn, weights.shape[1]))
    if low is None or high is None:
        return Point(_best_score(steps, np.ones(len(of_image))), None, None)
    median = float(np.quantile(drawn, 0.5, method="higher"))
    return Point(median, round(low, DECIMALS), round(high, DECIMALS))


def _steps(outcomes: Outcomes, metric: MetricName) -> _Steps:
    order = np.argsort(-outcomes.scores, kind="stable")
    scores, image = outcomes.scores[order], outcomes.image[order]
    gain, wrong = outcomes.gain[order], outcomes.wrong[order]
    if metric == "detection_accuracy":
        numerator = _accuracy_changes(image, gain, wrong, outcomes.objects)
        denominator = np.zeros(len(scores))
        first = np.stack([outcomes.objects == 0, np.ones(len(outcomes.objects))])
    else:  # F1 and PQ are 2 * gain / (objects + right + wrong)
        numerator, denominator = 2 * gain[:, 0], ((gain > 0) | wrong)[:, 0].astype(float)
        first = np.stack([np.zeros(len(outcomes.objects)), outcomes.objects])
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True)) + 1
    counts = np.atleast_1d(np.logical_or(gain > 0, wrong).any(axis=1))
    return _Steps(scores, image, numerator, denominator, counts, first, np.append(0, ends))


def _accuracy_changes(
    image: np.ndarray, gain: np.ndarray, wrong: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """Return what each detection adds to TP / (TP + FP + FN) of its image; they come best first."""
    order = np.argsort(image, kind="stable")
    image = image[order]
    begins = np.append(True, image[1:] != image[:-1])
    start = np.flatnonzero(begins)[np.cumsum(begins) - 1]  # the first detection of the image
    right, bad = (np.append(np.zeros((1, gain.shape[1])), np.cumsum(one[order], axis=0), axis=0)
                  for one in (gain, wrong))  # fmt: skip
    after, before = (
        _accuracy(right[upto] - right[start], bad[upto] - bad[start], objects[image])
        for upto in (np.arange(len(image)) + 1, np.arange(len(image)))
    )
    changes = np.empty(len(image))
    changes[order] = after - before
    return changes


def _accuracy(right: np.ndarray, wrong: np.ndarray, objects: np.ndarray) -> np.ndarray:
    counted = objects[:, None] + wrong
    return np.where(counted > 0, right / np.maximum(counted, 1), 1.0).mean(axis=1)


def _best_score(steps: _Steps, weights: np.ndarray) -> float:
    """Return the score at which the metric is best, each image counted as often as told."""
    of_each = weights[steps.image]
    numerator, denominator = (
        (first @ weights + np.append(0, np.cumsum(added * of_each)))[steps.cuts]
        for first, added in zip(steps.first, (steps.numerator, steps.denominator), strict=True)
    )
    values = np.where(denominator > 0, numerator / np.maximum(denominator, 1), 1.0).round(EQUAL)
    best = int(np.argmax(values))
    if best == 0:
        return round(float(steps.scores[0]) + 10.0**-DECIMALS, DECIMALS)
    accepted = int(steps.cuts[best])
    further = np.flatnonzero(steps.counts[accepted:] & (of_each[accepted:] > 0))
    refused = float(steps.scores[accepted + further[0]]) if further.size else 0.0
    return _round_between(refused, float(steps.scores[accepted - 1]))


def _round_between(low: float, high: float) -> float:
    """Return the middle of a range, with as few decimals as leave it above low and not above high.

    The ends are multiples of 10 ** -DECIMALS, or equal 0.
    """
    middle = (low + high) / 2
    for decimals in range(2, DECIMALS + 2):
        if low < round(middle, decimals) <= high:
            return round(middle, decimals)
    return high
