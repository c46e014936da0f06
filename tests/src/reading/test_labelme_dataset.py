import base64
import json

import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.reading.labelme_dataset import read_objects
from src.reading.object_checks import object_warnings
from tests.recognised import found

IMAGE = np.full((20, 40, 3), 120, np.uint8)
SQUARE = [[4, 5], [12, 5], [12, 10], [4, 10]]  # columns 4 to 11, rows 5 to 9


def shape(points, kind="polygon", label="roof", group=None, mask=None):
    """A shape with the keys that labelme 6.3 writes."""
    return {
        "label": label, "points": points, "group_id": group, "description": "",
        "shape_type": kind, "flags": {}, "mask": mask,
    }  # fmt: skip


def png(mask):
    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]).decode()


def write(root, files, **changes):
    """Write an image by split and name, and its shapes; None: an image alone."""
    for name, shapes in files.items():
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), IMAGE)
        document = {
            "version": "6.3.1", "flags": {}, "shapes": shapes, "imagePath": path.name,
            "imageData": None, "imageHeight": 20, "imageWidth": 40,
        } | changes  # fmt: skip
        if shapes is not None:
            path.with_suffix(".json").write_text(json.dumps(document))
    return root


def masks(record):
    """Masks by id."""
    objects = read_objects(record, 20, 40)
    masks = {one.id: np.zeros(800, bool) for one in objects}
    assert len(masks) == len(objects)
    for one in objects:
        for start, stop in one.region.runs.tolist():
            masks[one.id][start:stop] = True
    return {number: mask.reshape(40, 20).T for number, mask in masks.items()}


def filled(*boxes):
    mask = np.zeros((20, 40), bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("folder", ["train", "train/images"])
def test_every_kind_of_shape_is_read(tmp_path, folder):
    tick = np.array([[1, 0, 0], [0, 1, 1]], bool)
    shapes = [
        shape(SQUARE),
        shape([[30, 12], [24, 8]], "rectangle"),
        shape([[8, 14], [12, 14]], "circle"),
        shape([[33, 2], [35, 3]], "mask", mask=png(tick)),
        shape([[1, 1], [9, 9]], "line"),
        shape([[3, 3]], "point"),
        shape([[15, 2], [19, 2], [19, 6], [15, 6]], "oriented_rectangle"),
        shape([[3, 3], [5, 5]]),
    ]
    dataset, chosen = found(write(tmp_path, {f"{folder}/a": shapes, f"{folder}/b": []}))
    assert chosen == {"format": "labelme", "category_id": 1}
    assert dataset.category == {"id": 1, "name": "roof"}
    assert [(r.name, r.size) for r in dataset.records] == [
        ("train/a", (20, 40)), ("train/b", (20, 40))
    ]  # fmt: skip
    assert (dataset.unlisted, read_objects(dataset.records[1], 20, 40)) == (0, [])
    seen = masks(dataset.records[0])
    assert np.array_equal(seen[1], filled((5, 10, 4, 12)))
    assert np.array_equal(seen[2], filled((8, 12, 24, 30)))
    rows, columns = np.ogrid[:20, :40]
    disc = (rows + 0.5 - 14) ** 2 + (columns + 0.5 - 8) ** 2 < 16
    assert (seen[3] ^ disc).sum() <= 2
    assert np.array_equal(seen[4][2:4, 33:36], tick)
    assert seen[4].sum() == 3
    assert np.array_equal(seen[7], filled((2, 6, 15, 19)))
    warnings = dict(object_warnings(read_objects(dataset.records[0], 20, 40)))
    assert warnings["line"].startswith("2 objects (id 5 6): lines or points")
    assert warnings["incomplete"].startswith("1 object (id 8)")


def test_shapes_of_a_label_and_group_are_parts_of_one(tmp_path):
    other = [[20, 3], [26, 3], [26, 9], [20, 9]]
    shapes = [shape(SQUARE, group=7), shape(other), shape(other, group=7)]
    shapes += [shape(SQUARE, group=7, label="shed"), shape([[0, 0], [1, 1]], "line", group=7)]
    (record,) = found(write(tmp_path, {"train/a": shapes}), category_id=["roof", "shed"])[0].records
    seen = masks(record)
    assert list(seen) == [1, 2, 4]
    assert np.array_equal(seen[1], filled((5, 10, 4, 12), (3, 9, 20, 26)))
    assert np.array_equal(seen[4], filled((5, 10, 4, 12)))
    assert not any(one.line for one in read_objects(record, 20, 40))


def test_labels_are_chosen(tmp_path):
    write(tmp_path, {"train/a": [shape(SQUARE), shape(SQUARE, label="shed")]})
    write(tmp_path, {"val/b": [shape(SQUARE, label="shed")]})
    with pytest.raises(
        InputError, match=r"shapes of 2 labels, 'roof' .1., 'shed' .1.; set dataset"
    ):
        found(tmp_path)
    dataset, _ = found(tmp_path, category_id="shed")
    assert (dataset.category, dataset.of_others) == ({"id": 1, "name": "shed"}, 1)
    assert [list(masks(record)) for record in dataset.records] == [[2], [1]]
    with pytest.raises(InputError, match=r"no shape of label 'barn', but 'roof' .1., 'shed' .1."):
        found(tmp_path, category_id="barn")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (shape([[1, 1], [3, 3]], "mask"), "mask without an image"),
        (shape([[1, 1], [3, 3]], "mask", mask="x"), "no text in base64"),
        (shape([[1, 1], [3, 3]], "mask", mask="eHg="), "its mask is no PNG"),
        (shape([[1, 1], [3, 3]], "mask", mask=png(np.ones((2, 3)))), "is 2x3 px, .* span 3x3"),
        (shape([[38, 1], [40, 3]], "mask", mask=png(np.ones((3, 3)))), "beyond the image"),
        (shape([[1, 1]], "circle"), "circle of 1 points"),
        (shape([[1, 1], [2]]), "points are .* no list of pairs"),
        (shape([[1, 1], [2, "x"], [3, 3]]), "points are .* no list of pairs"),
        (shape(SQUARE, "ellipse"), "shape_type is 'ellipse', none that covers pixels"),
        (shape(SQUARE, group="a"), "shape 2 has the group_id 'a'"),
    ],
)
def test_shapes_that_cannot_be_read_reject_their_image(tmp_path, bad, words):
    dataset, _ = found(write(tmp_path, {"train/a": [shape(SQUARE), bad], "train/b": []}))
    with pytest.raises(InputError, match=words):
        read_objects(dataset.records[0], 20, 40)


def test_files_that_are_none_of_labelme_reject_their_image(tmp_path):
    write(tmp_path, {"train/a": [shape(SQUARE)], "train/b": None, "train/c": [], "train/d": []})
    (tmp_path / "train/c.json").write_text("[")
    (tmp_path / "train/d.json").write_text('{"shapes": 3}')
    _, b, c, d = found(tmp_path)[0].records
    for record, words in (
        (b, "no file 'b.json' of labelme beside it"),
        (c, "'c.json' is no valid JSON"),
        (d, "'d.json' holds no list 'shapes'"),
    ):
        with pytest.raises(InputError, match=words):
            read_objects(record, 20, 40)


def test_a_size_that_is_not_the_file_s_is_told(tmp_path):
    write(tmp_path, {"train/a": [shape(SQUARE)]}, imageHeight=40, imageWidth=20)
    (record,) = found(tmp_path)[0].records
    assert record.size == (40, 20)  # which `read_photo` compares with the file's


def test_coco_beside_labelme_is_asked_about(tmp_path):
    write(tmp_path, {"train/images/a": [shape(SQUARE)]})
    (tmp_path / "train/annotation.json").write_text("{}")
    with pytest.raises(InputError, match=r"coco .train/annotation.json. and labelme .'a.json'"):
        found(tmp_path)
