import numpy as np

from src.candidates.candidate_features import FEATURES
from src.candidates.candidate_table import MEASURED, TYPES, candidate_table, joined_tables
from src.scoring.candidate_tables import feature_names
from tests.plain_postprocess import plain


def table(name, *squares, **changes):
    mask = np.zeros((20, 20), np.uint8)
    for row, column, value in squares:
        mask[row : row + 5, column : column + 5] = value
    return candidate_table(name, {"mask": mask}, 0.0, plain(**changes))


def test_features_are_those_that_a_second_level_learns_from_in_their_order():
    joined = joined_tables([table("a", (1, 1, 255))])
    assert feature_names(joined) == list(MEASURED)
    assert sorted(MEASURED) == sorted(FEATURES)


def test_parents_count_from_the_first_row_of_all():
    nested = {"method": "layers", "layers": [0.3, 0.7]}
    one = table("a", (1, 1, 100), **nested)
    two = table("b", (1, 1, 100), **nested)
    mask = np.full((20, 20), 100, np.uint8)
    mask[5:9, 5:9] = 250
    three = candidate_table("c", {"mask": mask}, 0.0, plain(**nested))
    assert three["parent"].tolist() == [-1, 0]
    joined = joined_tables([one, two, three])
    assert joined["parent"].tolist() == [-1, -1, -1, 2]
    assert joined["name"].tolist() == ["a", "b", "c", "c"]


def test_spreads_are_measured_where_they_are():
    mask = np.zeros((20, 20), np.uint8)
    mask[2:7, 2:7] = 255
    spread = np.full((20, 20), 51, np.uint8)
    with_spread = candidate_table("a", {"mask": mask, "view_spread": spread}, 0.0, plain())
    assert with_spread["view_spread"].tolist() == [0.1]
    assert candidate_table("a", {"mask": mask}, 0.0, plain())["view_spread"].tolist() == [0.0]


def test_no_candidate_makes_a_table_of_the_same_types():
    whole = joined_tables([table("a", (1, 1, 255))])
    for empty in (joined_tables([]), joined_tables([table("a")])):
        assert len(empty) == 0
        assert list(empty) == list(TYPES)
        assert empty.dtypes.equals(whole.dtypes)
