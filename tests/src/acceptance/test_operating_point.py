import json

import pytest

from src.acceptance.operating_point import (
    OperatingPoint,
    Point,
    read_operating_point,
    write_operating_point,
)
from src.base.errors import InputError

CHOSEN = OperatingPoint(
    "f1_50", Point(0.43, 0.38, 0.49), {"0": Point(0.5, None, None), "1": Point(0.4, 0.3, 0.6)}
)


@pytest.mark.parametrize("point", [CHOSEN, OperatingPoint(None, Point(0.5, None, None), {})])
def test_what_is_written_is_read(tmp_path, point):
    write_operating_point(tmp_path / "point.json", point)
    assert read_operating_point(tmp_path / "point.json") == point


def test_it_is_written_by_these_keys(tmp_path):
    write_operating_point(tmp_path / "point.json", CHOSEN)
    assert json.loads((tmp_path / "point.json").read_text()) == {
        "metric": "f1_50",
        "all": {"score": 0.43, "low": 0.38, "high": 0.49},
        "folds": {
            "0": {"score": 0.5, "low": None, "high": None},
            "1": {"score": 0.4, "low": 0.3, "high": 0.6},
        },
    }


POINT = {"score": 0.4, "low": None, "high": None}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"metric": "pq", "all": POINT},
        {"metric": "pq", "folds": {}},
        {"metric": 3, "all": POINT, "folds": {}},
        {"metric": "pq", "all": POINT, "folds": []},
        {"metric": "pq", "all": POINT | {"score": None}, "folds": {}},
        {"metric": "pq", "all": POINT | {"score": "high"}, "folds": {}},
        {"metric": "pq", "all": POINT | {"sure": 1}, "folds": {}},
        {"metric": "pq", "all": POINT, "folds": {"0": 0.4}},
        {"metric": "pq", "all": POINT, "folds": {"0": POINT | {"low": float("nan")}}},
    ],
)
def test_anything_else_is_refused(tmp_path, document):
    (tmp_path / "point.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="point.json: no scores to accept from; run rescore"):
        read_operating_point(tmp_path / "point.json")


def test_a_missing_file_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="point.json: no such file"):
        read_operating_point(tmp_path / "point.json")
