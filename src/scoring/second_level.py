"""A second-level model: from the features of a candidate to how good it is.

Models are cross-fitted, so that no candidate is scored by a model that has seen its target.
"""

from hashlib import blake2b
from typing import NamedTuple, cast

import lightgbm
import numpy as np
from sklearn.ensemble import RandomForestRegressor

from src.scoring.params import MODELS, RescoreParams

# sklearn has no types, lightgbm's are in part unknown.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

FOREST_LEAVES = 16  # times `leaves`: trees that are averaged may be deeper than trees added up
FOREST_ROWS = 10_000  # most candidates drawn for a tree, which bounds what a forest costs
Model = lightgbm.Booster | RandomForestRegressor
Fitted = dict[bytes, Model]  # by a digest of the features and targets they were fitted on


class CrossFit(NamedTuple):
    """Scores of the N candidates that a model was fitted on, and the model."""

    scores: np.ndarray  # (N,) float64 in [0, 1], each by a model that has not seen its part
    final: Model  # fitted on all candidates, for others


def cross_fit(
    features: np.ndarray,
    targets: np.ndarray,
    used: np.ndarray,
    parts: np.ndarray,
    names: list[str],
    params: RescoreParams,
    fitted: Fitted | None = None,
) -> CrossFit:
    """Fit one model on all candidates, and for every part one on those of the other parts.

    Parameters
    ----------
    features : ndarray of float, shape (N, F)
        Finite.
    targets : ndarray of float, shape (N,)
        In [0, 1].
    used : ndarray of bool, shape (N,)
        Whether a candidate is fitted on; it is scored in any case.
    parts : ndarray of int, shape (N,)
        The part of each candidate's image.
    names, params
        See `fit`.
    fitted : dict, optional
        Models by the same `params`, which are not fitted again on the same rows; those that are
        new are added. What a part is scored by is, among others, what all but that part say.

    Returns
    -------
    fitted : CrossFit

    Raises
    ------
    ValueError
        If the candidates used are of fewer than two parts, or as `fit`.
    """
    if len(np.unique(parts[used])) < 2:
        raise ValueError(f"candidates of at least two parts, got {np.unique(parts[used]).tolist()}")
    scores, fitted = np.zeros(len(targets)), {} if fitted is None else fitted
    for part in np.unique(parts):
        others = used & (parts != part)
        model = _fit_once(features[others], targets[others], names, params, fitted)
        scores[parts == part] = predict(model, features[parts == part])
    return CrossFit(scores, _fit_once(features[used], targets[used], names, params, fitted))


def _fit_once(
    features: np.ndarray,
    targets: np.ndarray,
    names: list[str],
    params: RescoreParams,
    fitted: Fitted,
) -> Model:
    digest = blake2b(np.asarray(features, np.float64).tobytes())
    digest.update(np.asarray(targets, np.float64).tobytes())
    key = digest.digest()
    if key not in fitted:
        fitted[key] = fit(features, targets, names, params)
    return fitted[key]


def fit(
    features: np.ndarray,
    targets: np.ndarray,
    names: list[str],
    params: RescoreParams,
    threads: int = 0,
) -> Model:
    """Fit a model of targets in [0, 1]; the same to the bit for any number of threads.

    `lightgbm` boosts trees on the cross entropy, whose predictions never leave [0, 1] (for targets
    of 0 and 1 it is a classifier). `random_forest` averages deeper trees, grown best split first
    on the squared error with a third of the features at each split
    and at most FOREST_ROWS candidates, drawn with replacement, in each tree.

    Parameters
    ----------
    features : ndarray of float, shape (N, F)
        Finite; N at least 1. Too few to split, or all with one target, make a constant model.
    targets : ndarray of float, shape (N,)
        In [0, 1].
    names : list of str
        Of the F features.
    params : RescoreParams
        Its score is one of MODELS. `trees`; `learning_rate`, of `lightgbm` alone; `leaves`, most of
        a tree, of which `random_forest` takes FOREST_LEAVES times as many; `seed`, of the samples
        of rows and features.
    threads : int
        0 is all.

    Returns
    -------
    fitted : lightgbm.Booster or RandomForestRegressor

    Raises
    ------
    ValueError
        If the score is not learnt, there is no row, a feature is not finite or a target is outside
        [0, 1].
    """
    _check(features, targets)
    if params.score == "lightgbm":
        settings = {
            "objective": "cross_entropy",
            "num_leaves": params.leaves,
            "learning_rate": params.learning_rate,
            "min_data_in_leaf": 20,
            "lambda_l2": 1.0,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "bagging_freq": int(len(targets) > 1),  # 0.8 of one row would be none
            "seed": params.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": threads,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(features, targets, feature_name=names)
        return lightgbm.train(settings, data, params.trees)
    if params.score == "random_forest":
        forest = RandomForestRegressor(
            n_estimators=params.trees,
            max_leaf_nodes=FOREST_LEAVES * params.leaves,
            min_samples_leaf=3,
            max_features=1 / 3,
            max_samples=min(len(targets), FOREST_ROWS),
            random_state=params.seed,
            n_jobs=threads or -1,
        )
        forest.fit(features, targets)
        forest.set_params(n_jobs=1)  # threads add up in any order
        return forest
    raise ValueError(f"score {params.score} is not learnt; {' and '.join(MODELS)} are")


def predict(model: Model, features: np.ndarray) -> np.ndarray:
    """Score candidates.

    Parameters
    ----------
    model : lightgbm.Booster or RandomForestRegressor
        From `fit`.
    features : ndarray of float, shape (N, F)
        Finite, the features it was fitted on.

    Returns
    -------
    scores : ndarray of float64, shape (N,)
        In [0, 1].

    Raises
    ------
    ValueError
        If a feature is not finite.
    """
    _check_finite(features)
    if not len(features):
        return np.zeros(0)
    scores = cast("np.ndarray", model.predict(features))  # sparse of sparse features alone
    return np.clip(scores, 0, 1)


def importances(model: Model) -> np.ndarray:
    """Return the share of each feature in what all splits gain, float64 (F,); 0 without a split."""
    if isinstance(model, RandomForestRegressor):
        gains = cast("np.ndarray", model.feature_importances_)
    else:
        gains = model.feature_importance("gain")
    return gains / gains.sum() if gains.any() else np.zeros(len(gains))


def model_text(model: Model) -> str | None:
    """Write a model as text, from which `lightgbm.Booster(model_str=...)` predicts the same.

    None of a `random_forest`, which has no text format.
    """
    return model.model_to_string() if isinstance(model, lightgbm.Booster) else None


def tree_count(model: Model) -> int | None:
    """Return how many trees the text of a model has; None of a `random_forest`."""
    return model.num_trees() if isinstance(model, lightgbm.Booster) else None


def _check(features: np.ndarray, targets: np.ndarray) -> None:
    if not len(targets):
        raise ValueError("no candidate to fit on")
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError(f"targets must be in [0, 1], got {targets.min()} to {targets.max()}")
    _check_finite(features)


def _check_finite(features: np.ndarray) -> None:
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=0))
    if wrong.size:
        raise ValueError(f"features {wrong.tolist()} have values that are not finite")
