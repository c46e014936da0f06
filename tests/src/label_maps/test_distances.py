import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from src.label_maps.distances import (
    encode_distances,
    padded_boxes,
    sqrt_area,
    two_nearest_distances,
    weight_planes,
)
from src.label_maps.labels import IGNORE


def one_full_transform_per_object(instances, max_distance):
    labels = np.unique(instances[instances > 0])
    each = [distance_transform_edt(instances != label) for label in labels]
    each += [np.full(instances.shape, np.inf)] * 2
    return np.sort(each, axis=0)[:2].clip(max=max_distance)


def random_boxes(rng, shape, count, longest):
    instances = np.zeros(shape, np.uint16)
    for label in range(1, count + 1):
        row, column = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        height, width = rng.integers(1, longest + 1, 2)
        instances[row : row + height, column : column + width] = label
    return instances


def test_distances_in_a_row_are_counted_in_pixels():
    instances = np.array([[1, 0, 0, 0, 2]], np.uint16)
    nearest, second = two_nearest_distances(instances, max_distance=10)
    np.testing.assert_array_equal(nearest, [[0, 1, 2, 1, 0]])
    np.testing.assert_array_equal(second, [[4, 3, 2, 3, 4]])


def test_distances_across_rows_are_euclidean():
    instances = np.zeros((5, 4), np.uint16)
    instances[0, 0], instances[4, 3] = 1, 2
    nearest, second = two_nearest_distances(instances, max_distance=10)
    assert nearest[1, 1] == pytest.approx(np.sqrt(2))
    assert second[1, 1] == pytest.approx(np.sqrt(9 + 4))
    assert second[0, 0] == pytest.approx(5)


def test_distances_are_clipped():
    instances = np.array([[1, 0, 0, 0, 0, 2]], np.uint16)
    nearest, second = two_nearest_distances(instances, max_distance=2)
    np.testing.assert_array_equal(nearest, [[0, 1, 2, 2, 1, 0]])
    np.testing.assert_array_equal(second, [[2, 2, 2, 2, 2, 2]])


def test_no_object_is_at_the_clip_everywhere():
    assert (two_nearest_distances(np.zeros((3, 4), np.uint16), max_distance=7) == 7).all()


def test_one_object_has_no_second_nearest():
    instances = np.array([[1, 0, 0]], np.uint16)
    assert (two_nearest_distances(instances, max_distance=7)[1] == 7).all()


def test_two_parts_of_one_object_are_not_two_objects():
    instances = np.array([[1, 0, 0, 0, 1]], np.uint16)
    nearest, second = two_nearest_distances(instances, max_distance=7)
    np.testing.assert_array_equal(nearest, [[0, 1, 2, 1, 0]])
    assert (second == 7).all()


def test_touching_objects_are_one_pixel_apart():
    instances = np.array([[1, 1, 2, 2]], np.uint16)
    np.testing.assert_array_equal(two_nearest_distances(instances, 9)[1], [[2, 1, 1, 2]])


def test_labels_need_not_be_contiguous():
    contiguous = np.array([[1, 0, 0, 2]], np.uint16)
    sparse = np.array([[9, 0, 0, 65534]], np.uint16)
    np.testing.assert_array_equal(
        two_nearest_distances(contiguous, 5), two_nearest_distances(sparse, 5)
    )


def test_an_object_that_fills_the_image_is_an_object():
    assert (two_nearest_distances(np.ones((4, 4), np.uint16), max_distance=7)[0] == 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_few_objects_equal_one_full_transform_per_object_up_to_the_clip(seed):
    rng = np.random.default_rng(seed)
    instances = random_boxes(rng, (90, 70), rng.integers(1, 12), longest=20)
    reference = one_full_transform_per_object(instances, 15)
    np.testing.assert_allclose(two_nearest_distances(instances, 15), reference, atol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_many_objects_equal_one_full_transform_per_object_up_to_the_clip(seed):
    rng = np.random.default_rng(seed)
    instances = random_boxes(rng, (31, 45), rng.integers(40, 200), longest=4)
    instances *= np.uint16(rng.choice([1, 3, 327]))  # gaps between the labels
    instances[:, 22:] = 0
    reference = one_full_transform_per_object(instances, 20)
    assert (reference == 20).any()
    np.testing.assert_allclose(two_nearest_distances(instances, 20), reference, atol=1e-4)


@pytest.mark.slow
def test_a_full_grid_of_one_pixel_objects_is_at_distances_zero_and_one():
    instances = np.arange(1, 65001, dtype=np.uint16).reshape(250, 260)
    nearest, second = two_nearest_distances(instances, max_distance=63)
    assert (nearest == 0).all()
    assert (second == 1).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 2), int), np.zeros((2, 2, 2), np.uint16)])
def test_what_is_not_an_instance_map_is_refused(bad):
    with pytest.raises(ValueError, match="2-D unsigned"):
        two_nearest_distances(bad, max_distance=5)


@pytest.mark.parametrize("bad", [0, -1])
def test_a_clip_that_is_not_positive_is_refused(bad):
    with pytest.raises(ValueError, match=f"max_distance must be positive, got {bad}"):
        two_nearest_distances(np.ones((2, 2), np.uint16), max_distance=bad)


def test_distances_are_encoded_in_quarter_pixels_rounded_and_clipped():
    distances = np.array([0, 0.12, 0.13, 1, np.sqrt(2), 63, 63.75, 64, 1e9], np.float32)
    encoded = encode_distances(distances)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded, [0, 0, 1, 4, 6, 252, 255, 255, 255])


def test_encoding_keeps_a_distance_to_an_eighth_of_a_pixel():
    distances = np.linspace(0, 63.75, 5000, dtype=np.float32)
    assert np.abs(encode_distances(distances) / 4 - distances).max() <= 1 / 8 + 1e-6


def test_sqrt_area_is_of_the_object_not_of_its_part():
    instances = np.array([[7, 7, 0, 7], [0, 0, 0, 7], [2, 0, 0, 0]], np.uint16)
    sizes = sqrt_area(instances)
    assert sizes.dtype == np.uint8
    np.testing.assert_array_equal(sizes, [[2, 2, 0, 2], [0, 0, 0, 2], [1, 0, 0, 0]])


def test_sqrt_area_keeps_touching_objects_apart():
    instances = np.repeat(np.array([[1, 2, 2, 2]], np.uint16), 4, axis=0)  # 4 px and 12 px
    np.testing.assert_array_equal(sqrt_area(instances)[0], [2, 3, 3, 3])


@pytest.mark.parametrize(("area", "size"), [(1, 1), (2, 1), (3, 2), (6, 2), (7, 3)])
def test_sqrt_area_is_rounded(area, size):
    instances = (np.arange(8) < area).astype(np.uint16)[None]
    np.testing.assert_array_equal(sqrt_area(instances), instances * size)


def test_sqrt_area_is_clipped_at_255():
    instances = np.zeros((300, 300), np.uint16)
    instances[:256, :256] = 3
    np.testing.assert_array_equal(sqrt_area(instances), (instances > 0) * 255)


def test_sqrt_area_without_objects_is_zero():
    np.testing.assert_array_equal(sqrt_area(np.zeros((2, 3), np.uint16)), np.zeros((2, 3)))


def test_boxes_reach_beyond_their_objects_up_to_the_edge():
    instances = np.zeros((5, 9), np.uint16)
    instances[0, 1:3], instances[3, 8], instances[2, 5] = 7, 2, 7
    assert padded_boxes(instances, 0) == {
        2: (slice(3, 4), slice(8, 9)),
        7: (slice(0, 3), slice(1, 6)),
    }
    assert padded_boxes(instances, 2) == {
        2: (slice(1, 5), slice(6, 9)),
        7: (slice(0, 5), slice(0, 8)),
    }


def test_weight_planes_are_both_distances_and_the_size_without_what_is_ignored():
    instances = np.array([[4, 4, 0, IGNORE, IGNORE, 0, 9]], np.uint16)
    planes = weight_planes(instances, max_distance=5)
    assert planes.dtype == np.uint8
    assert planes[0].T.tolist() == [
        [0, 0, 4, 8, 8, 4, 0],
        [20, 20, 16, 12, 12, 16, 20],
        [1, 1, 0, 0, 0, 0, 1],
    ]
