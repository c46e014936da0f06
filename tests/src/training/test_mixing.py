import numpy as np
import pytest

from src.base.errors import InputError
from src.label_maps.labels import IGNORE
from src.training.mixing import mosaic, paste_objects


def plain(value, shape, instances=None):
    """An image of one colour, its instances, one object unless given."""
    labels = np.full(shape, 1, np.uint16) if instances is None else instances
    return np.full((*shape, 3), value, np.uint8), labels


def scene(seed, shape=(20, 24)):
    """Images whose colour tells scene and label: (seed, label, 0) on objects and ignored pixels."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(shape, np.uint16)
    for label in (2, 5, 9, 200):  # gaps, and one number above the others
        row, column = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        instances[row : row + 4, column : column + 5] = label
    instances[:2] = IGNORE
    image = np.zeros((*shape, 3), np.uint8)
    image[..., 0], image[..., 1] = seed, instances % 256
    return image, instances


def test_a_mosaic_has_an_image_in_each_quarter():
    parts = [plain(value, (30, 30)) for value in (10, 20, 30, 40)]
    image, instances = mosaic(parts, 8, np.random.default_rng(0))
    assert image[::4, ::4, 0].tolist() == [[10, 20], [30, 40]]
    for quarter in (image[:4, :4], image[:4, 4:], image[4:, :4], image[4:, 4:]):
        assert (quarter == quarter[0, 0]).all()
    assert instances[::4, ::4].tolist() == [[1, 2], [3, 4]]


def test_an_odd_mosaic_is_filled_whole():
    image, instances = mosaic([plain(9, (30, 30))] * 4, 7, np.random.default_rng(0))
    assert (image == 9).all()
    assert [(instances == label).sum() for label in (1, 2, 3, 4)] == [9, 12, 12, 16]


@pytest.mark.parametrize("seed", range(10))
def test_objects_of_a_mosaic_keep_their_pixels_and_their_identity(seed):
    parts = [scene(number) for number in (1, 2, 3, 4)]
    image, instances = mosaic(parts, 16, np.random.default_rng(seed))
    is_object = (instances > 0) & (instances != IGNORE)
    seen = {  # (scene, label there, label here)
        (*colour.tolist(), label)
        for colour, label in zip(
            image[is_object][:, :2], instances[is_object].tolist(), strict=True
        )
    }
    labels = sorted({label for *_, label in seen})
    assert labels == list(range(1, len(labels) + 1)) == sorted(label for *_, label in seen)
    np.testing.assert_array_equal(instances == IGNORE, image[..., 1] == IGNORE % 256)
    np.testing.assert_array_equal(instances == 0, image[..., 1] == 0)


def test_the_crops_of_a_mosaic_lie_anywhere():
    rows = np.repeat(np.arange(6, dtype=np.uint8), 6).reshape(6, 6)
    part = (np.dstack([rows, rows.T, rows]), np.zeros((6, 6), np.uint16))
    starts = {
        tuple(mosaic([part] * 4, 8, np.random.default_rng(seed))[0][4, 4, :2].tolist())
        for seed in range(120)
    }
    assert starts == {(row, column) for row in range(3) for column in range(3)}


def test_small_images_of_a_mosaic_repeat_their_edge_and_are_ignored_there():
    image, instances = mosaic([plain(9, (3, 1))] * 4, 8, np.random.default_rng(0))
    assert (image == 9).all()
    expected = np.full((4, 4), IGNORE)
    expected[:3, 0] = 1
    np.testing.assert_array_equal(instances[:4, :4], expected)


def test_a_pasted_object_comes_with_its_pixels_and_cuts_what_it_covers():
    below = np.zeros((6, 6), np.uint16)
    below[2:4] = 3
    above = np.zeros((6, 6), np.uint16)
    above[:, 2:4] = 8
    image, instances = plain(10, (6, 6), below)
    results = [
        paste_objects(image, instances, *plain(99, (6, 6), above), np.random.default_rng(seed))
        for seed in range(40)
    ]
    pasted = [(i, m) for i, m in results if (i == 99).any()]
    assert 10 < len(pasted) < 30  # each object is taken with probability 1/2
    for seen, labels in pasted:
        covered = (seen == 99).all(axis=2)
        np.testing.assert_array_equal(labels == 2, covered)
        np.testing.assert_array_equal(labels == 1, (below == 3) & ~covered)
    assert (image == 10).all()
    np.testing.assert_array_equal(instances, below)


@pytest.mark.parametrize("seed", range(20))
def test_pasted_objects_keep_their_pixels_and_their_identity(seed):
    image, instances = scene(1)
    other_image, other_instances = scene(2, (31, 17))
    seen, labels = paste_objects(
        image, instances, other_image, other_instances, np.random.default_rng(seed)
    )
    is_object = (labels > 0) & (labels != IGNORE)
    known = {
        (*colour.tolist(), label)
        for colour, label in zip(seen[is_object][:, :2], labels[is_object].tolist(), strict=True)
    }
    numbers = sorted(label for *_, label in known)
    assert numbers == list(range(1, len(numbers) + 1))
    np.testing.assert_array_equal(labels == IGNORE, instances == IGNORE)
    kept = seen[..., 0] == 1
    np.testing.assert_array_equal(seen[kept], image[kept])
    assert (labels[~kept] > 0).all()
    assert (labels[~kept] != IGNORE).all()
    assert all(number == 1 for number, *_, label in known if label == 1)  # those pasted come last


def test_an_object_that_is_covered_whole_leaves_no_number():
    image, instances = plain(10, (4, 4), np.zeros((4, 4), np.uint16))
    instances[1, 1] = 1
    instances[3, 3] = 2
    other = np.full((40, 40), 7, np.uint16)
    for seed in range(60):
        seen, labels = paste_objects(
            image, instances, *plain(99, (40, 40), other), np.random.default_rng(seed)
        )
        if (seen == 99).all():
            assert (labels == 1).all()
            return
    pytest.fail("nothing was ever covered whole")


def test_shifts_reach_all_around():
    one = np.zeros((9, 9), np.uint16)
    one[4, 4] = 1
    image, nothing = plain(0, (5, 7), np.zeros((5, 7), np.uint16))
    places = set()
    for seed in range(400):
        _, labels = paste_objects(
            image, nothing, *plain(9, (9, 9), one), np.random.default_rng(seed)
        )
        places |= set(map(tuple, np.argwhere(labels).tolist()))
    assert places == {(row, column) for row in range(5) for column in range(7)}


def test_more_objects_than_labels_are_refused():
    dots = np.arange(1, 40001, dtype=np.uint16).reshape(200, 200)
    part = (np.zeros((200, 200, 3), np.uint8), dots)
    with pytest.raises(InputError, match="augment.mosaic and copy_paste: 80000 objects"):
        mosaic([part] * 4, 400, np.random.default_rng(0))
