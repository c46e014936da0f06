import numpy as np
import pandas as pd

from src.scoring.candidate_tables import candidate_rles, feature_names, rows_of_images


def table():
    return pd.DataFrame(
        {
            "name": ["a", "a", "b", "b", "b"],
            "height": 3,
            "width": 4,
            "counts": list("vwxyz"),
            "area": 1,
            "parent": [-1, 0, -1, 2, 3],
            "mean_probability": 0.5,
        }
    )


def test_parents_stay_with_their_children():
    rows = rows_of_images(table(), np.array([False, False, True, True, True]))
    assert rows["counts"].tolist() == ["x", "y", "z"]
    assert rows["parent"].tolist() == [-1, 0, 1]
    assert rows.index.tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(rows_of_images(table(), np.ones(5, bool)), table())
    assert len(rows_of_images(table()[:0], np.zeros(0, bool))) == 0


def test_masks_and_features():
    assert candidate_rles(table())[1] == {"size": [3, 4], "counts": "w"}
    assert feature_names(table()) == ["area", "mean_probability"]
