import numpy as np

from src.analysis.outcomes import analyse_image
from src.analysis.rates import precision_by_bin, recall_by_bin


def rates(rows, question):
    """Return the bins that hold something."""
    told = {row["bin"]: tuple(row.values())[2:] for row in rows if row["question"] == question}
    return {label: numbers for label, numbers in told.items() if numbers != (0, 0, None)}


def test_recall_is_told_bin_by_bin():
    objects = {
        "area": np.array([48, 49, 196, 9216, 195]),
        "neighbour_distance": np.array([1, 8, 8.5, np.nan, 8]),
        "neighbour_area": np.array([49, 48, 400, np.nan, 196]),
        "at_edge": np.array([True, False, False, False, True]),
        "found": np.array([False, True, True, True, False]),
        "group": np.array(["a", "a", "b", "c", "b"]),
    }
    rows = recall_by_bin(objects, groups=["a", "b"])
    assert rates(rows, "size") == {
        "below 7 px": (1, 0, 0),
        "7 to 14 px": (2, 1, 1 / 2),
        "14 to 20 px": (1, 1, 1),
        "from 96 px": (1, 1, 1),
    }
    assert rates(rows, "neighbour_distance") == {
        "below 2 px": (1, 0, 0),
        "8 to 16 px": (3, 2, 2 / 3),
        "none": (1, 1, 1),
    }
    assert rates(rows, "neighbour_size") == {
        "below 7 px": (1, 1, 1),
        "7 to 14 px": (1, 0, 0),
        "14 to 20 px": (1, 0, 0),
        "20 to 32 px": (1, 1, 1),
        "none": (1, 1, 1),
    }
    assert rates(rows, "at_edge") == {"no": (3, 3, 1), "yes": (2, 0, 0)}
    assert rates(rows, "small_object") == {  # the last one's neighbour is larger by a pixel
        "none such": (1, 1, 1),
        "a larger neighbour within 8 px": (2, 0, 0),
    }
    assert rates(rows, "group") == {"a": (2, 1, 0.5), "b": (2, 1, 0.5)}


def test_precision_is_told_bin_by_bin():
    detections = {
        "area": np.array([10, 10, 200]),
        "at_edge": np.array([False, False, True]),
        "kind": np.array(["right", "spurious", "right"]),
        "group": np.array(["a", "b", "c"]),
    }
    rows = precision_by_bin(detections, groups=["b"])
    assert rates(rows, "size") == {"below 7 px": (2, 1, 0.5), "14 to 20 px": (1, 1, 1)}
    assert rates(rows, "at_edge") == {"no": (2, 1, 0.5), "yes": (1, 1, 1)}
    assert rates(rows, "group") == {"b": (1, 0, 0)}


def test_bins_stand_in_their_order_whether_or_not_they_hold_something():
    nothing = analyse_image([], [], 40, 60, 0.1)
    rows = precision_by_bin(nothing.detections | {"group": np.empty(0, object)}, groups=["a"])
    sizes = [row["bin"] for row in rows if row["question"] == "size"]
    assert sizes[:3] == ["below 7 px", "7 to 14 px", "14 to 20 px"]
    assert sizes[-1] == "from 96 px"
    assert {row["precision"] for row in rows} == {None}
