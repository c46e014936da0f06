import numpy as np
import pytest

from src.errors import InputError
from src.objects import label_objects, object_probabilities

PLAIN = {"threshold": 0.5, "connectivity": 4, "max_hole": 0, "min_area": 0, "dilate": 0}


def objects(rows, **changes):
    """Label a picture in which # is certain, . is nothing."""
    probability = np.array([[255 * (c == "#") for c in row] for row in rows], np.uint8)
    return label_objects(probability, **PLAIN | changes)


def test_objects_are_numbered_in_reading_order():
    np.testing.assert_array_equal(objects([".#.#", "#..#"]), [[0, 1, 0, 2], [3, 0, 0, 2]])


def test_diagonal_neighbours_are_one_object_only_with_eight():
    assert objects(["#.", ".#"]).max() == 2
    assert objects(["#.", ".#"], connectivity=8).max() == 1


def test_the_threshold_itself_is_foreground():
    probability = np.array([[101, 102, 103]], np.uint8)  # 102 / 255 = 0.4
    assert label_objects(probability, **PLAIN | {"threshold": 0.4}).tolist() == [[0, 1, 1]]


def test_small_objects_are_dropped_and_numbers_stay_contiguous():
    np.testing.assert_array_equal(objects(["#.##"], min_area=2), [[0, 0, 1, 1]])


RING = ["#####", "#...#", "#####"]


def test_a_hole_is_filled_up_to_its_area():
    assert objects(RING, max_hole=2).tolist() == objects(RING).tolist()
    assert objects(RING, max_hole=3).all()


def test_background_at_the_edge_is_no_hole():
    assert objects([".#", "##"], max_hole=9)[0, 0] == 0


def test_a_diagonal_leak_closes_a_hole_only_if_objects_join_diagonally():
    leaky = [".###.", "#..##", "#####", "####."]
    assert objects(leaky, max_hole=2, connectivity=8)[1, 1] == 1
    assert objects(leaky, max_hole=2, connectivity=4)[1, 1] == 0


def test_objects_grow_into_background_without_overlap():
    np.testing.assert_array_equal(objects(["#....#"], dilate=1), [[1, 1, 0, 0, 2, 2]])
    grown = objects(["#...#"], dilate=9)[0]
    assert grown[1] == 1
    assert grown[3] == 2
    assert grown.all()


def test_minimum_area_is_counted_before_growing():
    assert not objects(["#..."], min_area=2, dilate=1).any()


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_and_everything(value):
    labels = label_objects(np.full((3, 4), value, np.uint8), **PLAIN | {"max_hole": 5, "dilate": 2})
    assert (labels == value // 255).all()


def test_a_single_pixel_image():
    assert label_objects(np.full((1, 1), 255, np.uint8), **PLAIN).tolist() == [[1]]


def test_many_objects_fit_until_the_labels_run_out():
    checkers = np.zeros((512, 512), np.uint8)
    checkers[::2, ::2] = 255
    assert label_objects(checkers[:510], **PLAIN).max() == 255 * 256
    with pytest.raises(InputError, match="postprocess.min_area 1: leaves 65536 objects in one"):
        label_objects(checkers, **PLAIN | {"min_area": 1})


def test_another_connectivity_is_refused():
    with pytest.raises(ValueError, match="4 or 8, got 6"):
        objects(["#"], connectivity=6)


def test_probabilities_of_objects_by_hand():
    probability = np.array([[51, 102, 0, 255]], np.uint8)
    instances = np.array([[1, 1, 0, 2]], np.uint16)
    mean, largest = object_probabilities(probability, instances, 2)
    np.testing.assert_allclose(mean, [0.3, 1])
    np.testing.assert_allclose(largest, [0.4, 1])


def test_no_object_has_no_probability():
    zero = np.zeros((2, 2), np.uint8)
    mean, largest = object_probabilities(zero, zero.astype(np.uint16), 0)
    assert mean.size == largest.size == 0
