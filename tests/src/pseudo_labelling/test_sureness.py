import numpy as np
import pytest

from src.base.errors import InputError
from src.pseudo_labelling import sureness as sureness_module
from src.pseudo_labelling.sureness import is_uncertain, pseudo_instances, sureness

U = 65535  # uncertain
LIMITS = {"low": 0.2, "high": 0.8}


def array(rows):
    return np.array(rows, np.uint8)


def test_the_limits_themselves_are_certain():
    rows = [[0, 51, 52, 128, 203, 204, 255]]  # 51 / 255 is 0.2, 204 / 255 is 0.8
    assert is_uncertain(array(rows), **LIMITS).tolist() == [[0, 0, 1, 1, 1, 0, 0]]
    assert not is_uncertain(array(rows), low=0.5, high=0.5).any()


def test_certain_is_the_share_of_certain_pixels_of_the_mean():
    maps = [array([[255, 255, 0, 0]]), array([[255, 0, 0, 0]])]  # the second pixel has 0.5
    assert sureness(maps, [], **LIMITS).certain == 0.75
    assert sureness(maps[:1], [], **LIMITS).certain == 1.0


def test_spread_is_the_mean_deviation_over_networks():
    maps = [array([[255, 10, 40, 0]]), array([[0, 10, 10, 0]])]
    expected = (255 / 2 + 30 / 2) / 255 / 4
    assert sureness(maps, [], **LIMITS).spread == pytest.approx(expected)
    assert sureness(maps[:1], [], **LIMITS).spread == 0


def test_spread_of_one_network_is_that_over_views():
    spread = sureness([array([[0, 255]])], [array([[102, 0]])], **LIMITS).spread
    assert spread == pytest.approx(102 / 510 / 2)


def test_spread_over_networks_and_views_is_that_of_all_their_maps():
    rng = np.random.default_rng(0)
    views = rng.random((3, 4, 5, 6))  # networks, views of each, pixels
    maps = [array(np.rint(one.mean(0) * 255)) for one in views]
    spreads = [array(np.rint(one.std(0) * 510)) for one in views]
    expected = views.reshape(12, 5, 6).std(0).mean()
    assert sureness(maps, spreads, **LIMITS).spread == pytest.approx(expected, abs=0.5 / 255)


def test_the_iou_to_expect_is_the_expected_intersection_over_the_expected_union():
    probability = array([[255, 204, 127, 51]])  # two pixels found, 178 / 255 expected outside
    expected = (255 + 204) / (2 * 255 + 127 + 51)
    assert sureness([probability], [], **LIMITS).expected_iou == pytest.approx(expected)


def test_the_iou_to_expect_is_1_for_sure_objects_and_0_for_none():
    found = [sureness([array([row])], [], **LIMITS).expected_iou for row in ([255, 0], [0, 127])]
    assert found == [1.0, 0.0]


def test_instances_are_connected_regions_with_uncertain_pixels_ignored():
    probability = [
        [255, 204, 0, 51, 0, 128, 0],
        [128, 203, 0, 52, 0, 127, 0],
        [0, 0, 255, 0, 0, 0, 230],
    ]
    found = pseudo_instances(array(probability), **LIMITS)
    assert found.dtype == np.uint16
    assert found.tolist() == [
        [1, 1, 0, 0, 0, U, 0],
        [U, U, 0, U, 0, U, 0],
        [0, 0, 2, 0, 0, 0, 3],  # touching at a corner is not touching
    ]


def test_parts_joined_by_uncertain_pixels_from_a_half_on_are_one_object():
    assert pseudo_instances(array([[255, 128, 255]]), **LIMITS).tolist() == [[1, U, 1]]
    assert pseudo_instances(array([[255, 127, 255]]), **LIMITS).tolist() == [[1, U, 2]]


def test_labels_have_no_gap_where_a_region_has_no_certain_pixel():
    row = [255, 0, 150, 0, 255]
    assert pseudo_instances(array([row]), **LIMITS).tolist() == [[1, 0, U, 0, 2]]


def test_an_image_without_objects_is_background():
    assert pseudo_instances(array([[0, 51]]), **LIMITS).tolist() == [[0, 0]]


def test_more_objects_than_labels_are_refused(monkeypatch):
    monkeypatch.setattr(sureness_module, "MAX_OBJECTS", 2)
    row = [255, 0, 255, 0, 255]
    assert pseudo_instances(array([row[:3]]), **LIMITS).max() == 2
    with pytest.raises(InputError, match="3 objects in one image, more than 2; cut it into tiles"):
        pseudo_instances(array([row]), **LIMITS)
