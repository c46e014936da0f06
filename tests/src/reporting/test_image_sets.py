import pandas as pd

from src.reporting.image_sets import set_rows


def test_a_set_is_summed_up_split_by_split():
    train = {"split": "train", "height": 300, "width": 200}
    rows = set_rows(
        pd.DataFrame(
            [
                {"split": "test", "height": 10, "width": 10, "objects": None, "coverage": None},
                {**train, "objects": 1500.0, "coverage": 0.5},
                {**train, "height": 280, "objects": 0.0, "coverage": 0.0},
            ]
        )
    )
    assert [tuple(row) for row in rows] == [
        ("train", "2", "1,500", "1", "25.0%", "280-300 x 200"),
        ("test", "1", "–", "–", "–", "10 x 10"),
    ]
