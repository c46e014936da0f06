import json

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from src.errors import InputError
from stages.evaluate import main

PARAMS = """\
split_folds:
  k: 2
  folds:
  - 0
  seed: 1
evaluate:
  max_detections: 100
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
        "prepared/truth_train.json": train,
        "prepared/truth_val.json": val,
        "predictions/oof.json": oof,
        "predictions/val.json": [],
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "folds.csv").write_text("name,fold\ntrain/a,0\ntrain/b,0\ntrain/c,1\n")
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def run(data):
    names = ("prepared", "folds.csv", "predictions", "reports/metrics.json", "evaluation")
    main([*(str(data / name) for name in names), "--params", str(data / "params.yaml")])
    return json.loads((data / "reports/metrics.json").read_text())


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_metrics_are_those_worked_out_by_hand(data):
    metrics = run(data)
    # 0.9 right (IoU exactly 0.5), 0.75 wrong, 0.5 right: precision 1, then 2 of 3
    assert metrics["oof.ap50"] == round((51 + 50 * 2 / 3) / 101, 6)
    assert metrics["oof.ar50"] == 1
    assert metrics["oof.f1_50"] == 0.8
    assert metrics["oof.precision_50"] == 0.666667
    assert metrics["oof.recall_50"] == 1
    assert metrics["oof.dice_mean"] == round((2 * 300 / 700 + 0) / 2, 6)
    assert [metrics[f"oof.{key}"] for key in ("images", "objects", "detections")] == [2, 2, 3]


def test_what_is_undefined_is_null(data):
    metrics = run(data)
    assert metrics["oof.ap50_large"] == metrics["oof.ap50"]
    assert metrics["oof.ap50_small"] is None
    for key in ("ap50", "ar50", "ap", "precision_50", "recall_50"):
        assert metrics[f"val.{key}"] is None
    assert (metrics["val.f1_50"], metrics["val.dice_mean"]) == (1, 1)


def test_tables_tell_every_image_and_detection(data):
    run(data)
    images = pd.read_csv(data / "evaluation/images_oof.csv")
    assert images.to_dict("list") == {
        "name": ["train/a", "train/b"],
        "image_id": [2, 1],
        "objects": [0, 2],
        "detections": [1, 2],
        "tp": [0, 2],
        "fp": [1, 0],
        "fn": [0, 0],
        "f1_50": [0.0, 1.0],
        "dice": [0.0, 0.857143],
    }
    detections = pd.read_parquet(data / "evaluation/detections_oof.parquet")
    assert detections.to_dict("list") == {
        "image_id": [1, 2, 1],
        "name": ["train/b", "train/a", "train/b"],
        "detection": [0, 1, 2],
        "score": [0.5, 0.75, 0.9],
        "tp": [True, False, True],
        "ignored": [False, False, False],
        "truth_id": [12, -1, 11],
        "iou": [1.0, 0.0, 0.5],
    }


def test_the_curve_has_cocos_101_points_and_the_score_for_its_mean(data):
    metrics = run(data)
    curve = pd.read_csv(data / "evaluation/precision_recall_oof.csv")
    assert curve["recall"].tolist() == [place / 100 for place in range(101)]
    assert curve["precision"].mean() == pytest.approx(metrics["oof.ap50"], abs=1e-6)
    assert pd.read_csv(data / "evaluation/precision_recall_val.csv").empty


def test_a_set_without_val_has_no_val_keys_and_empty_tables(data):
    change(data / "prepared/truth_val.json", images=[], categories=[])
    (data / "predictions/val.json").unlink()
    assert {key.partition(".")[0] for key in run(data)} == {"oof"}
    assert len(pd.read_csv(data / "evaluation/images_val.csv").columns) == 9
    assert pd.read_parquet(data / "evaluation/detections_val.parquet").empty


def test_folds_that_were_not_trained_are_not_judged(data):
    params = data / "params.yaml"
    params.write_text(PARAMS.replace("  - 0\n", "  - 0\n  - 1\n"))
    assert run(data)["oof.images"] == 3
    params.write_text(PARAMS.replace("  - 0\n", "  - 7\n"))
    with pytest.raises(InputError, match=r"split_folds.folds: no image of .* is in \[7\]"):
        run(data)


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


@pytest.mark.parametrize("name", ["predictions/val.json", "prepared/truth_train.json", "folds.csv"])
def test_a_missing_file_is_named(data, name):
    (data / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        run(data)


def test_a_table_that_does_not_tell_folds_is_refused(data):
    (data / "folds.csv").write_text("image,fold\n")
    with pytest.raises(InputError, match="are not name,fold"):
        run(data)
