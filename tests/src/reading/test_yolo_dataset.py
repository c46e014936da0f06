import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.reading.yolo_dataset import read_objects
from tests.recognised import found

IMAGE = np.full((20, 40, 3), 120, np.uint8)
# of 40 by 20 px: columns 4 to 11, rows 5 to 9
SQUARE = "0 0.1 0.25 0.3 0.25 0.3 0.5 0.1 0.5\n"


def write(root, texts, way="{split}/{kind}"):
    """Write labels by split and name, and an image for each; None: an image alone."""
    for name, text in texts.items():
        split, stem = name.split("/", 1)
        image = root / way.format(split=split, kind="images") / f"{stem}.png"
        label = root / way.format(split=split, kind="labels") / f"{stem}.txt"
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), IMAGE)
        if text is not None:
            label.write_text(text)
    return root


def masks(record):
    objects = read_objects(record, 20, 40)
    flat = np.zeros((len(objects), 800), bool)
    for mask, one in zip(flat, objects, strict=True):
        for start, stop in one.region.runs.tolist():
            mask[start:stop] = True
    return flat.reshape(-1, 40, 20).swapaxes(1, 2)


def filled(*boxes):
    mask = np.zeros((20, 40), bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_polygons_are_shares_of_the_sides(tmp_path):
    write(tmp_path, {"train/a": SQUARE, "train/sub/b": "", "train/c": None, "val/d": SQUARE * 2})
    (tmp_path / "train/labels/stray.txt").write_text(SQUARE)
    dataset, chosen = found(tmp_path)
    assert chosen == {"format": "yolo", "category_id": 0}
    assert [record.name for record in dataset.records] == [
        "train/a", "train/c", "train/sub/b", "val/d"
    ]  # fmt: skip
    assert (dataset.unlisted, dataset.further) == (
        1, (("images of train without a file of labels", 1),)
    )  # fmt: skip
    assert np.array_equal(masks(dataset.records[0]), [filled((5, 10, 4, 12))])
    assert read_objects(dataset.records[1], 20, 40) == []
    assert read_objects(dataset.records[2], 20, 40) == []
    assert [one.id for one in read_objects(dataset.records[3], 20, 40)] == [1, 2]


def test_the_other_order_of_folders_is_read(tmp_path):
    write(tmp_path, {"train/a": SQUARE, "val/b": SQUARE, "test/c": SQUARE}, "{kind}/{split}")
    dataset, chosen = found(tmp_path)
    assert chosen["format"] == "yolo"
    assert [record.name for record in dataset.records] == ["test/c", "train/a", "val/b"]
    assert dataset.records[0].objects == ()
    assert np.array_equal(masks(dataset.records[2]), [filled((5, 10, 4, 12))])


def test_parts_joined_by_bridges_stay_apart(tmp_path):
    # there along a line from the first part to the second, and back
    one, two = [(4, 5), (4, 10), (12, 10), (12, 5)], [(20, 3), (20, 9), (26, 9), (26, 3)]
    ring = [*one, one[0], *two, two[0]]
    line = "0 " + " ".join(f"{x / 40:.6g} {y / 20:.6g}" for x, y in [*ring, one[0]])
    # a hole, which the outline goes round the other way
    outer, hole = [(4, 2), (30, 2), (30, 18), (4, 18)], [(10, 6), (10, 12), (20, 12), (20, 6)]
    ring = [*outer, outer[0], *hole, hole[0]]
    line += "\n0 " + " ".join(f"{x / 40:.6g} {y / 20:.6g}" for x, y in ring)
    dataset, _ = found(write(tmp_path, {"train/a": line}))
    expected = [filled((5, 10, 4, 12), (3, 9, 20, 26)), filled((2, 18, 4, 30))]
    expected[1][6:12, 10:20] = False
    assert np.array_equal(masks(dataset.records[0]), expected)
    assert not any(one.repaired for one in read_objects(dataset.records[0], 20, 40))


def test_what_a_converter_has_joined_is_its_parts(tmp_path):
    # rectangles from (4, 5), (16, 3) and (26, 12), as ultralytics 8.4 joins them
    line = (
        "0 0.3 0.5 0.3 0.25 0.1 0.25 0.1 0.5 0.3 0.5 0.4 0.45 0.55 0.45 0.65 0.6 0.8 0.6 0.8 0.9 "
        "0.65 0.9 0.65 0.6 0.55 0.45 0.55 0.15 0.4 0.15 0.4 0.45"
    )
    dataset, _ = found(write(tmp_path, {"train/a": line}))
    expected = filled((5, 10, 4, 12), (3, 9, 16, 22), (12, 18, 26, 32))
    assert np.array_equal(masks(dataset.records[0]), [expected])


def test_contours_through_pixel_centres_are_taken_whole(tmp_path):
    # columns 4 to 11 and rows 5 to 9, with the five decimals of supervision
    line = "0 0.10000 0.25000 0.10000 0.45000 0.27500 0.45000 0.27500 0.25000"
    dataset, _ = found(write(tmp_path, {"train/a": line}), polygons="centres")
    assert np.array_equal(masks(dataset.records[0]), [filled((5, 10, 4, 12))])


def test_classes_are_chosen_by_number_or_name(tmp_path):
    text = SQUARE + "2 0.5 0.5 0.75 0.5 0.75 1 0.5 1\n" + "1 0 0 0.1 0 0.1 0.1\n"
    write(tmp_path, {"train/a": text})
    words = r"objects of 3 classes, 0 .'0', 1 times.*set dataset.category_id to the one"
    with pytest.raises(InputError, match=words):
        found(tmp_path)
    for names in ("[roof, car, tree]", "{0: roof, 1: car, 2: tree}"):
        (tmp_path / "data.yaml").write_text(f"nc: 3\nnames: {names}\n")
        dataset, _ = found(tmp_path, category_id="tree")
        assert (dataset.category, dataset.of_others) == ({"id": 2, "name": "tree"}, 2)
        assert np.array_equal(masks(dataset.records[0]), [filled((10, 20, 20, 30))])
    dataset, _ = found(tmp_path, category_id=[0, 2])
    assert dataset.category == {"id": 0, "name": "roof, tree"}
    assert [one.id for one in read_objects(dataset.records[0], 20, 40)] == [1, 2]
    with pytest.raises(InputError, match="names no class 'shed', but 'roof', 'car', 'tree'"):
        found(tmp_path, category_id="shed")
    with pytest.raises(InputError, match=r"no object of class 7, but 0 .'roof', 1 times"):
        found(tmp_path, category_id=7)
    (tmp_path / "data.yaml").write_text("names: [")
    with pytest.raises(InputError, match=r"data.yaml: not valid YAML"):
        found(tmp_path, category_id=0)


def test_boxes_are_objects_where_asked(tmp_path):
    write(tmp_path, {"train/a": "0 0.2 0.375 0.2 0.25\n"})
    (record,) = found(tmp_path)[0].records
    with pytest.raises(InputError, match=r"line 1 .* is a box .*set dataset.boxes to objects"):
        read_objects(record, 20, 40)
    (record,) = found(tmp_path, boxes="objects")[0].records
    assert np.array_equal(masks(record), [filled((5, 10, 4, 12))])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.1 0.2 0.3", "line 2 .* 3 numbers behind the class, an odd one"),
        ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.9", "line 2 .* 7 numbers behind the class, an odd one"),
        ("0 10 20 30 20 30 40", "line 2 .* holds 10, which is no share of a side"),
        ("0 0.1 x 0.3 0.2 0.3 0.4", "line 2 .* holds 'x', which is not a number"),
        ("0 0.1 nan 0.3 0.2 0.3 0.4", "line 2 .* holds 'nan', which is not a number"),
        ("0 0.1 1e999 0.3 0.2 0.3 0.4", "line 2 .* holds inf, which is no share"),
        ("0 0.1 0.2", "line 2 .* has 1 points, fewer than three"),
        ("roof 0.1 0.2 0.3 0.2 0.3 0.4", "line 2 .* begins with 'roof', not a class"),
        ("0.5 0.1 0.2 0.3 0.2 0.3 0.4", "line 2 .* begins with '0.5', not a class"),
        ("-1 0.1 0.2 0.3 0.2 0.3 0.4", "line 2 .* begins with '-1', not a class"),
    ],
)
def test_lines_that_are_no_polygon_reject_their_image(tmp_path, line, words):
    write(tmp_path, {"train/a": SQUARE + line, "train/b": SQUARE})
    dataset, _ = found(tmp_path, category_id=0)
    with pytest.raises(InputError, match=words):
        read_objects(dataset.records[0], 20, 40)
    assert len(read_objects(dataset.records[1], 20, 40)) == 1


def test_folders_without_labels_are_refused(tmp_path):
    write(tmp_path, {"train/a": None})
    (tmp_path / "train/labels/b.txt").write_text(SQUARE)
    with pytest.raises(InputError, match=r"no image .1 of them. has labels; those of 'a.png'"):
        found(tmp_path)
    (tmp_path / "train/labels/a.txt").write_text("\n")
    with pytest.raises(InputError, match=r"no object, but none at all"):
        found(tmp_path)
