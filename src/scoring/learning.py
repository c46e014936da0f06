"""What a part of the images is scored by: fitted and chosen on the candidates of other images.

A part is one fold of the out-of-fold images, which learns from the other folds, or val and test
together, which learn from all. So nothing that is said of an image, be it a score, that a candidate
is chosen or that it is accepted, depends on its own truth.

What follows the second level is chosen on scores too, and those of the candidates that a model was
fitted on would be too good. So the images learnt from are parted once more, and each inner part is
scored by a model of the others.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from src.acceptance.operating_point import Point
from src.formats.prepared import Annotation
from src.parts.image_parts import deal_groups
from src.scoring.calibration import Calibrator, calibrate, fit_isotonic
from src.scoring.candidate_tables import BOX, candidate_rles, feature_names
from src.scoring.candidate_targets import HIT_IOU, Overlaps, find_hits
from src.scoring.detection_choice import choose_detections
from src.scoring.operating_points import DECIMALS, choose_point
from src.scoring.outcomes import detection_outcomes
from src.scoring.params import MODELS, RescoreParams, given_point
from src.scoring.scores import object_scores
from src.scoring.second_level import Fitted, Model, cross_fit, predict

INNER = 3  # parts of the images learnt from, where they are not of two folds
WITHOUT_MODEL = {"score": "mean", "calibration": "none"}


class Learnt(NamedTuple):
    """What candidates of a part are scored, chosen, calibrated and accepted by."""

    params: RescoreParams  # those asked for, or WITHOUT_MODEL where none could be fitted
    model: Model | None  # None of a fixed rule
    calibrator: Calibrator | None  # None as well where no detection is judged
    point: Point


def learn(
    candidates: pd.DataFrame,
    overlaps: Overlaps,
    truth: dict[str, list[Annotation]],
    images: pd.DataFrame,
    params: RescoreParams,
    fitted: Fitted | None = None,
) -> Learnt:
    """Fit and choose all that the params leave to the data.

    Parameters
    ----------
    candidates : DataFrame
        Of the images learnt from, with columns `src.scoring.candidate_tables.COLUMNS` and features.
        May be empty.
    overlaps : Overlaps
        Of the candidates, in their order; read for a second level only.
    truth : dict
        From `src.scoring.candidate_targets.annotations_by_name`, of these images.
    images : DataFrame
        From `src.parts.image_parts.image_parts`, these images: all of them, with candidates or
        without. May be empty.
    params : RescoreParams
    fitted : dict, optional
        Models of other parts by the same `params`; see `src.scoring.second_level.cross_fit`.

    Returns
    -------
    learnt : Learnt
        A second level needs candidates of two groups that are not of crowds. Without them the score
        is the fixed rule `mean`, uncalibrated. Calibration needs one detection that is judged.
        The operating point is `src.scoring.operating_points.choose_point` on calibrated scores.
    """
    model, scores = None, None
    if params.score in MODELS:
        inner = inner_parts(images.loc[candidates["name"]], ~overlaps.ignored)
        if inner is None:
            params = params.model_copy(update=WITHOUT_MODEL)
        else:
            targets = overlaps.iou if params.target == "iou" else overlaps.iou >= HIT_IOU
            names = feature_names(candidates)
            features = candidates[names].to_numpy(float)
            used = ~overlaps.ignored
            scores, model = cross_fit(features, targets, used, inner, names, params, fitted)
    given = given_point(params)
    point = Point(given or 0.0, None, None)
    if params.calibration == "none" and given is not None:
        return Learnt(params, model, None, point)
    detections = _choose(candidates, scores, params)
    names, rles = detections["name"].to_numpy(str), candidate_rles(detections)
    scores, calibrator = detections["score"].to_numpy(), None
    if params.calibration == "isotonic":
        found = find_hits(names, rles, scores, truth)
        if not found.ignored.all():
            calibrator = fit_isotonic(scores[~found.ignored], found.hit[~found.ignored])
    if given is None and len(detections):
        scores, metric = _written(scores, calibrator), params.operating_metric
        outcomes = detection_outcomes(names, rles, scores, truth, list(images.index), metric)
        point = choose_point(outcomes, metric, images["group"].to_numpy(str), params.seed)
    return Learnt(params, model, calibrator, point)


def detect(candidates: pd.DataFrame, learnt: Learnt) -> pd.DataFrame:
    """Make detections of the candidates of images that were not learnt from.

    Parameters
    ----------
    candidates : DataFrame
        As for `learn`.
    learnt : Learnt

    Returns
    -------
    detections : DataFrame
        Rows of the candidates that are left, by image and falling score, with `score` as it is
        written, rounded to DECIMALS, and bool `accepted`.
    """
    scores = None
    if learnt.model is not None:
        features = candidates[feature_names(candidates)].to_numpy(float)
        scores = predict(learnt.model, features)
    detections = _choose(candidates, scores, learnt.params)
    scores = _written(detections["score"].to_numpy(), learnt.calibrator)
    return detections.assign(score=scores, accepted=scores >= learnt.point.score)


def inner_parts(images: pd.DataFrame, used: np.ndarray) -> np.ndarray | None:
    """Part the candidates that a second level learns from, to score them honestly.

    Parameters
    ----------
    images : DataFrame
        Columns part and group of the image of each candidate.
    used : ndarray of bool, shape (N,)
        Which candidates are fitted on.

    Returns
    -------
    inner : ndarray of int64, shape (N,), or None
        The parts, where two of them have candidates that are used. Else INNER or two parts of whole
        groups with as many such candidates, always the same. None without two such groups.
    """
    parts, groups = (images[column].to_numpy(str) for column in ("part", "group"))
    if len(np.unique(parts[used])) > 1:
        return np.unique(parts, return_inverse=True)[1]
    found = len(np.unique(groups[used]))
    return deal_groups(groups, used, min(INNER, found)) if found > 1 else None


def _choose(
    candidates: pd.DataFrame, scores: np.ndarray | None, params: RescoreParams
) -> pd.DataFrame:
    """Return the detections with their score, by image and falling score; None is by the rule."""
    if scores is None:
        mean, area = candidates["mean_probability"].to_numpy(), candidates["area"].to_numpy()
        scores = object_scores(mean, area, params.score)
    kept = choose_detections(
        candidates["name"].to_numpy(str),
        candidate_rles(candidates),
        candidates[BOX].to_numpy(),
        candidates["parent"].to_numpy(),
        candidates["part"].to_numpy() > 0,
        scores,
        params,
    )
    return candidates.assign(score=scores).iloc[kept]


def _written(scores: np.ndarray, calibrator: Calibrator | None) -> np.ndarray:
    """Return scores as they are written; level ranges of a calibration differ by below 1e-6."""
    return (scores if calibrator is None else calibrate(calibrator, scores)).round(DECIMALS)
