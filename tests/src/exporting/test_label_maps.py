import numpy as np
import pytest

from src.base.errors import InputError
from src.exporting.label_maps import MOST_OBJECTS, paint_objects


def full(height, width):
    return np.ones((height, width), bool)


def test_the_first_object_lies_over_later_ones():
    instances = paint_objects([(full(1, 2), 1, 0), (full(2, 3), 0, 0)], 3, 4)
    assert instances.tolist() == [[2, 1, 1, 0], [2, 2, 2, 0], [0, 0, 0, 0]]
    assert instances.dtype == np.uint16


def test_only_pixels_of_the_mask_are_painted():
    corner = np.array([[True, False], [True, True]])
    instances = paint_objects([(corner, 2, 1), (~corner, 2, 1)], 3, 4)
    assert instances.tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 1, 1]]


def test_a_covered_object_leaves_its_number_out():
    instances = paint_objects([(full(2, 2), 0, 0), (full(1, 1), 1, 1), (full(1, 3), 0, 0)], 2, 3)
    assert instances.tolist() == [[1, 1, 3], [1, 1, 0]]


def test_no_objects_are_all_background():
    assert paint_objects([], 2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_ignore_label_is_never_given():
    pixel = full(1, 1)
    objects = [(pixel, number % 300, number // 300) for number in range(MOST_OBJECTS)]
    instances = paint_objects(objects, 300, 300)
    assert instances.max() == 65_534
    assert instances.ravel()[:MOST_OBJECTS].tolist() == list(range(1, 65_535))
    with pytest.raises(
        InputError, match="65535 objects in one image.*raise rescore.operating_point"
    ):
        paint_objects([*objects, (pixel, 0, 0)], 300, 300)
