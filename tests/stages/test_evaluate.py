import json

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from src.acceptance.operating_point import OperatingPoint, Point, write_operating_point
from src.base.errors import InputError
from stages.evaluate import TABLES, main

PARAMS = """\
split_folds:
  method: stratified
  balance: coverage
  column: fold
  k: 2
  repeats: 1
  likeness: false
  folds:
  - 0
  seed: 1
evaluate:
  max_detections: 100
  resamples: 200
  outline_images: 0
  seed: 0
outlines:
  simplify: 0.5
  right_angles: false
workers:
  scheduler: none
"""
GROUPS = """\
name,split,own_group,group,cluster
test/a,test,test/a,val/a,1
train/a,train,train/a,train/a,
train/b,train,shared,shared,0
train/c,train,train/c,train/c,
val/a,val,val/a,val/a,1
val/b,val,val/b,shared,0
"""
FOLDS = """\
name,fold,repeat,group,copies,copy,test_likeness
train/a,0,0,train/a,1,0,
train/b,0,0,shared,1,0,
train/c,1,0,train/c,1,0,
"""


def rle(rows, columns):
    mask = np.zeros((20, 20), np.uint8, order="F")
    mask[rows, columns] = 1
    encoded = coco_mask.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


TOP, BOTTOM, HALF = (rle(slice(a, b), slice(0, 20)) for a, b in ((0, 10), (10, 20), (0, 5)))


def image(number, name):
    return {"id": number, "name": name, "file_name": f"{name}.png", "height": 20, "width": 20}


def truth(number, image_id, mask, crowd=0):
    record = {"id": number, "image_id": image_id, "category_id": 1, "iscrowd": crowd}
    return record | {"segmentation": mask, "area": 200, "bbox": [0, 0, 20, 10]}


def found(image_id, mask, score):
    record = {"image_id": image_id, "category_id": 1, "segmentation": mask}
    return record | {"bbox": [0, 0, 20, 10], "score": score}


@pytest.fixture
def data(tmp_path):
    """Three train images, the third of a fold that was not trained, and one of val."""
    categories = [{"id": 1, "name": "thing"}]
    train = {
        "images": [image(1, "train/b"), image(2, "train/a"), image(3, "train/c")],
        "annotations": [truth(11, 1, TOP), truth(12, 1, BOTTOM), truth(13, 3, TOP)],
        "categories": categories,
    }
    val = {"images": [image(1, "val/a")], "annotations": [], "categories": categories}
    oof = [found(1, BOTTOM, 0.5), found(2, TOP, 0.75), found(1, HALF, 0.9)]
    for name, content in {
        "prepared/labels/train/truth.json": train,
        "prepared/labels/val/truth.json": val,
        "predictions/oof.json": oof,
        "predictions/val.json": [],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/evaluate.json").write_text('{"max_detections": 300}')
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups/groups.csv").write_text(GROUPS)
    (tmp_path / "folds.csv").write_text(FOLDS)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def run(data):
    names = ["prepared", "groups", "folds.csv", "predictions", "plan"]
    names += ["reports/metrics.json", "evaluation"]
    main([*(str(data / name) for name in names), "--params", str(data / "params.yaml")])
    return json.loads((data / "reports/metrics.json").read_text())


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def metric_table(data):
    """Rows of metrics.csv by split, images and metric: value, low and high as text."""
    table = pd.read_csv(data / "evaluation/metrics.csv", dtype=str, keep_default_na=False)
    table = table.set_index(["split", "images", "metric"])[["value", "low", "high"]]
    return {key: tuple(row) for key, row in zip(table.index, table.to_numpy(), strict=True)}


def test_metrics_are_those_worked_out_by_hand(data):
    metrics = run(data)
    # 0.9 right (IoU exactly 0.5), 0.75 wrong, 0.5 right: precision 1, then 2 of 3
    assert metrics["oof.ap50"] == round((51 + 50 * 2 / 3) / 101, 6)
    assert metrics["oof.ar50"] == 1
    assert metrics["oof.f1_50"] == 0.8
    assert metrics["oof.precision_50"] == 0.666667
    assert metrics["oof.recall_50"] == 1
    assert metrics["oof.dice_mean"] == round((2 * 300 / 700 + 0) / 2, 6)
    assert metrics["oof.iou_mean"] == round((300 / 400 + 0) / 2, 6)
    # one wrong image; of the other 2 of 2 at IoU 0.5, then 1 of 3
    assert metrics["oof.detection_accuracy"] == round((1 + 9 / 3) / 10 / 2, 6)
    assert metrics["oof.pq"] == 0.4  # IoU 1; 2 wrong, as IoU 0.5 is not above it, and 1 missed
    assert [metrics[f"oof.{key}"] for key in ("images", "objects", "detections")] == [2, 2, 3]


def test_what_is_undefined_is_null(data):
    metrics = run(data)
    assert metrics["oof.ap50_large"] == metrics["oof.ap50"]
    assert metrics["oof.ap50_small"] is None
    for key in ("ap50", "ar50", "ap", "precision_50", "recall_50"):
        assert metrics[f"val.{key}"] is None
    assert (metrics["val.f1_50"], metrics["val.dice_mean"]) == (1, 1)
    assert metric_table(data)["val", "all", "ap50"] == ("", "", "")


def test_the_headline_is_short_and_the_table_has_every_metric(data):
    metrics, rows = run(data), metric_table(data)
    assert not {"ar", "ar50_small", "ap_coco_large", "sq"} & {key[4:] for key in metrics}
    assert list(metrics)[0] == "data"
    del metrics["data"]
    for key, value in metrics.items():
        split, _, name = key.partition(".")
        images = "clean" if name.endswith("_clean") else "all"
        text = rows[split, images, name.removesuffix("_clean")][0]
        assert text == ("" if value is None else str(value)), key
    for name in ("ar", "ar50_small", "ap_coco_large", "sq", "rq", "f1_histogram_50"):
        assert ("oof", "all", name) in rows
    assert rows["oof", "all", "detections"] == ("3", "", "")


def test_two_groups_have_no_interval(data):
    run(data)
    rows = metric_table(data)
    assert rows["oof", "all", "dice_mean"] == ("0.428571", "", "")
    assert rows["oof", "all", "recall_50"] == ("1.0", "", "")


def test_clean_are_the_images_whose_group_was_not_trained_on(data):
    truths = [truth(21, 1, TOP), truth(22, 2, TOP)]
    val = {"images": [image(1, "val/a"), image(2, "val/b")], "annotations": truths}
    change(data / "prepared/labels/val/truth.json", **val)
    found_in_a, wrong_in_b = found(1, TOP, 0.5), found(2, BOTTOM, 0.5)
    (data / "predictions/val.json").write_text(json.dumps([wrong_in_b, found_in_a]))
    metrics, rows = run(data), metric_table(data)
    assert (metrics["val.f1_50"], metrics["val.f1_50_clean"]) == (0.5, 1)
    assert (metrics["val.images"], metrics["val.images_clean"]) == (2, 1)
    assert metrics["val.ap50_clean"] == 1
    assert rows["val", "clean", "objects"] == ("1", "", "")
    assert rows["oof", "clean", "f1_50"] == rows["oof", "all", "f1_50"]
    images = pd.read_csv(data / "evaluation/images_val.csv")
    assert images["clean"].tolist() == [True, False]
    assert images["group"].tolist() == ["val/a", "shared"]


def test_a_val_without_clean_images_has_no_clean_score(data):
    listed = data / "groups/groups.csv"
    listed.write_text(GROUPS.replace("val/a,val,val/a,val/a", "val/a,val,val/a,shared"))
    metrics = run(data)
    assert (metrics["val.images_clean"], metrics["val.f1_50_clean"]) == (0, None)
    assert metric_table(data)["val", "clean", "images"] == ("0", "", "")


def test_the_calibration_error_is_passed_on_where_it_was_measured(data):
    assert run(data)["oof.ece"] is None
    (data / "predictions/calibration.json").write_text('{"oof.ece": 0.0625, "val.ece": null}')
    metrics = run(data)
    assert (metrics["oof.ece"], metrics["val.ece"]) == (0.0625, None)


CELLS = [(place // 13, place % 13) for place in range(169)]


def cell(place, side=1):
    row, column = CELLS[place]
    return rle(slice(row, row + side), slice(column, column + side))


def crowd_the_images(data, oof):
    """One trained image with 169 cells of one pixel each, and what was predicted in it."""
    train = {
        "images": [image(1, "train/b")],
        "annotations": [truth(place + 1, 1, cell(place)) | {"area": 1} for place in range(169)],
    }
    change(data / "prepared/labels/train/truth.json", **train)
    (data / "predictions/oof.json").write_text(json.dumps(oof))


def limits(data):
    table = pd.read_csv(data / "evaluation/detection_limit.csv", keep_default_na=False)
    return table.set_index("split").T.to_dict()


def test_auto_takes_the_limit_of_the_plan_so_that_169_of_169_are_perfect(data, capsys):
    cells = [found(1, cell(place), 0.5) for place in range(169)]
    crowd_the_images(data, cells)
    (data / "params.yaml").write_text(PARAMS.replace("max_detections: 100", "max_detections: auto"))
    metrics = run(data)
    names = ("ap50", "ar50", "ap", "f1_50", "precision_50", "recall_50", "dice_mean", "pq")
    assert {name: metrics[f"oof.{name}"] for name in names} == dict.fromkeys(names, 1)
    assert (metrics["oof.objects"], metrics["oof.detections"]) == (169, 169)
    assert metric_table(data)["oof", "all", "ar50"][0] == "1.0"
    assert limits(data)["oof"]["max_detections"] == 300
    assert limits(data)["oof"]["warning"] == limits(data)["val"]["warning"] == ""
    assert "warning" not in capsys.readouterr().out


def test_a_limit_below_the_objects_cuts_the_ranking_alone_and_is_warned_of(data, capsys):
    cells = [found(1, cell(place), 0.5) for place in range(169)]
    crowd_the_images(data, cells)
    metrics = run(data)
    assert metrics["oof.ap50"] == round(60 / 101, 6)  # recalls up to 100 / 169
    assert metrics["oof.ar50"] == round(100 / 169, 6)
    assert metric_table(data)["oof", "all", "ap50"][0] == str(metrics["oof.ap50"])
    assert metric_table(data)["oof", "clean", "ar50"][0] == str(metrics["oof.ar50"])
    names = ("f1_50", "precision_50", "recall_50", "dice_mean", "pq", "detection_accuracy")
    assert {name: metrics[f"oof.{name}"] for name in names} == dict.fromkeys(names, 1)
    told = limits(data)["oof"]
    assert [told[name] for name in ("images_above", "most_objects")] == [1, 169]
    assert [told[name] for name in ("images_cut", "detections_cut", "needed")] == [1, 69, 169]
    words = (
        "oof: evaluate.max_detections 100 is below the objects of 1 image (up to 169) and keeps 69 "
        "accepted detections of 1 image out of AP and AR; set it to 169 or more"
    )
    assert told["warning"] == words
    assert f"warning: {words}\n" in capsys.readouterr().out


def test_a_thousand_low_scores_move_neither_f1_nor_counts(data):
    before = run(data)
    table = pd.read_csv(data / "evaluation/images_oof.csv")
    oof = json.loads((data / "predictions/oof.json").read_text())
    oof = [one | {"accepted": True} for one in oof]
    low = [
        found(number, cell(place % 160, 2), 0.4 - place / 10_000) | {"accepted": False}
        for number in (1, 2)
        for place in range(500)
    ]
    (data / "predictions/oof.json").write_text(json.dumps([*low, *oof]))
    after = run(data)
    assert {k: v for k, v in after.items() if v != before[k]} == {}
    pd.testing.assert_frame_equal(pd.read_csv(data / "evaluation/images_oof.csv"), table)
    detections = pd.read_parquet(data / "evaluation/detections_oof.parquet")
    assert detections["ranked"].sum() == 200  # the best 100 of each image
    assert detections["accepted"].sum() == 3
    assert limits(data)["oof"]["warning"] == ""
    # What is accepted beyond them does count.
    low[0]["accepted"] = True
    (data / "predictions/oof.json").write_text(json.dumps([*low, *oof]))
    assert run(data)["oof.detections"] == 4


def test_the_ranking_sees_what_is_not_accepted(data):
    oof = json.loads((data / "predictions/oof.json").read_text())
    marked = [one | {"accepted": one["score"] > 0.5} for one in oof]
    (data / "predictions/oof.json").write_text(json.dumps(marked))
    metrics, rows = run(data), metric_table(data)
    assert metrics["oof.ap50"] == round((51 + 50 * 2 / 3) / 101, 6)
    assert (metrics["oof.ar50"], metrics["oof.recall_50"]) == (1, 0.5)
    assert metrics["oof.f1_50"] == 0.5  # 0.9 right, 0.75 wrong, one of two objects missed
    assert metrics["oof.detections"] == 2
    for name in ("ap50", "ar50", "recall_50", "f1_50"):
        assert rows["oof", "clean", name] == rows["oof", "all", name]
        assert rows["oof", "all", name][0] == str(metrics[f"oof.{name}"])


def test_the_operating_point_is_told_with_its_interval(data):
    assert run(data)["oof.operating_point"] is None
    folds = {"0": Point(0.25, 0.2, 0.3), "1": Point(0.5, None, None)}
    point = OperatingPoint("f1_50", Point(0.375, 0.125, 0.4375), folds)
    write_operating_point(data / "predictions/operating_point.json", point)
    metrics, rows = run(data), metric_table(data)
    assert (metrics["oof.operating_point"], metrics["val.operating_point"]) == (0.375, 0.375)
    assert rows["val", "all", "operating_point"] == ("0.375", "0.125", "0.4375")
    assert rows["oof", "all", "operating_point"] == ("0.375", "", "")
    (data / "predictions/operating_point.json").write_text("[]")
    with pytest.raises(InputError, match="operating_point.json: .*run rescore"):
        run(data)


def test_tables_tell_every_image_and_detection(data):
    run(data)
    images = pd.read_csv(data / "evaluation/images_oof.csv").to_dict("list")
    expected = {
        "name": ["train/a", "train/b"],
        "image_id": [2, 1],
        "objects": [0, 2],
        "detections": [1, 2],
        "tp": [0, 2],
        "fp": [1, 0],
        "fn": [0, 0],
        "f1_50": [0.0, 1.0],
        "dice": [0.0, 0.857143],
        "iou": [0.0, 0.75],
        "tp_75": [0, 1],
        "fp_75": [1, 1],
        "group": ["train/a", "shared"],
        "clean": [True, True],
    }
    assert {key: images[key] for key in expected} == expected
    detections = pd.read_parquet(data / "evaluation/detections_oof.parquet").to_dict("list")
    expected = {
        "image_id": [1, 2, 1],
        "name": ["train/b", "train/a", "train/b"],
        "group": ["shared", "train/a", "shared"],
        "detection": [0, 1, 2],
        "score": [0.5, 0.75, 0.9],
        "tp": [True, False, True],
        "ignored": [False, False, False],
        "ranked": [True, True, True],
        "accepted": [True, True, True],
        "truth_id": [12, -1, 11],
        "iou": [1.0, 0.0, 0.5],
        "tp_50": [True, False, True],
        "tp_55": [True, False, False],
        "tp_95": [True, False, False],
    }
    assert {key: detections[key] for key in expected} == expected
    assert set(detections) - set(expected) == {
        *(f"tp_{percent}" for percent in range(60, 95, 5)),
        *(f"ignored_{percent}" for percent in range(50, 100, 5)),
    }


def test_the_curve_has_cocos_101_points_and_the_score_for_its_mean(data):
    metrics = run(data)
    curve = pd.read_csv(data / "evaluation/precision_recall_oof.csv")
    assert curve["recall"].tolist() == [place / 100 for place in range(101)]
    assert curve["precision"].mean() == pytest.approx(metrics["oof.ap50"], abs=1e-6)
    assert pd.read_csv(data / "evaluation/precision_recall_val.csv").empty


def test_a_set_without_val_has_no_val_keys_and_empty_tables(data):
    change(data / "prepared/labels/val/truth.json", images=[], categories=[])
    (data / "predictions/val.json").unlink()
    assert {key.partition(".")[0] for key in run(data)} == {"data", "oof"}
    for split in ("oof", "val"):
        images = pd.read_csv(data / f"evaluation/images_{split}.csv")
        detections = pd.read_parquet(data / f"evaluation/detections_{split}.parquet")
        assert images.empty == detections.empty == (split == "val")
        assert list(images) == TABLES["images"]
        assert list(detections) == TABLES["detections"]


def test_folds_that_were_not_trained_are_not_judged(data):
    params = data / "params.yaml"
    params.write_text(PARAMS.replace("  - 0\n", "  - 0\n  - 1\n"))
    assert run(data)["oof.images"] == 3
    params.write_text(PARAMS.replace("  k: 2", "  k: 8").replace("  - 0\n", "  - 7\n"))
    with pytest.raises(InputError, match=r"split_folds.folds: no image of .* is in \[7\]"):
        run(data)


def test_an_image_with_several_trained_folds_is_judged_once(data):
    once = run(data)
    (data / "folds.csv").write_text(FOLDS + FOLDS.partition("\n")[2].replace(",0,0,", ",2,1,"))
    params = data / "params.yaml"
    text = PARAMS.replace("repeats: 1", "repeats: 2").replace("  - 0\n", "  - 0\n  - 2\n")
    params.write_text(text)
    with pytest.raises(InputError, match="'train/c' is in two folds of one repeat"):
        run(data)
    again = "train/a,2,1,a,1,0,\ntrain/b,3,1,b,1,0,\ntrain/c,3,1,c,1,0,\n"
    (data / "folds.csv").write_text(FOLDS + again)
    assert run(data) == once


def test_same_input_same_bytes(data):
    run(data)
    first = {path.name: path.read_bytes() for path in (data / "evaluation").iterdir()}
    (data / "evaluation/stale.csv").write_text("")
    run(data)
    assert {path.name: path.read_bytes() for path in (data / "evaluation").iterdir()} == first


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ("[", "oof.json: not valid JSON"),
        ("{}", "oof.json: not a list of predictions"),
        (json.dumps([found(3, TOP, 0.5)]), "prediction 0: image_id 3 is not among the 2 judged"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_and_nothing_is_written(data, predictions, words):
    (data / "predictions/oof.json").write_text(predictions)
    with pytest.raises(InputError, match=words):
        run(data)
    assert not list(data.glob("evaluation*"))
    assert not (data / "reports").exists()


@pytest.mark.parametrize(
    "name",
    ["predictions/val.json", "prepared/labels/train/truth.json", "groups/groups.csv", "folds.csv"],
)
def test_a_missing_file_is_named(data, name):
    (data / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        run(data)


def test_auto_without_a_plan_names_the_plan(data):
    (data / "plan/evaluate.json").unlink()
    with pytest.raises(InputError, match="evaluate.json: .*run the stage plan"):
        run(data)


def test_a_table_that_does_not_tell_folds_is_refused(data):
    (data / "folds.csv").write_text("name,fold\n")
    with pytest.raises(InputError, match="folds.csv: has no column repeat; run split_folds"):
        run(data)


def test_images_without_a_group_are_refused(data):
    (data / "groups/groups.csv").write_text(GROUPS.replace("train/b,", "train/d,"))
    with pytest.raises(InputError, match="groups.csv does not list every image of the truth"):
        run(data)
    (data / "groups/groups.csv").write_text("name,split\n")
    with pytest.raises(InputError, match="groups.csv: has no column group; run find_duplicates"):
        run(data)


def test_the_fingerprint_tells_the_data_set_and_not_what_was_trained_or_predicted(data):
    before = run(data)["data"]
    assert len(before) == 12
    (data / "predictions/oof.json").write_text("[]")
    (data / "params.yaml").write_text(PARAMS.replace("  - 0\n", "  - 0\n  - 1\n"))
    assert run(data)["data"] == before
    change(data / "prepared/labels/train/truth.json", annotations=[truth(11, 1, TOP)])
    assert run(data)["data"] != before


def test_images_are_scored_on_a_cluster_alike(data, dask_scheduler):
    before = run(data)
    params = data / "params.yaml"
    params.write_text(PARAMS.replace("scheduler: none", f"scheduler: {dask_scheduler}"))
    assert run(data) == before
