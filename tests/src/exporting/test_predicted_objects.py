import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.exporting.predicted_objects import crop_mask, read_image_objects

IMAGES = """name,split,image_id,file_name,height,width
test/a,test,1,a.jpg,4,5
val/a,val,1,a.jpg,6,7
val/b,val,2,b.jpg,4,5
"""


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
    def read(results, images=IMAGES, split="val"):
        (tmp_path / "images.csv").write_text(images)
        (tmp_path / "val.json").write_text(json.dumps(results))
        return read_image_objects(tmp_path / "val.json", tmp_path / "images.csv", split)

    return read


def test_objects_come_best_first_beside_their_image(read):
    one, two, three = (box(4, 5, slice(n, n + 1), slice(0, 2)) for n in range(3))
    found = read([result(2, 0.5, one), result(2, 0.9, two), result(2, 0.5, three)])
    assert [image[:3] for image in found] == [("val/a", 6, 7), ("val/b", 4, 5)]
    assert found[0].rles == found[0].scores == []
    assert found[1].scores == [0.9, 0.5, 0.5]
    assert found[1].rles == [rle_of(two), rle_of(one), rle_of(three)]


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


def test_a_table_without_a_column_or_no_table_is_named(read, tmp_path):
    with pytest.raises(InputError, match="images.csv: no column 'image_id'"):
        read([], images="name,split\n")
    with pytest.raises(InputError, match="nothing.csv: no such file"):
        read_image_objects(tmp_path / "val.json", tmp_path / "nothing.csv", "val")


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
    mask = box(4, 5, rows, columns)
    if mask.sum() > 5:
        mask[rows.start, columns.start] = False  # not all of its box
    crop, x, y = crop_mask(rle_of(mask))
    assert (x, y) == (columns.start, rows.start)
    assert np.array_equal(crop, mask[rows, columns])
    assert crop.flags.c_contiguous
