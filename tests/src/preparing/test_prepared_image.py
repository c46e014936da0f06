import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.base.errors import InputError
from src.base.params import load_params
from src.formats.archive import decode_image
from src.label_maps.labels import IGNORE
from src.preparing.params import KINDS, PrepareMasksParams
from src.preparing.prepared_image import prepare_image
from src.reading.coco_dataset import find_records
from src.reading.params import DatasetParams, ImagesParams

IMAGE = np.random.default_rng(0).integers(1, 255, (4, 6, 3), np.uint8)
SQUARE = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}  # rows and columns 1 and 2
ROOT = Path(__file__).parents[3]
PARAMS = ROOT / "params.yaml"
OPTIONS = {
    "dataset": load_params(PARAMS, "dataset", DatasetParams).model_copy(
        update={"format": "coco", "category_id": 100}
    ),
    "images": load_params(PARAMS, "images", ImagesParams),
    "params": load_params(PARAMS, "prepare_masks", PrepareMasksParams).model_copy(
        update={"edge_objects": "keep", "edge_width": 0}
    ),
}


@pytest.fixture
def prepare(tmp_path, write_crowdai):
    """Function (objects, image, extra, **changes) that prepares a dataset's first image."""

    def run(objects, image=IMAGE, extra=None, images=OPTIONS["images"], **changes):
        root = tmp_path / "set"
        write_crowdai(root, [("a.png", image, objects, extra or {}), ("b.png", IMAGE, [SQUARE])])
        record = find_records(root, category_id=100).records[0]
        params = OPTIONS["params"].model_copy(update=changes)
        return prepare_image(record, **OPTIONS | {"images": images, "params": params})

    return run


def test_an_image_is_painted_and_its_truth_holds_every_object_whole(prepare):
    below = np.zeros((4, 6), bool)
    below[:, :3] = True
    crowd = {"segmentation": {"size": [4, 6], "counts": [20, 4]}, "iscrowd": 1, "area": 9.5}
    nothing = {"segmentation": [[50, 50, 60, 50, 60, 60]]}
    prepared = prepare([below, SQUARE, crowd, nothing])
    expected = np.array([[1, 1, 1, 0, 0, IGNORE]] * 4)
    expected[1:3, 1:3] = 2
    instances = decode_image(prepared.instances, cv2.IMREAD_UNCHANGED, "map")
    np.testing.assert_array_equal(instances, expected)
    assert instances.dtype == np.uint16
    assert prepared[1:6] == (4, 6, 2, 1, 0.5)
    assert prepared.losses == {
        "hidden under others": 0, "without a pixel": 1, "duplicates dropped": 0,
        "annotations with iscrowd 1 ignored": 1,
    }  # fmt: skip
    by_hand = [  # runs from background: 12 on; 5 off, 2 on, 2 off, 2 on; 20 off, 4 on
        {"id": 1, "iscrowd": 0, "counts": "0<<", "area": 12, "bbox": (0, 0, 3, 4)},
        {"id": 2, "iscrowd": 0, "counts": "5220;", "area": 4, "bbox": (1, 1, 2, 2)},
        {"id": 3, "iscrowd": 1, "counts": "d04", "area": 9.5, "bbox": (5, 0, 1, 4)},
    ]
    for found, entry in zip(prepared.truth, by_hand, strict=True):
        rle = {"size": [4, 6], "counts": entry.pop("counts")}
        assert found == entry | {"image_id": 1, "category_id": 100, "segmentation": rle}


def test_painting_does_not_change_the_truth(prepare, tmp_path):
    objects = [SQUARE, np.ones((4, 6), bool)]
    plain = prepare(objects)
    (tmp_path / "set").rename(tmp_path / "plain")
    painted = prepare(objects, edge_objects="ignore", edge_width=9, dilate=1, erode=1)
    assert painted.truth == plain.truth
    assert painted.instances != plain.instances


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "annotation 2: the segmentation is of type NoneType"),
        ([[1, 2, 3]], "annotation 2: polygon 1 has 3 coordinates, an odd number"),
        ({"size": [6, 4], "counts": [24]}, "annotation 2: the RLE's size is"),
    ],
)
def test_an_annotation_that_cannot_be_read_rejects_its_image(prepare, segmentation, words):
    assert re.match(words, prepare([SQUARE, {"segmentation": segmentation}]))


def test_an_image_of_another_size_than_listed_is_rejected(prepare):
    reason = prepare([SQUARE], extra={"height": 6, "width": 4})
    assert reason == "the file is 4x6 px (height x width), the annotations say 6x4"


def test_an_image_to_predict_has_no_map_and_no_truth(tmp_path, write_crowdai):
    root = write_crowdai(tmp_path / "set", [("a.png", IMAGE, [SQUARE])], test=[("x.png", IMAGE)])
    record = find_records(root, category_id=100).records[0]
    prepared = prepare_image(record, **OPTIONS)
    assert prepared.content == (root / "test_images/x.png").read_bytes()
    assert prepared[1:] == (4, 6, None, None, None, b"", (), {}, [], None)


def test_the_same_object_twice_leaves_one_trace(prepare, tmp_path):
    objects = [SQUARE, SQUARE, np.ones((4, 6), bool)]
    prepared = prepare(objects)
    assert [entry["id"] for entry in prepared.truth] == [1, 3]
    assert prepared.losses["duplicates dropped"] == 1
    assert prepared.losses["hidden under others"] == 0
    assert prepared.warnings == [("duplicate", "1 object (id 2)")]
    (tmp_path / "set").rename(tmp_path / "dropped")
    kept = prepare(objects, duplicate_objects="keep")
    assert [entry["id"] for entry in kept.truth] == [1, 2, 3]
    assert kept.losses == {
        "hidden under others": 1, "without a pixel": 0, "duplicates dropped": 0,
        "annotations with iscrowd 1 ignored": 0,
    }  # fmt: skip
    assert kept.warnings == [
        ("duplicate", "1 object (id 2)"),
        ("hidden", "1 object lies wholly under others"),
    ]
    assert kept.instances == prepared.instances


def test_objects_under_others_are_warned_of_together(prepare):
    halves = [{"segmentation": [[x, 1, x + 1, 1, x + 1, 3, x, 3]]} for x in (1, 2)]
    rows = [{"segmentation": [[1, y, 3, y, 3, y + 1, 1, y + 1]]} for y in (1, 2)]
    found = prepare([SQUARE, *rows, *halves]).warnings
    assert found == [("hidden", "3 objects lie wholly under others")]


@pytest.mark.parametrize(("black", "saturated"), [(3, []), (4, ["saturated"])])
def test_more_than_half_of_the_pixels_must_be_saturated(prepare, black, saturated):
    image = IMAGE.copy()
    image[:, :black] = 0
    assert [kind for kind, _ in prepare([SQUARE], image).warnings] == saturated


def test_a_value_without_data_is_warned_of(prepare):
    image = np.where(np.arange(6)[None, :, None] < 5, 7, IMAGE).astype(np.uint8)
    images = OPTIONS["images"].model_copy(update={"no_data": 7.0})
    found = dict(prepare([SQUARE], image, images=images).warnings)
    assert found["no_data"] == "83.3 % of the pixels are without data"


def test_an_image_is_rejected_for_the_first_warning_that_asks_for_it(prepare):
    image = np.full((4, 6, 3), 255, np.uint8)
    outside = {"segmentation": [[-9, 1, 3, 1, 3, 3]]}
    assert prepare([outside], image, reject=["hidden", "outside"]) == "outside: 1 object (id 1)"


def test_every_warning_can_reject(prepare):
    image = np.full((4, 6, 3), 255, np.uint8)
    assert prepare([SQUARE], image, reject=KINDS) == "blank: all pixels are alike"


def test_an_unreadable_world_file_stops_everything(prepare, tmp_path):
    prepare([SQUARE])
    (tmp_path / "set/train/images/a.pgw").write_text("1 2 3")
    record = find_records(tmp_path / "set", category_id=100).records[0]
    with pytest.raises(InputError, match="a.pgw: must be six numbers"):
        prepare_image(record, **OPTIONS)
