import numpy as np
import pytest

from src.label_maps.distances import weight_planes
from src.label_maps.labels import IGNORE
from src.training.inside_distances import inside_distances
from src.training.targets import plane_names, training_planes, training_target

ALL_HEADS = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]


def test_target_is_background_object_or_ignored():
    instances = np.array([[0, 1, 700, 65535]], np.uint16)
    assert training_target(instances).tolist() == [[0, 1, 1, 255]]


@pytest.mark.parametrize(
    ("heads", "more"),
    [
        (["mask", "contact", "empty"], ()),
        (["mask", "border"], ("inside", "inside_relative")),
        (["mask", "boundary_distance"], ("inside", "inside_relative")),
        (["mask", "embedding"], ("id_low", "id_high")),
        (ALL_HEADS, ("inside", "inside_relative", "id_low", "id_high")),
    ],
)
def test_the_heads_decide_which_planes_there_are(heads, more):
    assert plane_names(heads) == ("target", "d1", "d2", "sqrt_area", *more)


def test_objects_are_told_apart_where_a_score_asks_for_it():
    assert plane_names(["mask"], ids=True)[4:] == ("id_low", "id_high")
    assert plane_names(ALL_HEADS, ids=True) == plane_names(ALL_HEADS)


def test_planes_come_in_the_order_of_their_names():
    instances = np.zeros((9, 12), np.uint16)
    instances[2:6, 1:5], instances[:, 8:], instances[0] = 3, 300, IGNORE
    weights, soft = weight_planes(instances, 20), np.full((9, 12), 7, np.uint8)
    names = plane_names(ALL_HEADS, soft=True)
    planes = training_planes(instances, weights, soft, names)
    assert (planes.shape, planes.dtype) == ((9, 12, 9), np.uint8)
    planes = dict(zip(names, planes.transpose(2, 0, 1), strict=True))
    np.testing.assert_array_equal(planes["target"], training_target(instances))
    np.testing.assert_array_equal([planes[n] for n in names[1:4]], weights.transpose(2, 0, 1))
    np.testing.assert_array_equal([planes[n] for n in names[4:6]], inside_distances(instances))
    np.testing.assert_array_equal(planes["id_low"] + 256 * planes["id_high"].astype(int), instances)
    assert (planes["soft"] == 7).all()


def test_without_a_probability_the_soft_target_is_the_target():
    instances = np.array([[0, 1, IGNORE]], np.uint16)
    names = plane_names(["mask"], soft=True)
    planes = training_planes(instances, weight_planes(instances, 20), None, names)
    assert planes[0, :, -1].tolist() == [0, 255, 0]
