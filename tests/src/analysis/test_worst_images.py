import numpy as np

from src.analysis.worst_images import worst_images


def test_the_worst_images_hold_the_most_errors():
    objects = {
        "name": np.array(["b", "b", "a", "c", "d"]),
        "found": np.array([False, False, False, False, True]),
        "outcome": np.array(["missed", "merged", "missed", "split", "found"]),
    }
    detections = {"name": np.array(["a", "d"]), "kind": np.array(["spurious", "right"])}
    rows = worst_images(objects, detections, count=2)
    told = [tuple(row.values()) for row in rows]
    assert told == [
        ("all", 1, "a", 2, 0.4),  # as many as b: ordered by name
        ("all", 2, "b", 2, 0.4),
        ("missed", 1, "a", 1, 0.5),
        ("missed", 2, "b", 1, 0.5),
        ("merged", 1, "b", 1, 1),
        ("split", 1, "c", 1, 1),
        ("spurious", 1, "a", 1, 1),
    ]
