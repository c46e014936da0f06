import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.analysis.overlaps import at_edge, mask_boxes, shared_pixels
from src.matching.matching import mask_areas


def masks(count, seed=0, shape=(17, 23)):
    return np.random.default_rng(seed).random((count, *shape)) < 0.3


def rles(masks):
    return [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]


@pytest.mark.parametrize(("first", "second"), [(4, 3), (0, 2), (2, 0)])
def test_shared_pixels_are_those_of_decoded_masks(first, second):
    one, other = masks(first), masks(second, seed=1)
    expected = (one[:, None] & other[None]).sum(axis=(2, 3))
    shared = shared_pixels(rles(one), rles(other))
    assert shared.dtype == np.int64
    np.testing.assert_array_equal(shared, expected)
    np.testing.assert_array_equal(mask_areas(rles(one)), one.sum(axis=(1, 2)))


def test_an_empty_mask_shares_nothing_and_has_no_box():
    empty, full = np.zeros((1, 5, 6)), np.ones((1, 5, 6))
    assert shared_pixels(rles(empty), rles(full)).tolist() == [[0]]
    assert mask_boxes(rles([*empty, *full])).tolist() == [[0, 0, 0, 0], [0, 0, 6, 5]]
    assert mask_boxes([]).shape == (0, 4)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="must have one size"):
        shared_pixels(rles(np.ones((1, 2, 2))), rles(np.ones((1, 3, 3))))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((2, 2, 6, 6), False),
        ((1, 2, 6, 6), True),
        ((2, 1, 6, 6), True),
        ((2, 2, 17, 6), True),
        ((2, 2, 16, 6), False),
        ((2, 2, 6, 7), True),
    ],
)
def test_the_edge_is_two_pixels_wide(box, expected):
    assert at_edge(np.array([box]), height=10, width=20).tolist() == [expected]


def test_areas_are_those_of_any_number_of_masks():
    one = masks(300, shape=(3, 4))
    np.testing.assert_array_equal(mask_areas(rles(one)), one.sum(axis=(1, 2)))
    assert mask_areas([]).shape == (0,)
