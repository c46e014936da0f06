import numpy as np
import pytest

from src.analysis.average_precision import average_precision


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
