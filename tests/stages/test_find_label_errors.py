import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.formats.tables import read_table
from src.maps.map_folder import write_list, write_maps
from stages.find_label_errors import main

PARAMS = """\
workers:
  scheduler: none
split_folds:
  {method: stratified, balance: coverage, column: fold, k: 3, repeats: 1, folds: [0, 2],
   likeness: false, seed: 0}
label_errors:
  iou_found: 0.1
  least: 0.3
  leave_out: 0.8
"""
FOLDS = """\
name,fold,repeat,group,copies,copy,test_likeness
train/a,0,0,train/a,1,0,
train/b,2,0,train/b,1,0,
train/c,1,0,train/c,1,0,
"""
SHAPE = (20, 24)
LEFT, RIGHT, LOW = (2, 2, 6, 6), (12, 2, 6, 6), (2, 12, 6, 6)


def rle(box):
    x, y, width, height = box
    mask = np.zeros(SHAPE, np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    encoded = coco_mask.encode(mask)
    return {"size": list(SHAPE), "counts": encoded["counts"].decode()}


def annotated(number, image_id, box, crowd=0):
    return {"id": number, "image_id": image_id, "iscrowd": crowd, "segmentation": rle(box)}


def found(image_id, box, **more):
    return {"image_id": image_id, "segmentation": rle(box), "score": 0.9, "accepted": True} | more


def probability(**boxes):
    """Of 0.9 in the boxes named high, 0.5 in those named middle, else 0."""
    mapped = np.zeros(SHAPE, np.uint8)
    for name, (x, y, width, height) in boxes.items():
        mapped[y : y + height, x : x + width] = {"high": 229, "middle": 127}[name]
    return mapped


@pytest.fixture
def data(tmp_path):
    """train/a: one object found, one of which nothing is probable; train/b: one not annotated."""
    for name in ("prepared/labels/train", "predictions", "ensemble"):
        (tmp_path / name).mkdir(parents=True)
    height, width = SHAPE
    images = [
        {"id": n, "name": name, "height": height, "width": width}
        for n, name in enumerate(("train/b", "train/c", "train/a"), start=1)
    ]
    annotations = [
        annotated(7, 3, LEFT),
        annotated(8, 3, RIGHT),
        annotated(9, 1, LOW, crowd=1),
        annotated(10, 2, LEFT),
    ]
    truth = {"categories": [{"id": 1}], "images": images, "annotations": annotations}
    (tmp_path / "prepared/labels/train/truth.json").write_text(json.dumps(truth))
    (tmp_path / "folds.csv").write_text(FOLDS)
    write_list(tmp_path / "ensemble", ["mask"], [])
    maps = [("train/a", probability(high=LEFT)), ("train/b", probability(middle=RIGHT))]
    write_maps(tmp_path / "ensemble", "oof", "mask", maps)
    detections = [found(3, LEFT), found(1, LOW), found(1, LEFT, accepted=False), found(1, RIGHT)]
    (tmp_path / "predictions/oof.json").write_text(json.dumps(detections))
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def run(data):
    inputs = ("prepared", "folds.csv", "ensemble", "predictions", "label_errors")
    main([*(str(data / name) for name in inputs), "--params", str(data / "params.yaml")])
    folder = data / "label_errors"
    objects = read_table(folder / "objects.csv", "it").to_numpy().tolist()
    images = read_table(folder / "images.csv", "it").to_numpy().tolist()
    return objects, images, (folder / "leave_out.txt").read_text()


def test_disagreements_are_listed_with_their_images(data, capsys):
    objects, images, names = run(data)
    assert objects == [
        ["train/a", "8", "not_found", "1.0", "-1", "12", "2", "6", "6"],
        ["train/b", "-1", "not_annotated", "0.498039", "3", "12", "2", "6", "6"],
    ]
    assert images == [["train/a", "1", "1.0", "1.0"], ["train/b", "1", "0.498039", "0.498039"]]
    assert names == "train/a\n"
    assert capsys.readouterr().out == (
        "2 of 3 objects and detections to look at, in 2 of 2 images; 1 images named in "
        "leave_out.txt\n"
    )


def test_each_bound_is_obeyed(data):
    (data / "params.yaml").write_text(PARAMS.replace("0.3", "0.6").replace("0.8", "1.0"))
    objects, images, names = run(data)
    assert ([row[0] for row in objects], len(images), names) == (["train/a"], 1, "train/a\n")
    (data / "params.yaml").write_text(PARAMS.replace("0.8", "0.4"))
    assert run(data)[2] == "train/a\ntrain/b\n"


def test_no_detection_at_all_leaves_the_objects(data):
    (data / "predictions/oof.json").write_text("[]")
    assert [row[:3] for row in run(data)[0]] == [["train/a", "8", "not_found"]]


@pytest.mark.parametrize(
    ("detection", "words"),
    [
        (found(2, LEFT), r"oof\.json: image_id 2 is of no trained fold; run rescore again"),
        (
            found(3, LEFT) | {"segmentation": {"size": [2, 2], "counts": "04"}},
            r"train/a: a mask of \[2, 2\] on a map of \(20, 24\); run ensemble",
        ),
    ],
)
def test_predictions_that_do_not_belong_are_refused(data, detection, words):
    (data / "predictions/oof.json").write_text(json.dumps([detection]))
    with pytest.raises(InputError, match=words):
        run(data)
    assert not (data / "label_errors").exists()
