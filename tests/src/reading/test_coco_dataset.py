import json
import pickle

import numpy as np
import pytest

from src.base.errors import InputError
from src.reading.coco_dataset import find_records, read_objects

IMAGE = np.full((4, 6, 3), 120, np.uint8)
SQUARE = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}  # rows and columns 1 and 2


@pytest.fixture
def root(tmp_path, write_crowdai):
    """Dataset of two train images, a and b, one object each."""
    items = [("a.png", IMAGE, [SQUARE]), ("b.jpg", IMAGE, [SQUARE])]
    return write_crowdai(tmp_path / "set", items)


def edit(root, change, split="train"):
    path = root / split / "annotation.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def first_objects(root):
    return read_objects(find_records(root, category_id=100).records[0], 4, 6)


def refused(root, words, category_id=100):
    with pytest.raises(InputError, match=words) as caught:
        find_records(root, category_id=category_id)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_are_named_by_split_and_sorted(tmp_path, write_crowdai):
    root = write_crowdai(
        tmp_path / "set",
        train=[("b.jpg", IMAGE, [SQUARE]), ("a.x.png", IMAGE, [])],
        val=[("b.jpg", IMAGE, [SQUARE], {"id": 7})],
        test=[("z.png", IMAGE), ("k.tif", IMAGE)],
    )
    dataset = find_records(root, category_id=100)
    found = [(r.name, r.split, r.image_id, r.file_name, r.size) for r in dataset.records]
    assert found == [
        ("test/k", "test", 1, "k.tif", None),
        ("test/z", "test", 2, "z.png", None),
        ("train/a.x", "train", 2, "a.x.png", (4, 6)),
        ("train/b", "train", 1, "b.jpg", (4, 6)),
        ("val/b", "val", 7, "b.jpg", (4, 6)),
    ]
    assert [len(read_objects(r, 4, 6)) for r in dataset.records] == [0, 0, 0, 1, 1]
    assert [r.objects for r in dataset.records[:3]] == [(), (), ()]
    assert all(r.path.is_file() for r in dataset.records)
    assert dataset.category == {"id": 100, "name": "building"}


def test_the_group_is_the_records_or_else_the_name(tmp_path, write_crowdai):
    groups = [{"group": "block"}, {"group": 3}, {"group": None}, {"group": ""}, {}]
    items = [(f"{i}.png", IMAGE, [SQUARE], extra) for i, extra in enumerate(groups)]
    records = find_records(write_crowdai(tmp_path / "set", items), category_id=100).records
    assert [r.group for r in records] == ["block", "3", "train/2", "train/3", "train/4"]


def test_annotations_of_other_categories_are_left_out(tmp_path, write_crowdai):
    objects = [SQUARE | {"id": 9}, SQUARE | {"category_id": 3}, SQUARE | {"id": 4}]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, objects)])
    assert [o.id for o in first_objects(root)] == [4, 9]  # by id, whatever their place


def test_an_object_with_id_0_gets_a_free_one_in_the_truth(tmp_path, write_crowdai):
    objects = [SQUARE | {"id": 0}, SQUARE | {"id": 5}, SQUARE | {"id": 8, "category_id": 3}]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, objects)])
    assert [(o.id, o.truth_id) for o in first_objects(root)] == [(0, 9), (5, 5)]


@pytest.mark.parametrize(
    ("area", "kept"),
    [(12.5, 12.5), (3, 3), (0, None), (-1, None), ("3", None), (True, None), (1e999, None)],
)
def test_the_area_counts_if_it_is_a_positive_number(tmp_path, write_crowdai, area, kept):
    items = [("a.png", IMAGE, [SQUARE | {"area": area}])]
    assert first_objects(write_crowdai(tmp_path / "set", items))[0].area == kept


def test_a_category_without_a_name_is_called_by_its_id(root):
    edit(root, lambda document: document.pop("categories"))
    assert find_records(root, category_id=100).category == {"id": 100, "name": "100"}


def test_files_that_are_not_listed_are_counted_and_hidden_ones_are_not(root):
    for name in ("extra.png", "notes.txt", ".DS_Store"):
        (root / "train/images" / name).write_text("x")
    dataset = find_records(root, category_id=100)
    assert (len(dataset.records), dataset.unlisted) == (2, 2)


def test_images_may_lie_in_subfolders(tmp_path, write_crowdai):
    root = write_crowdai(tmp_path / "set", [("x/a.png", IMAGE, [SQUARE])])
    dataset = find_records(root, category_id=100)
    assert (dataset.records[0].name, dataset.unlisted) == ("train/x/a", 0)
    assert dataset.records[0].path.is_file()


def test_hidden_files_are_no_test_images(tmp_path, write_crowdai):
    train = [("a.png", IMAGE, [SQUARE])]
    root = write_crowdai(tmp_path / "set", train, test=[(".x.png", IMAGE), ("y.png", IMAGE)])
    records = find_records(root, category_id=100).records
    assert [(r.name, r.image_id) for r in records[:-1]] == [("test/y", 1)]


def test_an_absent_dataset_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "nowhere: no such folder; give the one that holds train/")


def test_train_must_be_complete(root):
    (root / "train/annotation.json").unlink()
    refused(root, "train/annotation.json: no such file; see docs/data.md")
    (root / "train").rename(root / "val")
    refused(root, "train/images: no such folder; see docs/data.md")


def test_a_val_folder_must_be_complete(root):
    (root / "val/images").mkdir(parents=True)
    refused(root, "val/images: holds no images; put the images there")
    (root / "val/images/a.png").write_bytes(b"x")
    refused(root, "val/annotation.json: no such file")


def test_empty_image_folders_are_refused(root):
    (root / "test_images/sub").mkdir(parents=True)
    refused(root, "test_images: holds no images")
    (root / "test_images/sub/a.png").write_bytes(b"x")
    refused(root, "test_images: holds no images but other files .1, those in subfolders too.; put")
    for path in (root / "train/images").iterdir():
        path.unlink()
    refused(root, "train/images: holds no images; put the images there")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100000, b'{"images": [' + b"1" * 5000 + b"]}"]
)
def test_what_is_not_json_is_refused(root, content):
    (root / "train/annotation.json").write_bytes(content)
    refused(root, "train/annotation.json: not JSON .*write it again")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no list 'images', so not COCO's format"),
        ({"images": {}}, "no list 'images'"),
        ({"annotations": []}, "no list 'images'"),
        (3, "no list 'images'"),
        ({"images": []}, "no list 'annotations'"),
        ({"images": [], "annotations": []}, "lists no images; list every image of"),
        ({"images": ["a.png"], "annotations": []}, r"images\[0\] is 'a.png', not an object"),
        ({"images": [], "annotations": [[1]]}, r"annotations\[0\] is \[1\], not an object"),
    ],
)
def test_json_of_another_shape_is_refused(root, document, words):
    (root / "train/annotation.json").write_text(json.dumps(document))
    refused(root, words)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("id", None, r"images\[1\].id is None, not a whole number from 0 up"),
        ("id", "2", r"images\[1\].id is '2', not a whole number"),
        ("id", True, r"images\[1\].id is True, not a whole number"),
        ("id", -1, r"images\[1\].id is -1, not a whole number from 0 up"),
        ("id", 2**63, r"images\[1\].id is 9223372036854775808, not a whole number"),
        ("height", 0, r"images\[1\].height is 0, not a whole number from 1 up"),
        ("width", 6.0, r"images\[1\].width is 6.0, not a whole number"),
        ("file_name", None, r"images\[1\].file_name is None, not a text"),
        ("file_name", 12, r"images\[1\].file_name is 12, not a text"),
        ("group", [1], r"images\[1\].group is \[1\], neither a text nor"),
        ("group", "a\nb", r"images\[1\].group is 'a\\nb', neither"),
    ],
)
def test_an_image_record_with_a_wrong_value_is_refused(root, key, value, words):
    edit(root, lambda document: document["images"][1].update({key: value}))
    refused(root, words)


@pytest.mark.parametrize("key", ["id", "height", "width"])
def test_an_image_record_without_a_key_is_refused(root, key):
    edit(root, lambda document: document["images"][1].pop(key))
    refused(root, rf"images\[1\] has no '{key}'")


@pytest.mark.parametrize(
    "file_name",
    ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "a\\x.jpg", "", ".", "..", ".x", "a/.x",
     "a\0.jpg", "a\nb.jpg", "\ud800.jpg"],
)  # fmt: skip
def test_a_file_name_that_leaves_the_folder_or_cannot_be_printed_is_refused(root, file_name):
    edit(root, lambda document: document["images"][0].update(file_name=file_name))
    refused(root, r"images\[0\].file_name '.*': a file name must be printable and stay inside")


def test_a_test_image_with_an_unprintable_name_is_refused(root):
    (root / "test_images").mkdir()
    (root / "test_images/a\nb.png").write_bytes(b"x")
    refused(root, "a file name must be printable")


def test_two_images_with_one_id_are_refused(root):
    edit(root, lambda document: document["images"][1].update(id=1))
    refused(root, "two images with id 1, 'a.png' and 'b.jpg'; give each its own")


@pytest.mark.parametrize("file_name", ["a.png", "a.jpg", "./a.png"])
def test_two_images_with_one_name_are_refused(root, file_name):
    edit(root, lambda document: document["images"][1].update(file_name=file_name))
    refused(root, f"'a.png' and '{file_name}' are one name, 'train/a', without the extension")


def test_two_test_images_with_one_name_are_refused(tmp_path, write_crowdai):
    test = [("x.jpg", IMAGE), ("x.png", IMAGE)]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, [SQUARE])], test=test)
    refused(root, "test_images: 'x.jpg' and 'x.png' are one name, 'test/x'")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("id", 1, "two annotations with id 1; give each its own"),
        ("id", "x", r"annotations\[1\].id is 'x', not a whole number"),
        ("image_id", 9, "annotation 2 is of image 9, which is not in 'images'; list the image"),
        ("image_id", None, r"annotations\[1\].image_id is None, not a whole number"),
        ("category_id", "100", r"annotations\[1\].category_id is '100', not a whole number"),
        ("iscrowd", 2, r"annotations\[1\].iscrowd is 2, neither 0 nor 1"),
        ("iscrowd", None, r"annotations\[1\].iscrowd is None, neither 0 nor 1"),
    ],
)
def test_an_annotation_with_a_wrong_value_is_refused(root, key, value, words):
    edit(root, lambda document: document["annotations"][1].update({key: value}))
    refused(root, words)


@pytest.mark.parametrize("categories", [["building"], {"100": "building"}, None])
def test_categories_of_another_shape_are_refused(root, categories):
    edit(root, lambda document: document.update(categories=categories))
    refused(root, "'categories' is not a list of objects")


def test_the_first_of_the_ids_that_are_there_twice_is_named(tmp_path, write_crowdai):
    objects = [SQUARE | {"id": number} for number in (2, 9, 9, 2)]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, objects)])
    refused(root, "two annotations with id 9")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_category_that_does_not_occur_is_refused_with_those_that_do(
    tmp_path, write_crowdai, split
):
    items = [("a.png", IMAGE, [SQUARE | {"category_id": c} for c in (7, 3, 7)])]
    good = [("a.png", IMAGE, [SQUARE])]
    splits = {"train": good, "val": good} | {split: items}
    root = write_crowdai(tmp_path / "set", **splits)
    words = f"{split}/annotation.json: no annotation of category 100; set dataset.category_id to"
    refused(root, words + r" one that occurs: 3 \(1 times\), 7 \(2 times\)")


def test_train_without_annotations_is_refused_and_val_is_not(tmp_path, write_crowdai):
    empty, full = [("a.png", IMAGE, [])], [("a.png", IMAGE, [SQUARE])]
    dataset = find_records(write_crowdai(tmp_path / "val", full, val=empty), category_id=100)
    assert [r.name for r in dataset.records] == ["train/a", "val/a"]
    refused(write_crowdai(tmp_path / "none", empty), "no annotations, so nothing could be learnt")


def test_more_objects_than_labels_are_refused(tmp_path, write_crowdai):
    items = [("a.png", IMAGE, [{"segmentation": None}] * 65535)]
    root = write_crowdai(tmp_path / "set", items)
    refused(root, "65535 objects in image 'a.png', more than 65534; cut it into tiles")


@pytest.mark.parametrize("keys", ["aic", "aci", "cai", "cia", "iac", "ica"])
def test_the_lists_may_come_in_any_order(tmp_path, write_crowdai, keys):
    objects = [SQUARE, SQUARE | {"id": 0}]
    root = write_crowdai(tmp_path / "set", [("b.png", IMAGE, []), ("a.png", IMAGE, objects)])
    expected = [repr(read_objects(r, 4, 6)) for r in find_records(root, category_id=100).records]
    path = root / "train/annotation.json"
    document = json.loads(path.read_text())
    lists = {key[0]: key for key in document}
    ordered = {lists[key]: document[lists[key]] for key in keys}
    path.write_text(json.dumps({"info": {"images": []}} | ordered, indent=2))
    dataset = find_records(root, category_id=100)
    assert [r.name for r in dataset.records] == ["train/a", "train/b"]
    assert dataset.category == {"id": 100, "name": "building"}
    assert [repr(read_objects(record, 4, 6)) for record in dataset.records] == expected


def test_an_object_is_read_whole(tmp_path, write_crowdai):
    crowd = {"segmentation": {"size": [4, 6], "counts": [20, 4]}, "iscrowd": 1, "area": 9.5}
    loop = {"segmentation": [[0, 0, 4, 4, 4, 0, 0, 4]], "iscrowd": False, "name": "ä"}
    objects = first_objects(
        write_crowdai(tmp_path / "set", [("a.png", IMAGE, [SQUARE, crowd, loop])])
    )
    assert [o[:4] + (o.repaired,) for o in objects] == [
        (1, 1, False, None, False),
        (2, 2, True, 9.5, False),
        (3, 3, False, None, True),
    ]
    assert [o.region.bbox for o in objects[:2]] == [(1, 1, 2, 2), (5, 0, 1, 4)]
    assert objects[0].region.runs.tolist() == [[5, 7], [9, 11]]  # 4 rows, column after column


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "^annotation 2: the segmentation is of type NoneType"),
        ([[1, 2, 3]], "^annotation 2: polygon 1 has 3 coordinates, an odd number"),
        ({"size": [6, 4], "counts": [24]}, "^annotation 2: the RLE's size is"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_refused_by_its_id(
    tmp_path, write_crowdai, segmentation, words
):
    objects = [SQUARE, {"segmentation": segmentation}]
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, objects)])
    with pytest.raises(InputError, match=words):
        first_objects(root)


@pytest.mark.parametrize("depth", [*range(880, 1000, 3), 2000])
def test_nesting_of_any_depth_is_refused(root, depth):
    nested = "[" * depth + "]" * depth
    path = root / "train/annotation.json"
    text = path.read_text()
    for place, words in [
        ('"images": [', r"images\[0\] is \[\[.*, not an object|nested too deeply"),
        ('"annotations": [{"id": ', r"annotations\[0\].id is \[\[|nested too deeply"),
        ('"file_name": ', r"images\[0\].file_name is \[\[|nested too deeply"),
    ]:
        wrong = text.replace(place, place + nested + ', "x": ' * (place[-2] == ":"), 1)
        path.write_text(wrong.replace(nested + "{", nested + ", {"))
        refused(root, words)
    path.write_text(text.replace("[[1, 1, ", f"[[{nested}, 1, ", 1))
    with pytest.raises(InputError, match="annotation 1: (polygon 1 holds|nested)|nested too deep"):
        first_objects(root)


def test_an_annotation_without_a_segmentation_is_refused_when_it_is_read(root):
    edit(root, lambda document: document["annotations"][0].pop("segmentation"))
    with pytest.raises(InputError, match="annotation 1: the segmentation is of type NoneType"):
        first_objects(root)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"annotations"', '"info": 1, "annotations"'),  # all moved on
        lambda text: text.replace('{"id": 1, "image_id": 1', '{"id": 7, "image_id": 1'),
        lambda text: text.replace('{"id": 1, "image_id": 1', '{"id": 1, "image_id": 2'),
        lambda text: text[:200],
        lambda text: "",
        lambda text: "[" * len(text),
        lambda text: "1" * len(text),
        lambda text: " " * (len(text) - 1) + "\xff",
    ],
)
def test_an_annotation_file_that_changed_after_it_was_indexed_is_refused(root, change):
    record = find_records(root, category_id=100).records[0]
    path = root / "train/annotation.json"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed, encoding="latin-1")
    with pytest.raises(InputError, match="annotation.json has changed since it was indexed: annot"):
        read_objects(record, 4, 6)


def test_an_annotation_file_that_is_gone_is_told(root):
    record = find_records(root, category_id=100).records[0]
    (root / "train/annotation.json").unlink()
    with pytest.raises(InputError, match="annotation.json cannot be read .No such file"):
        read_objects(record, 4, 6)


def test_records_are_small_and_can_be_sent_to_a_worker(tmp_path, write_crowdai):
    long = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3] * 100]}
    few = find_records(write_crowdai(tmp_path / "a", [("a.png", IMAGE, [long])]), category_id=100)
    items = [("a.png", IMAGE, [long] * 101)]
    many = find_records(write_crowdai(tmp_path / "b", items), category_id=100)
    sizes = [len(pickle.dumps(dataset.records[0])) for dataset in (few, many)]
    assert sizes[1] - sizes[0] < 100 * 24 + 16  # whatever their outlines
    record = pickle.loads(pickle.dumps(many.records[0]))
    assert record == many.records[0]
    assert len(read_objects(record, 4, 6)) == 101


def test_every_annotation_goes_to_its_image_whatever_the_order_of_both(tmp_path, write_crowdai):
    rng = np.random.default_rng(0)
    ids = rng.permutation(5000)[:300].tolist()
    items = [(f"{number}.png", IMAGE, [], {"id": number}) for number in ids]
    root = write_crowdai(tmp_path / "set", items)
    listed = [
        {
            "id": int(number),
            "image_id": ids[rng.integers(300)],
            "category_id": int(rng.choice([3, 100])),
            **SQUARE,
        }
        for number in rng.permutation(10000)[:2000]
    ]
    edit(root, lambda document: document.update(annotations=listed))
    for record in find_records(root, category_id=100).records:
        expected = sorted(
            entry["id"] or max(e["id"] for e in listed) + 1
            for entry in listed
            if (entry["image_id"], entry["category_id"]) == (record.image_id, 100)
        )
        assert sorted(o.truth_id for o in read_objects(record, 4, 6)) == expected


def test_a_listed_file_is_found_however_unicode_composes_its_name(tmp_path, write_crowdai):
    composed, decomposed = "caf\u00e9.png", "cafe\u0301.png"
    root = write_crowdai(tmp_path / "set", [(composed, IMAGE, [])])
    (root / "train/images" / composed).rename(root / "train/images" / decomposed)
    document = json.loads((root / "train/annotation.json").read_text())
    document["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 100, "segmentation": [[0, 0, 2, 0, 2, 2]]}
    ]
    (root / "train/annotation.json").write_text(json.dumps(document))
    dataset = find_records(root, category_id=100)
    [record] = dataset.records
    assert (record.name, record.file_name) == ("train/caf\u00e9", composed)
    assert (record.path.name, record.path.is_file(), dataset.unlisted) == (decomposed, True, 0)
    (root / "train/images" / composed).write_bytes(b"x")
    with pytest.raises(InputError, match="two files named 'caf\u00e9.png', which differ only in"):
        find_records(root, category_id=100)
