import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from src.label_maps.labels import IGNORE
from src.training.inside_distances import inside_distances


def one_full_transform_per_object(instances):
    inside = np.zeros(instances.shape)
    relative = np.zeros(instances.shape)
    for label in set(np.unique(instances).tolist()) - {0, IGNORE}:
        is_object = instances == label
        distance = distance_transform_edt(is_object)
        inside[is_object] = distance[is_object]
        relative[is_object] = distance[is_object] / distance.max()
    return np.rint(inside * 4).clip(max=255), np.rint(relative * 255)


def assert_exact(instances):
    inside, relative = inside_distances(instances)
    expected_inside, expected_relative = one_full_transform_per_object(instances)
    np.testing.assert_array_equal(inside, expected_inside)
    np.testing.assert_allclose(relative, expected_relative, atol=1)  # rounding of a half
    assert (relative == expected_relative).mean() > 0.99


def random_boxes(rng, shape, count, longest):
    instances = np.zeros(shape, np.uint16)
    for label in range(1, count + 1):
        row, column = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        height, width = rng.integers(1, longest + 1, 2)
        instances[row : row + height, column : column + width] = label
    instances[rng.random(shape) < 0.02] = IGNORE
    return instances


def test_distances_in_a_row_are_quarter_pixels_to_the_nearest_other_pixel():
    instances = np.array([[0, 1, 1, 1, 1, 1, 0]], np.uint16)
    inside, relative = inside_distances(instances)
    assert inside.tolist() == [[0, 4, 8, 12, 8, 4, 0]]
    assert relative.tolist() == [[0, 85, 170, 255, 170, 85, 0]]


def test_distances_across_rows_are_euclidean():
    instances = np.full((5, 5), 1, np.uint16)
    instances[0, 0] = 0
    assert inside_distances(instances)[0, 1, 2] == round(4 * np.sqrt(5))


def test_touching_objects_bound_each_other():
    instances = np.array([[1, 1, 1, 2, 2]], np.uint16)
    assert inside_distances(instances)[0].tolist() == [[12, 8, 4, 4, 8]]


def test_each_object_has_its_own_largest_distance():
    instances = np.array([[0, 1, 0, 2, 2, 2, 0]], np.uint16)
    assert inside_distances(instances)[1].tolist() == [[0, 255, 0, 128, 255, 128, 0]]


def test_the_image_edge_is_no_boundary():
    instances = np.array([[1, 1, 1, 0]], np.uint16)
    assert inside_distances(instances)[0].tolist() == [[12, 8, 4, 0]]


def test_ignored_pixels_are_a_boundary_and_have_no_distance():
    instances = np.array([[IGNORE, IGNORE, 1, 1, 1]], np.uint16)
    assert inside_distances(instances)[0].tolist() == [[0, 0, 4, 8, 12]]
    assert (inside_distances(np.full((3, 3), IGNORE, np.uint16)) == 0).all()


def test_two_parts_of_one_object_do_not_bound_each_other():
    instances = np.array([[1, 1, 0, 0, 1, 1, 1]], np.uint16)
    assert inside_distances(instances)[0].tolist() == [[8, 4, 0, 0, 4, 8, 12]]


def test_an_object_that_is_the_whole_image_has_no_boundary():
    assert (inside_distances(np.full((4, 6), 7, np.uint16)) == 255).all()


def test_no_object_is_zero_everywhere():
    assert (inside_distances(np.zeros((3, 4), np.uint16)) == 0).all()


def test_distances_are_clipped_and_their_share_of_the_largest_is_not():
    instances = np.ones((1, 200), np.uint16)
    instances[0, 0] = 0
    inside, relative = inside_distances(instances)
    assert inside[0, 63:66].tolist() == [252, 255, 255]
    assert relative[0, [100, 150, 199]].tolist() == [128, 192, 255]


@pytest.mark.parametrize("seed", range(15))
def test_few_objects_equal_one_full_transform_per_object(seed):
    rng = np.random.default_rng(seed)
    assert_exact(random_boxes(rng, (80, 70), rng.integers(1, 15), longest=40))


@pytest.mark.parametrize("seed", range(10))
def test_many_objects_equal_one_full_transform_per_object(seed):
    rng = np.random.default_rng(seed)
    instances = random_boxes(rng, (20, 23), rng.integers(60, 200), longest=5)
    instances[instances != IGNORE] *= np.uint16(rng.choice([1, 3, 300]))  # gaps in the labels
    assert_exact(instances)


@pytest.mark.slow
def test_a_full_grid_of_one_pixel_objects_is_one_pixel_deep_everywhere():
    instances = np.arange(1, 60001, dtype=np.uint16).reshape(240, 250)
    inside, relative = inside_distances(instances)
    assert (inside == 4).all()
    assert (relative == 255).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 2), int), np.zeros((2, 2, 2), np.uint16)])
def test_what_is_not_an_instance_map_is_refused(bad):
    with pytest.raises(ValueError, match="2-D uint16"):
        inside_distances(bad)
