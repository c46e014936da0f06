import numpy as np
import pytest

from src.objects.linked_objects import linked_labels


def links(right, down):
    """Affinity of likeness with the right and the lower neighbour, in [0, 1]."""
    planes = np.stack([right, down, np.zeros_like(right)], axis=-1)
    return np.rint(planes * 255).astype(np.uint8)


def test_pixels_are_joined_along_links_by_hand():
    right = np.array([[0.9, 0.1, 0.9], [0.2, 0.9, 0.9]])
    down = np.array([[0.9, 0.3, 0.3], [0.9, 0.9, 0.9]])
    labels = linked_labels(np.ones((2, 3), bool), links(right, down), link_threshold=0.5)
    assert labels.dtype == np.int32
    assert labels.tolist() == [[1, 1, 2], [1, 3, 3]]
    labels = linked_labels(np.ones((2, 3), bool), links(right, down), link_threshold=0.29)
    assert (labels == 1).all()


def test_the_threshold_itself_joins():
    affinity = links(np.array([[0.6, 0.0]]), np.zeros((1, 2)))  # 0.6 * 255 = 153
    region = np.ones((1, 2), bool)
    assert linked_labels(region, affinity, link_threshold=0.6).tolist() == [[1, 1]]
    assert linked_labels(region, affinity, link_threshold=0.61).tolist() == [[1, 2]]


def test_what_is_outside_the_region_joins_nothing():
    certain = links(np.ones((1, 3)), np.ones((1, 3)))
    region = np.array([[True, False, True]])
    assert linked_labels(region, certain, link_threshold=0.5).tolist() == [[1, 0, 2]]


def test_the_last_row_and_column_do_not_link_around_the_image():
    everywhere = np.full((2, 2, 3), 255, np.uint8)
    region = np.array([[False, True], [True, False]])
    assert linked_labels(region, everywhere, link_threshold=0.5).tolist() == [[0, 1], [2, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (4, 5)])
def test_all_alike_is_one_object_and_nothing_alike_as_many_as_pixels(shape):
    region = np.ones(shape, bool)
    alike = np.full((*shape, 3), 255, np.uint8)
    assert (linked_labels(region, alike, link_threshold=1.0) == 1).all()
    apart = linked_labels(region, np.zeros((*shape, 3), np.uint8), link_threshold=0.5)
    assert apart.ravel().tolist() == list(range(1, region.size + 1))
    assert not linked_labels(~region, alike, link_threshold=0.5).any()


def test_random_links_join_as_a_walk_along_them_does():
    random = np.random.default_rng(0)
    for _ in range(5):
        affinity = random.integers(0, 256, (13, 17, 3), np.uint8)
        region = random.random((13, 17)) < 0.8
        expected = np.where(region, np.arange(1, region.size + 1).reshape(region.shape), 0)
        changed = True
        while changed:  # the lower label of two linked pixels goes to both
            before = expected.copy()
            for y, x in np.argwhere(region):
                for ny, nx, plane in ((y, x + 1, 0), (y + 1, x, 1)):
                    inside = ny < region.shape[0] and nx < region.shape[1]
                    if inside and region[ny, nx] and affinity[y, x, plane] >= 0.4 * 255:
                        lowest = min(expected[y, x], expected[ny, nx])
                        expected[y, x] = expected[ny, nx] = lowest
            changed = (before != expected).any()
        labels = linked_labels(region, affinity, link_threshold=0.4)
        pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
        assert len(pairs) == len(np.unique(labels)) == len(np.unique(expected))
        assert (labels > 0).tolist() == region.tolist()


def test_an_affinity_of_another_size_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        linked_labels(np.ones((2, 2), bool), np.zeros((2, 3, 3), np.uint8), link_threshold=0.5)
