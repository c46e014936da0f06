import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.objects.rle import crop_mask, decode, encode_instances

# pycocotools decodes with NumPy's older copy protocol
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def assert_is_what_pycocotools_makes(instances):
    """Compare with one encoding of a whole mask per object."""
    objects = encode_instances(instances)
    labels = np.unique(instances[instances > 0])
    np.testing.assert_array_equal(objects.labels, labels)
    masks = [np.asfortranarray(instances == label).view(np.uint8) for label in labels]
    references = [coco_mask.encode(mask) for mask in masks]
    expected = [r | {"counts": r["counts"].decode()} for r in references]
    assert objects.rles == expected
    np.testing.assert_array_equal(objects.areas, [coco_mask.area(r) for r in references])
    boxes = np.array([coco_mask.toBbox(r) for r in references]).reshape(-1, 4)
    np.testing.assert_array_equal(objects.boxes, boxes)


def test_runs_go_down_the_columns_and_begin_with_background():
    objects = encode_instances(np.array([[0, 5, 5], [0, 5, 0]], np.uint16))
    runs = {"size": [2, 3], "counts": [2, 3, 1]}
    assert objects.rles[0]["counts"] == coco_mask.frPyObjects(runs, 2, 3)["counts"].decode()
    assert objects.rles[0]["size"] == [2, 3]
    assert objects.labels.tolist() == [5]
    assert objects.areas.tolist() == [3]
    assert objects.boxes.tolist() == [[1, 0, 2, 2]]


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_encoded_as_pycocotools_does(seed):
    rng = np.random.default_rng(seed)
    height, width, labels = rng.integers(1, 40, 3)
    density = rng.random()
    instances = rng.integers(1, labels + 1, (height, width)) * (
        rng.random((height, width)) < density
    )
    assert_is_what_pycocotools_makes(instances.astype(np.uint16))


@pytest.mark.parametrize("seed", range(30))
def test_shapes_are_encoded_as_pycocotools_does(seed):
    rng = np.random.default_rng(seed)
    instances = np.zeros((80, 60), np.uint16)
    for label in rng.choice(np.arange(1, 60000), rng.integers(1, 30), replace=False):
        row, column, height, width = rng.integers(0, 60, 4)
        instances[row : row + height // 2, column : column + width // 2] = label
    assert_is_what_pycocotools_makes(instances)


@pytest.mark.parametrize(
    "instances",
    [
        np.ones((4, 3)),
        np.ones((1, 1)),
        np.eye(5),
        np.tri(6),
        np.array([[0, 0], [0, 9]]),
        np.array([[9, 0], [0, 0]]),
        np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]]),  # one run around the end of a column
        np.array([[1, 2], [2, 1]]),
        np.arange(1, 13).reshape(3, 4),
        np.array([[1, 0, 2, 0, 1]]),
        np.array([[1], [0], [2], [0], [1]]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_corner_cases_are_encoded_as_pycocotools_does(instances, dtype):
    assert_is_what_pycocotools_makes(instances.astype(dtype))


def test_memory_order_does_not_matter():
    instances = np.random.default_rng(0).integers(0, 4, (9, 7)).astype(np.uint16)
    straight = encode_instances(instances).rles
    assert encode_instances(np.asfortranarray(instances)).rles == straight
    assert encode_instances(np.dstack([instances] * 2)[..., 0]).rles == straight


def test_long_runs_are_encoded_as_pycocotools_does():
    instances = np.zeros((1200, 900), np.uint16)
    instances[1:, 1:-1] = 65535
    assert_is_what_pycocotools_makes(instances)


@pytest.mark.parametrize("seed", range(10))
def test_runs_about_the_limits_of_a_character_are_encoded_as_pycocotools_does(seed):
    rng = np.random.default_rng(seed)
    limits = np.concatenate([2**power + np.arange(-2, 3) for power in (4, 5, 9, 10, 14)])
    lengths = rng.permutation(np.concatenate([limits, limits, [1, 2, 3]]))
    labels = rng.integers(0, 4, lengths.size).astype(np.uint8)
    assert_is_what_pycocotools_makes(np.repeat(labels, lengths)[None])


@pytest.mark.parametrize("length", [2**19 - 1, 2**19, 2**24 - 1, 2**24])
def test_very_long_runs_are_encoded_as_pycocotools_does(length):
    instances = np.zeros((1, length + 5), np.uint8)
    instances[0, [length, length + 2]] = 1  # the third run is short, the fifth as it comes
    assert_is_what_pycocotools_makes(instances)
    assert_is_what_pycocotools_makes(1 - instances)


def test_one_object_with_every_pixel_has_one_run():
    objects = encode_instances(np.full((300, 200), 65535, np.uint16))
    assert objects.labels.tolist() == [65535]
    assert objects.areas.tolist() == [60000]
    assert objects.boxes.tolist() == [[0, 0, 200, 300]]
    assert decode(objects.rles[0]).all()


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 4), (4, 0)])
def test_no_object_is_no_rle(shape):
    objects = encode_instances(np.zeros(shape, np.uint16))
    assert objects.rles == []
    assert objects.labels.shape == objects.areas.shape == (0,)
    assert objects.boxes.shape == (0, 4)
    assert {array.dtype for array in (objects.labels, objects.areas, objects.boxes)} == {
        np.dtype(np.int64)
    }


def test_sixty_five_thousand_objects_of_one_pixel_each_have_their_place():
    instances = np.arange(1, 65001, dtype=np.uint16).reshape(250, 260)
    objects = encode_instances(instances)
    assert (objects.areas == 1).all()
    rows, columns = np.divmod(objects.labels - 1, 260)
    ones = np.ones(65000)
    np.testing.assert_array_equal(objects.boxes, np.stack([columns, rows, ones, ones], axis=1))
    for place in (0, 259, 260, 31234, 64999):
        mask = np.asfortranarray(instances == place + 1).view(np.uint8)
        assert objects.rles[place]["counts"] == coco_mask.encode(mask)["counts"].decode()


@pytest.mark.parametrize("seed", range(10))
def test_decoding_brings_the_masks_back(seed):
    instances = np.random.default_rng(seed).integers(0, 5, (13, 17)).astype(np.uint16)
    objects = encode_instances(instances)
    for label, rle in zip(objects.labels, objects.rles, strict=True):
        mask = decode(rle)
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, instances == label)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 2), int), np.zeros((2, 2), bool), np.zeros((2, 2, 1), np.uint16)]
)
def test_what_is_not_an_instance_map_is_refused(bad):
    with pytest.raises(ValueError, match="2-D unsigned"):
        encode_instances(bad)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(2, 3), slice(1, 2)),
        (slice(0, 4), slice(0, 5)),
        (slice(1, 3), slice(2, 5)),
        (slice(3, 4), slice(0, 5)),
    ],
)
def test_a_crop_is_the_box_of_the_mask(rows, columns):
    mask = np.zeros((4, 5), bool)
    mask[rows, columns] = True
    if mask.sum() > 5:
        mask[rows.start, columns.start] = False  # not all of its box
    crop, x, y = crop_mask(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    assert (x, y) == (columns.start, rows.start)
    assert np.array_equal(crop, mask[rows, columns])
    assert crop.flags.c_contiguous


def test_a_mask_without_a_pixel_has_an_empty_crop():
    crop, *_ = crop_mask(coco_mask.encode(np.zeros((4, 5), np.uint8, order="F")))
    assert crop.shape == (0, 0)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("as_text", [True, False])
def test_crops_are_those_of_the_whole_mask(seed, as_text):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 3000 if seed % 2 else 30, 2)
    mask = np.zeros((height, width), np.uint8, order="F")
    row, column = rng.integers(0, height), rng.integers(0, width)
    part = mask[row : row + rng.integers(1, 90), column : column + rng.integers(1, 90)]
    part[:] = rng.random(part.shape) < rng.choice([0.1, 0.9, 1.0])
    rle = coco_mask.encode(mask)
    if as_text:
        rle["counts"] = rle["counts"].decode()
    crop, x, y = crop_mask(rle)
    box = coco_mask.toBbox(rle).astype(int)
    assert [x, y, *crop.shape[::-1]] == box.tolist()
    assert crop.dtype == bool
    assert crop.flags.c_contiguous
    np.testing.assert_array_equal(crop, mask[y : y + crop.shape[0], x : x + crop.shape[1]] > 0)


def test_runs_of_no_pixel_are_nothing_in_a_crop():
    counts = [3, 2, 0, 1, 4, 0, 2, 2, 26]  # object, object again, nothing, object
    rle = coco_mask.frPyObjects({"size": [8, 5], "counts": counts}, 8, 5)
    crop, x, y = crop_mask(rle)
    np.testing.assert_array_equal(crop, decode(rle)[y : y + 3, x : x + 2])
    assert crop.sum() == 5
