import json

import numpy as np
import pytest

from src.acceptance.operating_point import Point
from src.base.errors import InputError
from src.scoring.calibration import calibrate, fit_isotonic
from src.scoring.learning import Learnt
from src.scoring.learnt_file import calibrator_lists, calibrator_of, read_learnt, write_learnt
from src.scoring.second_level import fit
from tests.plain_rescore import params

POINT = Point(0.5, None, None)


@pytest.fixture
def calibrator():
    rng = np.random.default_rng(0)
    scores = rng.random(200)
    return fit_isotonic(scores, rng.random(200) < scores)


def test_a_model_is_told_by_features_and_trees(tmp_path, calibrator):
    asked = params(score="lightgbm", trees=4, operating_point="auto", calibration="isotonic")
    features = np.random.default_rng(0).random((100, 2))
    model = fit(features, features[:, 0].round(), ["area", "hint"], asked, threads=1)
    path = tmp_path / "learnt.json"
    write_learnt(path, Learnt(asked, model, calibrator, POINT), ["area", "hint"])
    found = read_learnt(path)
    assert found.params == asked
    assert (found.features, found.trees) == (["area", "hint"], 4)
    assert all(map(np.array_equal, found.calibrator, calibrator))


def test_a_rule_has_neither(tmp_path):
    write_learnt(tmp_path / "a.json", Learnt(params(), None, None, POINT), ["area"])
    assert read_learnt(tmp_path / "a.json") == (params(), None, None, None)


def test_a_calibrator_of_lists_calibrates_to_the_last_bit(calibrator):
    again = calibrator_of(json.loads(json.dumps(calibrator_lists(calibrator))))
    scores = np.linspace(0, 2, 999)
    assert (calibrate(again, scores) == calibrate(calibrator, scores)).all()


@pytest.mark.parametrize(
    "document",
    [[], {}, {"params": {}}, {"params": None, "features": None, "trees": None, "calibrator": 3}],
)
def test_another_document_is_refused(tmp_path, document):
    path = tmp_path / "learnt.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"learnt.json: not what val and test are scored by; run"):
        read_learnt(path)


def test_a_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_learnt(tmp_path / "learnt.json")
