import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.exporting.predicted_objects import read_image_objects
from tests.plain_prepared import write_prepared

IMAGES = [
    {"name": "test/a", "image_id": 1, "height": 4, "width": 5},
    {"name": "val/a", "image_id": 1, "height": 6, "width": 7},
    {"name": "val/b", "image_id": 2, "height": 4, "width": 5},
]


def rle_of(mask):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def result(image_id, score, mask):
    return {"image_id": image_id, "segmentation": rle_of(mask), "score": score}


def box(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture
def read(tmp_path):
    def read(results, split="val"):
        write_prepared(tmp_path / "prepared", IMAGES)
        (tmp_path / "val.json").write_text(json.dumps(results))
        return read_image_objects(tmp_path / "val.json", tmp_path / "prepared", split)

    return read


def test_objects_come_best_first_beside_their_image(read):
    one, two, three = (box(4, 5, slice(n, n + 1), slice(0, 2)) for n in range(3))
    found = read([result(2, 0.5, one), result(2, 0.9, two), result(2, 0.5, three)])
    assert [image[:3] for image in found] == [("val/a", 6, 7), ("val/b", 4, 5)]
    assert found[0].rles == found[0].scores == []
    assert found[1].scores == [0.9, 0.5, 0.5]
    assert found[1].rles == [rle_of(two), rle_of(one), rle_of(three)]


def test_objects_that_are_not_accepted_are_left_out(read):
    mask = np.ones((4, 5), bool)
    rows = (0.9, {"accepted": True}), (0.8, {}), (0.7, {"accepted": False})
    found = read([result(2, score, mask) | more for score, more in rows])
    assert found[1].scores == [0.9, 0.8]


def test_ids_count_within_a_split(read):
    results = [result(1, 0.5, box(4, 5, slice(1), slice(1)))]
    assert [(i.name, len(i.rles)) for i in read(results, split="test")] == [("test/a", 1)]


def test_objects_without_a_pixel_are_left_out(read):
    found = read([result(2, 0.9, np.zeros((4, 5), bool)), result(2, 0.5, np.ones((4, 5), bool))])
    assert found[1].scores == [0.5]


@pytest.mark.parametrize(
    ("image_id", "shape", "words"),
    [
        (3, (4, 5), "image_id 3 is none of the val images"),
        (2, (5, 4), r"an object of val/b has a mask of \[5, 4\] px .* says \[4, 5\]"),
    ],
)
def test_results_of_other_images_are_refused(read, image_id, shape, words):
    with pytest.raises(InputError, match=words):
        read([result(image_id, 0.5, np.ones(shape, bool))])


def test_no_table_of_the_split_is_named(tmp_path):
    (tmp_path / "val.json").write_text("[]")
    with pytest.raises(InputError, match="val/images.csv: no such file"):
        read_image_objects(tmp_path / "val.json", tmp_path, "val")
