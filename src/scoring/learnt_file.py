"""What val and test are scored by, but for the models of a second level: learnt.json.

{"params": {...}, "features": ["area", ...] or null, "trees": 300 or null,
 "calibrator": {"knots": [...], "rates": [...], "scores": [...]} or null}

Features and trees are those of second_level/final.txt, null where no text of a model is written.
The operating point lies in operating_point.json.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from pydantic import ValidationError

from src.base.errors import InputError
from src.base.files import read_json, write_text
from src.scoring.calibration import Calibrator
from src.scoring.learning import Learnt
from src.scoring.params import RescoreParams
from src.scoring.second_level import tree_count


class WrittenLearnt(NamedTuple):
    """What learnt.json tells."""

    params: RescoreParams  # of `src.scoring.learning.Learnt`
    features: list[str] | None  # of the second level, in their order
    trees: int | None
    calibrator: Calibrator | None


def write_learnt(path: Path, learnt: Learnt, features: list[str]) -> None:
    """Write what `read_learnt` reads.

    Parameters
    ----------
    path : Path
    learnt : Learnt
        Of val and test.
    features : list of str
        That a second level was fitted on, if there is one.
    """
    trees = None if learnt.model is None else tree_count(learnt.model)
    document: dict[str, Any] = {
        "params": dict(learnt.params),
        "features": None if trees is None else features,
        "trees": trees,
        "calibrator": None if learnt.calibrator is None else calibrator_lists(learnt.calibrator),
    }
    write_text(path, json.dumps(document, indent=2) + "\n")


def read_learnt(path: Path) -> WrittenLearnt:
    """Read what val and test are scored by.

    Raises
    ------
    InputError
        If the file is absent or not as `write_learnt` writes it.
    """
    found = read_json(path)
    try:
        document = cast("dict[str, Any]", found)
        params = RescoreParams.model_validate(document["params"])
        lists = document["calibrator"]
        calibrator = None if lists is None else calibrator_of(lists)
        return WrittenLearnt(params, document["features"], document["trees"], calibrator)
    except (KeyError, TypeError, ValueError, ValidationError):
        raise InputError(f"{path}: not what val and test are scored by; run rescore") from None


def calibrator_lists(calibrator: Calibrator) -> dict[str, list[float]]:
    """Return a calibrator as lists of numbers, from which `calibrator_of` makes the same again."""
    return {name: part.tolist() for name, part in calibrator._asdict().items()}


def calibrator_of(lists: dict[str, list[float]]) -> Calibrator:
    """Make a calibrator of lists of numbers.

    Parameters
    ----------
    lists : dict of str to list of float
        By the fields of `Calibrator`.

    Raises
    ------
    ValueError
        If there are other fields, or it is no function that `calibrate` could follow: scores and
        knots must rise from 0 up, rates never fall in [0, 1], and each have a number at least.
    """
    if lists.keys() != set(Calibrator._fields):
        raise ValueError(f"a calibrator has {', '.join(Calibrator._fields)}")
    for name, numbers in lists.items():
        given = cast("list[object]", numbers) if isinstance(cast("object", numbers), list) else []
        if not given or any(type(number) not in (int, float) for number in given):
            raise ValueError(f"{name} of a calibrator must be numbers, one at least")
    knots, rates, scores = (np.array(lists[name], np.float64) for name in Calibrator._fields)
    for name, rising in (("knots", knots), ("scores", scores)):
        if not (np.isfinite(rising).all() and rising[0] >= 0 and (np.diff(rising) > 0).all()):
            raise ValueError(f"{name} of a calibrator must rise, from 0 up")
    if len(knots) != len(rates) or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError("rates of a calibrator must be as many as knots, in [0, 1]")
    if (np.diff(rates) < 0).any():
        raise ValueError("rates of a calibrator must never fall")
    return Calibrator(knots, rates, scores)
