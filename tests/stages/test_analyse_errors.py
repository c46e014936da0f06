import json

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.judging.coco_evaluation import evaluate_detections
from stages.analyse_errors import main

PARAMS = """\
split_folds:
  method: stratified
  balance: coverage
  column: fold
  k: 3
  repeats: 1
  likeness: false
  folds:
  - 0
  - 2
  seed: 1
errors:
  iou_poor: 0.1
  gallery: 2
workers:
  scheduler: none
"""
FOLDS = """\
name,fold,repeat,group,copies,copy,test_likeness
train/a,0,0,train/a,1,0,
train/b,2,0,shared,1,0,
train/c,1,0,train/c,1,0,
"""
LEFT, RIGHT, BOTH, CORNER = (2, 2, 8, 20), (14, 2, 8, 20), (2, 2, 20, 20), (22, 22, 2, 2)
SIDE = 24


def rle(box):
    x, y, width, height = box
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    encoded = coco_mask.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def truth(images):
    """images: id -> (name, boxes); a box of the corner is a crowd region."""
    records = [{"id": n, "name": name, "height": SIDE, "width": SIDE} for n, name, _ in images]
    annotations = [
        {
            "id": 10 * n + place,
            "image_id": n,
            "category_id": 1,
            "iscrowd": int(box == CORNER),
            "area": box[2] * box[3],
            "segmentation": rle(box),
        }
        for n, _, boxes in images
        for place, box in enumerate(boxes)
    ]
    return {"images": records, "annotations": annotations, "categories": [{"id": 1}]}


def found(image_id, box, score):
    return {"image_id": image_id, "category_id": 1, "segmentation": rle(box), "score": score}


def write_judged(data, split, coco, predictions):
    (data / f"predictions/{split}.json").write_text(json.dumps(predictions))
    table = pd.DataFrame(
        columns=["image_id", "detection", "score", "tp", "ignored", "truth_id", "iou", "accepted"]
    )
    result = None
    if coco["images"]:
        result = evaluate_detections(*list(coco.values()), predictions, 100)
        table = pd.DataFrame({name: getattr(result.matches, name) for name in table.columns})
    table.to_parquet(data / f"evaluation/detections_{split}.parquet")
    return result


TRAIN = [
    (3, "train/a", [LEFT, RIGHT]),
    (1, "train/b", [LEFT, CORNER]),
    (2, "train/c", [LEFT]),  # of a fold that was not trained
]
OOF = [found(3, BOTH, 0.5), found(1, LEFT, 0.4), found(1, CORNER, 0.9), found(1, RIGHT, 0.6)]


@pytest.fixture
def data(tmp_path):
    for name in ("prepared/labels/train", "prepared/labels/val", "predictions", "evaluation"):
        (tmp_path / name).mkdir(parents=True)
    train, val = truth(TRAIN), truth([(1, "val/a", [])])
    (tmp_path / "prepared/labels/train/truth.json").write_text(json.dumps(train))
    (tmp_path / "prepared/labels/val/truth.json").write_text(json.dumps(val))
    judged = train | {"images": train["images"][:2]}
    result = write_judged(tmp_path, "oof", judged, OOF)
    assert result.metrics["ap50"] < 1
    (tmp_path / "ap50").write_text(str(result.metrics["ap50"]))
    write_judged(tmp_path, "val", val, [found(1, LEFT, 0.3)])
    (tmp_path / "folds.csv").write_text(FOLDS)
    (tmp_path / "evaluation/images_oof.csv").write_text("name,group\ntrain/a,7\ntrain/b,7\n")
    (tmp_path / "evaluation/images_val.csv").write_text("name,tp,group\nval/a,0,NA\n")
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def run(data, errors="errors"):
    names = ("prepared", "folds.csv", "predictions", "evaluation", errors)
    main([*(str(data / name) for name in names), "--params", str(data / "params.yaml")])


def read(data, name):
    return pd.read_csv(data / "errors" / name, keep_default_na=False)


def test_every_object_of_the_judged_images_has_its_outcome(data):
    run(data)
    table = read(data, "objects_oof.csv").set_index("truth_id")
    assert table["name"].to_dict() == {10: "train/b", 30: "train/a", 31: "train/a"}
    assert table["outcome"].to_dict() == {10: "found", 30: "merged", 31: "merged"}
    assert table["detection"].to_dict() == {10: 1, 30: 0, 31: 0}
    assert table["neighbour_distance"].to_dict() == {10: "", 30: "5.0", 31: "5.0"}
    assert set(table["group"]) == {7}


def test_only_wrong_detections_are_listed_and_no_ignored_ones(data):
    run(data)
    table = read(data, "detections_oof.csv")
    assert table[["detection", "kind"]].values.tolist() == [[3, "spurious"], [0, "merged"]]
    assert table["iou"].tolist() == [0, 0.4]
    val = read(data, "detections_val.csv")
    assert val[["name", "group", "kind"]].values.tolist() == [["val/a", "NA", "spurious"]]


def test_what_is_not_accepted_is_no_error_and_finds_nothing(data):
    run(data)
    before = {path.name: path.read_bytes() for path in (data / "errors").iterdir()}
    low = [found(3, RIGHT, 0.1), found(3, CORNER, 0.1), found(1, BOTH, 0.2)]
    coco = truth(TRAIN[:2])
    write_judged(data, "oof", coco, OOF + [one | {"accepted": False} for one in low])
    run(data)
    assert {path.name: path.read_bytes() for path in (data / "errors").iterdir()} == before
    write_judged(data, "oof", coco, OOF + low)
    run(data)
    assert set(read(data, "objects_oof.csv")["outcome"]) == {"found", "merged"}
    assert len(read(data, "detections_oof.csv")) > 2


def test_the_fixes_begin_with_the_ap50_of_the_evaluation(data):
    run(data)
    table = read(data, "fixes_oof.csv").set_index("kind")
    ap50 = float((data / "ap50").read_text())
    assert float(table["ap50_if_fixed"]["none"]) == pytest.approx(ap50, abs=1e-6)
    # merged objects come at 0.5, after a wrong one at 0.6: precision 1/2, 2/3, 3/4
    assert float(table["ap50_if_fixed"]["merged"]) == pytest.approx(0.75, abs=1e-6)
    assert float(table["regained"]["merged"]) == pytest.approx((0.75 - ap50) / (1 - ap50), abs=1e-6)
    assert set(read(data, "fixes_val.csv")["ap50_if_fixed"]) == {""}


def test_rates_tell_groups_of_several_judged_images_only(data):
    run(data)
    recall = read(data, "recall_oof.csv")
    groups = recall[recall["question"] == "group"].values.tolist()
    assert groups == [["group", "7", 3, 1, "0.333333"]]
    precision = read(data, "precision_oof.csv")
    some = precision[(precision["question"] == "size") & (precision["detections"] > 0)]
    some["precision"] = some["precision"].astype(float)
    assert some.values.tolist() == [
        ["size", "7 to 14 px", 2, 1, 0.5],
        ["size", "20 to 32 px", 1, 0, 0],
    ]
    assert "group" not in set(read(data, "precision_val.csv")["question"])


def test_the_worst_images_are_named(data):
    run(data)
    table = read(data, "worst_oof.csv")
    assert table[table["kind"] == "all"]["name"].tolist() == ["train/a", "train/b"]
    assert table[table["kind"] == "merged"].values.tolist() == [["merged", 1, "train/a", 2, 1]]


def test_a_set_without_val_has_empty_tables_with_headers(data):
    nothing = {"images": [], "annotations": [], "categories": []}
    (data / "prepared/labels/val/truth.json").write_text(json.dumps(nothing))
    write_judged(data, "val", nothing, [])
    (data / "evaluation/images_val.csv").write_text("name,group\n")
    (data / "predictions/val.json").unlink()
    run(data)
    for name in ("objects", "detections", "worst"):
        assert read(data, f"{name}_val.csv").empty
    for name in ("objects", "detections", "worst", "recall", "precision", "fixes"):
        val, oof = read(data, f"{name}_val.csv"), read(data, f"{name}_oof.csv")
        assert list(val.columns) == list(oof.columns)
    assert set(read(data, "recall_val.csv")["objects"]) == {0}
    assert set(read(data, "fixes_val.csv")["count"]) == {0}


def test_same_input_same_bytes(data):
    run(data)
    run(data, "again")
    first, again = (
        {path.name: path.read_bytes() for path in (data / name).iterdir()}
        for name in ("errors", "again")
    )
    assert first == again
    assert len(first) == 12


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("predictions/oof.json", "[]", "oof.json: not the predictions that were judged"),
        ("evaluation/detections_val.parquet", None, "detections_val.parquet: no such file"),
        ("folds.csv", "image,fold\n", "folds.csv: has no column name"),
        ("evaluation/images_val.csv", None, "images_val.csv: no such file; run evaluate"),
        ("evaluation/images_oof.csv", "name\n", "images_oof.csv: has no column group"),
        (
            "evaluation/images_oof.csv",
            "name,group\ntrain/a,7\n",
            "images_oof.csv: no row for 'train/b'; run evaluate again",
        ),
        ("params.yaml", PARAMS.replace("0.1", "0.5"), "errors.iou_poor: .* got 0.5"),
        (
            "params.yaml",
            PARAMS.replace("  - 2\n", ""),
            "image 1 was judged and is not in a trained fold",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_written(data, name, content, words):
    (data / name).unlink()
    if content is not None:
        (data / name).write_text(content)
    with pytest.raises(InputError, match=words):
        run(data)
    assert not list(data.glob("errors*"))
