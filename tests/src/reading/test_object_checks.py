import numpy as np
import pytest

from src.reading.object_checks import find_repeated, object_warnings
from src.reading.records import SourceObject
from src.reading.segmentations import read_segmentation

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]
SQUARE_AS_RLE = {"size": [5, 6], "counts": [6, 2, 3, 2, 17]}
OTHER = [[1, 1, 3, 1, 3, 4, 1, 4]]
NOTHING = [[2, 2, 2, 2, 2, 2]]


def objects_of(*segmentations, crowd=(), **fields):
    return [
        SourceObject(
            id=10 + number,
            truth_id=10 + number,
            crowd=number in crowd,
            area=None,
            region=read_segmentation(segmentation, 5, 6)[0],
            repaired=number in fields.get("repaired", ()),
            outside=number in fields.get("outside", ()),
        )
        for number, segmentation in enumerate(segmentations)
    ]


def test_objects_of_the_same_pixels_are_repeated_however_they_are_written():
    objects = objects_of(SQUARE, OTHER, SQUARE_AS_RLE, OTHER, SQUARE)
    assert find_repeated(objects) == [False, False, True, True, True]


def test_a_crowd_and_an_object_are_not_the_same():
    objects = objects_of(SQUARE, SQUARE, SQUARE, SQUARE, crowd=(1, 3))
    assert find_repeated(objects) == [False, False, True, True]


def test_objects_without_a_pixel_are_not_the_same():
    assert find_repeated(objects_of(NOTHING, NOTHING)) == [False, False]


@pytest.mark.parametrize("shift", [1, 5, 6])
def test_the_same_shape_elsewhere_is_another_object(shift):
    moved = (np.reshape(SQUARE, (-1, 2)) + [shift % 5, shift // 5]).reshape(1, -1).tolist()
    assert find_repeated(objects_of(SQUARE, moved)) == [False, False]


def test_plain_objects_are_not_warned_of():
    assert object_warnings(objects_of(SQUARE, OTHER)) == []
    assert object_warnings([]) == []


def test_each_kind_is_named_once_with_its_objects():
    objects = objects_of(SQUARE, NOTHING, OTHER, SQUARE, OTHER, outside=(1, 2), repaired=(0,))
    assert object_warnings(objects) == [
        ("outside", "2 objects (id 11 12)"),
        ("repaired", "1 object (id 10)"),
        ("vanished", "1 object (id 11)"),
        ("duplicate", "2 objects (id 13 14)"),
    ]


def test_of_many_objects_the_first_five_are_named():
    five, six = (object_warnings(objects_of(*[NOTHING] * count)) for count in (5, 6))
    assert five == [("vanished", "5 objects (id 10 11 12 13 14)")]
    assert six == [("vanished", "6 objects (id 10 11 12 13 14 ...)")]
