import numpy as np
import pytest

from src.formats.average_precision import RECALLS, average_precision, interpolated_precisions


@pytest.mark.parametrize(
    ("hits", "objects", "expected"),
    [
        ([], 3, 0),
        ([1, 1], 2, 1),
        ([0, 1], 1, 1 / 2),
        ([1, 0], 2, 51 / 101),  # recalls 0 to 0.5
        ([0, 1, 1], 2, 2 / 3),  # what comes later lifts the first half
        ([1, 0, 0, 1], 2, (51 + 50 / 2) / 101),
        ([0, 0], 5, 0),
    ],
)
def test_average_precision_by_hand(hits, objects, expected):
    assert average_precision(np.array(hits, bool), objects) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_precisions_are_cocos_definition_point_by_point(seed):
    rng = np.random.default_rng(seed)
    hits = rng.random(rng.integers(0, 40)) < 0.6
    objects = int(hits.sum() + rng.integers(1, 10))
    reached = [
        (hits[:count].sum() / objects, hits[:count].sum() / count)
        for count in range(1, len(hits) + 1)
    ]
    expected = [max((p for r, p in reached if r >= recall), default=0) for recall in RECALLS]
    assert interpolated_precisions(hits, objects).tolist() == expected
    assert average_precision(hits, objects) == pytest.approx(np.mean(expected), abs=1e-15)
