"""How sure a metric of the evaluation is: its values on images drawn anew, by whole groups."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from src.judging.group_draws import Sampled, group_weights, interval
from src.matching.average_precision import RECALLS

PERCENTS = np.arange(50, 100, 5)  # IoU thresholds, as in the names tp_50 .. tp_95

MEANS = {  # over images -> column
    "dice_mean": "dice",
    "iou_mean": "iou",
    "boundary_iou_mean": "boundary_iou",
    "detection_accuracy": "detection_accuracy",
}
# of sums over images: what is divided by tp + a * fp + b * fn; a, b; kind of match
RATIOS: dict[str, tuple[str, float, float, str]] = {
    "f1_50": ("tp", 0.5, 0.5, ""),
    "precision_50": ("tp", 1, 0, ""),
    "recall_50": ("tp", 0, 1, ""),
    "f1_histogram_50": ("tp_histogram", 0.5, 0.5, "_histogram"),
    "detection_accuracy_50": ("tp", 1, 1, ""),
    "detection_accuracy_75": ("tp_75", 1, 1, "_75"),
    "pq": ("sum_iou", 0.5, 0.5, "_panoptic"),
    "sq": ("sum_iou", 0, 0, "_panoptic"),
    "rq": ("tp_panoptic", 0.5, 0.5, "_panoptic"),
}
ONE_IF_EMPTY = {"f1_50", "f1_histogram_50", "detection_accuracy_50", "detection_accuracy_75"}
# IoU thresholds they average
PRECISIONS: dict[str, list[int]] = {"ap50": [50], "ap75": [75], "ap": PERCENTS.tolist()}
RANKED_RECALL = "ar50"  # of the whole ranking, where recall_50 is of the accepted detections
METRICS = (*PRECISIONS, RANKED_RECALL, *RATIOS, *MEANS)

Columns = pd.DataFrame | Mapping[str, np.ndarray]  # of one length, by name


def average_precisions(
    *,
    scores: np.ndarray,
    tp: np.ndarray,
    ignored: np.ndarray,
    detection_image: np.ndarray,
    detection_group: np.ndarray,
    objects_per_group: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """COCO's 101-point average precision of every set that was drawn.

    It is COCOeval's on the data set in which each image is repeated, its copies one after the
    other, as often as its group was drawn. Ties of scores are broken as there: by the order of
    the images, copy by copy, then by that of the detections.

    Parameters
    ----------
    scores : (N,) float ndarray
        Of the detections of one category.
    tp, ignored : (N, T) bool ndarray
        What COCO's matching made of each detection at each of T IoU thresholds, never both.
        Matching looks at one image at a time, so drawing does not change it.
    detection_image : (N,) int ndarray
        Image of each detection; images are in the order of these numbers.
    detection_group : (N,) int ndarray
        Group of that image, 0 .. G - 1.
    objects_per_group : (G,) int ndarray
        Objects to find, without crowd regions.
    weights : (R, G) int ndarray
        How often each group was drawn.

    Returns
    -------
    precisions : (R, T) float64 ndarray
        In [0, 1]; NaN where no group with an object was drawn.
    """
    found = np.full((len(weights), tp.shape[1]), np.nan)
    objects = np.einsum("rg,g->r", weights, objects_per_group)
    rows, copy = _copies_in_order(scores, tp, ignored, detection_image, int(weights.max()))
    groups, told_apart = detection_group[rows], bool((copy >= 0).any())
    counted, starts, ends = _runs_of_hits(tp[rows].T, ignored[rows].T)
    first, last = np.concatenate(starts), np.concatenate(ends)
    marks = np.cumsum([0, *map(len, ends)]).tolist()
    few = len(rows) * int(weights.max()) < 2**31
    before = np.zeros((len(counted), len(rows) + 1), np.int32 if few else np.int64)
    at_start, at_end = np.empty((2, len(first)), before.dtype)
    for row in np.flatnonzero(objects):
        times: np.ndarray = np.take(weights[row], groups)
        if told_apart:
            times = np.where(copy < 0, times, times > copy)
        for of_kind, total in zip(counted, before, strict=True):
            chosen: np.ndarray = times if of_kind is None else times * of_kind
            np.cumsum(chosen, dtype=before.dtype, out=total[1:])
        before.take(first, out=at_start, mode="clip")  # no place is beyond; no copy then
        before.take(last, out=at_end, mode="clip")
        found[row] = _precisions(at_start, at_end, marks, int(objects[row]))
    return found


def _copies_in_order(
    scores: np.ndarray, tp: np.ndarray, ignored: np.ndarray, image: np.ndarray, copies: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return detections, best first, and which copy of the image each belongs to, -1 for all.

    Copies of an image have to be told apart only where tied detections have different outcomes.
    """
    order = np.lexsort((image, -scores))  # stable: ties within an image keep their order
    new = (np.diff(scores[order]) != 0) | (np.diff(image[order]) != 0)
    tie = np.concatenate([[0], np.cumsum(new)])[: len(order)]
    outcome = np.concatenate([tp, ignored], axis=1)[order]
    differs = tie[1:][(~new) & (outcome[1:] != outcome[:-1]).any(axis=1)]
    mixed = np.isin(tie, differs)
    times = np.where(mixed, copies, 1)
    place = np.repeat(np.arange(len(order)), times)
    copy = np.arange(len(place)) - np.repeat(np.cumsum(times) - times, times)
    sorted_places = np.lexsort((place, copy, tie[place]))
    place, copy = place[sorted_places], copy[sorted_places]
    return order[place], np.where(mixed[place], copy, -1)


def _runs_of_hits(
    tp: np.ndarray, ignored: np.ndarray
) -> tuple[list[np.ndarray | None], list[np.ndarray], list[np.ndarray]]:
    """Find detections that are right one after the other, best first, of tp and ignored (T, N).

    Returns
    -------
    counted : list of V ndarrays of bool, shape (N,), or None
        Which detections are not ignored, None for all; thresholds that ignore the same share one.
    starts, ends : list of T ndarrays of int64
        First place of every run and the one after its last, in V rows of N + 1 places each.
    """
    counted: list[np.ndarray | None] = []
    starts: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    for place, (right, left_out) in enumerate(zip(tp, ignored, strict=True)):
        if place == 0 or (left_out != ignored[place - 1]).any():
            counted.append(~left_out if left_out.any() else None)
        looked_at = np.flatnonzero(~left_out)
        edges = np.diff(right[looked_at].astype(np.int8), prepend=0, append=0)
        offset = (len(counted) - 1) * (len(right) + 1)
        starts.append(offset + looked_at[np.flatnonzero(edges == 1)])
        ends.append(offset + looked_at[np.flatnonzero(edges == -1) - 1] + 1)
    return counted, starts, ends


def _precisions(
    before: np.ndarray, counted: np.ndarray, marks: list[int], objects: int
) -> list[float]:
    """AP at T thresholds from the detections counted up to start and end of each run of hits.

    `marks` are the T + 1 places between which the runs of each threshold are. Precision is looked
    up where recall is reached, so only right detections have to be looked at, and of those in a row
    only the last, where it is best. It is `src.matching.average_precision` once more (a test says
    so), since that would want every detection written out as often as it was drawn, a thousand
    times for the intervals.
    """
    needed = np.ceil(RECALLS * objects)  # least hits of each recall, right but for rounding
    needed -= (needed - 1) / objects >= RECALLS
    needed = (needed + (needed / objects < RECALLS)).astype(counted.dtype)
    in_run, hits = counted - before, np.empty_like(counted)
    reached = np.empty((len(marks) - 1, len(RECALLS)), np.int64)
    for place, (low, high) in enumerate(pairwise(marks)):
        np.cumsum(in_run[low:high], dtype=hits.dtype, out=hits[low:high])
        reached[place] = low + np.searchsorted(hits[low:high], needed)
    precision = np.append(hits / (counted + np.spacing(1)), 0.0)
    # The best up to the next recall, which the first of the next threshold is after the last.
    best = np.maximum.reduceat(precision, reached.ravel()).reshape(reached.shape)
    best = np.where(reached < np.array(marks[1:])[:, None], best, 0.0)[:, ::-1]
    best = np.ascontiguousarray(np.maximum.accumulate(best, axis=1)[:, ::-1])
    defined = (reached < np.array(marks[1:])[:, None]).sum(axis=1)
    return [row[:count].sum() / len(RECALLS) for row, count in zip(best, defined, strict=True)]


def resample(
    images: Columns,
    detections: Columns,
    *,
    metrics: Sequence[str],
    resamples: int,
    seed: int,
) -> dict[str, Sampled]:
    """Compute metrics on the images of one split, and on sets of their groups drawn anew.

    Parameters
    ----------
    images : DataFrame or mapping of column to (I,) ndarray
        group (any names), image_id, and the columns of `src.judging.object_metrics` that are asked
        for.
    detections : DataFrame or mapping of column to (N,) ndarray
        image_id, score, ranked, tp_50 .. tp_95, ignored_50 .. ignored_95 as far as asked for, of
        one category. Read for average precisions and recall only, which look at the ranked ones;
        all their images are in `images`.
    metrics : sequence of str
        Names from METRICS.
    resamples, seed : int
        See `group_weights`: the same images in the same order get the same draws.

    Returns
    -------
    sampled : dict of metric to Sampled

    Raises
    ------
    ValueError
        If a metric is unknown, there is no image, or `resamples` is not positive.
    """
    groups = np.unique(np.asarray(images["group"]), return_inverse=True)[1]
    weights = group_weights(groups, resamples, seed)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    samples = metric_samples(images, detections, groups, weights, metrics)
    count = weights.shape[1]
    return {name: Sampled(float(found[0]), found[1:], count) for name, found in samples.items()}


def metric_samples(
    images: Columns,
    detections: Columns,
    groups: np.ndarray,
    weights: np.ndarray,
    metrics: Sequence[str],
) -> dict[str, np.ndarray]:
    """Compute metrics on every set that was drawn.

    Parameters
    ----------
    images, detections, metrics
        As in `resample`.
    groups : (I,) int ndarray
        Group of each image, 0 .. G - 1.
    weights : (R, G) int ndarray
        How often each group is in each set.

    Returns
    -------
    samples : dict of metric to (R,) float64 ndarray
        NaN where a set has nothing that the metric could be computed from.

    Raises
    ------
    ValueError
        If a metric is unknown.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; known: {', '.join(METRICS)}")
    columns = {MEANS[metric] for metric in metrics if metric in MEANS}
    columns |= {name for metric in metrics if metric in RATIOS for name in _columns_of(metric)}
    sums = {name: _per_set(np.asarray(images[name]), groups, weights) for name in sorted(columns)}
    samples: dict[str, np.ndarray] = {}
    for metric in metrics:
        if metric in MEANS:
            samples[metric] = sums[MEANS[metric]] / _per_set(np.ones(len(groups)), groups, weights)
        elif metric in RATIOS:
            samples[metric] = _ratio_samples(sums, metric)
    percents = sorted({p for metric in metrics for p in PRECISIONS.get(metric, ())})
    if not percents and RANKED_RECALL not in metrics:
        return samples
    group_of, objects = _groups_of_ranked(images, detections, groups, weights.shape[1])
    if RANKED_RECALL in metrics:
        samples[RANKED_RECALL] = _recall_samples(detections, group_of, objects, weights)
    if percents:
        precisions = _precision_samples(detections, group_of, objects, weights, percents)
        for metric in set(metrics) & PRECISIONS.keys():
            places = [percents.index(percent) for percent in PRECISIONS[metric]]
            samples[metric] = precisions[:, places].mean(axis=1)
    return {metric: samples[metric] for metric in metrics}


def metric_rows(
    metrics: Mapping[str, float | int | None], sampled: Mapping[str, Sampled]
) -> list[dict[str, str | float | int | None]]:
    """Tabulate metrics with their intervals.

    Parameters
    ----------
    metrics : mapping of metric to number or None
        Values, None or NaN where undefined.
    sampled : mapping of metric to Sampled
        Of those that have an interval.

    Returns
    -------
    rows : list of dict
        metric, value, low, high in the order of `metrics`; counts whole, others to 6 decimals,
        None where there is no value or no interval.
    """
    rows: list[dict[str, str | float | int | None]] = []
    for name, value in metrics.items():
        known = name in sampled  # all of them lie in [0, 1]
        low, high = interval(sampled[name], within=(0.0, 1.0)) if known else (None, None)
        numbers = {"value": value, "low": low, "high": high}
        rows.append({"metric": name} | {key: _rounded(n) for key, n in numbers.items()})
    return rows


def _groups_of_ranked(
    images: Columns, detections: Columns, groups: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each of N ranked detections, and the objects of each of G groups."""
    ids = np.asarray(images["image_id"])
    order = np.argsort(ids)
    rows = order[np.searchsorted(ids, _ranked(detections, "image_id"), sorter=order)]
    objects = np.zeros(count, np.int64)
    np.add.at(objects, groups, np.asarray(images["objects"]))
    return groups[rows], objects


def _ranked(detections: Columns, name: str) -> np.ndarray:
    return np.asarray(detections[name])[np.asarray(detections["ranked"], bool)]


def _recall_samples(
    detections: Columns, group_of: np.ndarray, objects: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Share of the objects that the ranking finds at IoU 0.5, (R,)."""
    hits = _per_set(_ranked(detections, "tp_50"), group_of, weights)
    total = np.einsum("rg,g->r", weights, objects)
    return np.divide(hits, total, out=np.full(len(weights), np.nan), where=total > 0)


def _precision_samples(
    detections: Columns,
    group_of: np.ndarray,
    objects: np.ndarray,
    weights: np.ndarray,
    percents: list[int],
) -> np.ndarray:
    """Average precision (R, T) of the ranking at the IoU thresholds `percents`."""
    tp, ignored = (
        np.stack([_ranked(detections, f"{kind}_{p}").astype(bool) for p in percents], axis=1)
        for kind in ("tp", "ignored")
    )
    return average_precisions(
        scores=_ranked(detections, "score").astype(np.float64),
        tp=tp,
        ignored=ignored,
        detection_image=_ranked(detections, "image_id"),
        detection_group=group_of,
        objects_per_group=objects,
        weights=weights,
    )


def _columns_of(metric: str) -> tuple[str, str, str, str]:
    """Name what is divided, the right, the wrong and the objects of one of RATIOS."""
    numerator, _, _, kind = RATIOS[metric]
    return numerator, f"tp{kind}", f"fp{kind}", "objects"


def _ratio_samples(sums: Mapping[str, np.ndarray], metric: str) -> np.ndarray:
    _, of_fp, of_fn, _ = RATIOS[metric]
    top, tp, fp, objects = (sums[name] for name in _columns_of(metric))
    bottom = tp + of_fp * fp + of_fn * (objects - tp)
    empty = np.full(len(bottom), 1.0 if metric in ONE_IF_EMPTY else np.nan)
    return np.divide(top, bottom, out=empty, where=bottom > 0)


def _per_set(column: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of a column (I,) of the images over every set, (R,)."""
    sums = np.bincount(groups, weights=column, minlength=weights.shape[1])
    return np.einsum("rg,g->r", weights, sums)  # not by BLAS, which may sum in another order


def _rounded(number: float | int | None) -> float | int | None:
    if number is None or np.isnan(number):
        return None
    return round(number, 6) if isinstance(number, float) else int(number)
