import json

import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.errors import InputError
from stages import rescore
from stages.postprocess import COLUMNS

# name, height, width, counts, area, bbox, mean, max
ROWS = [
    ["val/a", 4, 5, "0" * 3, 4, 0, 0, 2, 2, 0.9, 1.0],
    ["val/a", 4, 5, "1" * 3, 9, 1, 1, 3, 3, 0.8, 1.0],
    ["val/a", 4, 5, "2" * 3, 1, 4, 3, 1, 1, 0.95, 1.0],
    ["val/b", 4, 5, "3" * 3, 4, 0, 0, 2, 2, 0.5, 0.6],
]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "prepared").mkdir()
    (tmp_path / "candidates").mkdir()
    images = pd.DataFrame({"name": ["val/a", "val/b"], "image_id": [31, 7]})
    images.to_csv(tmp_path / "prepared/images.csv", index=False)
    truth = {"categories": [{"id": 100, "name": "building"}]}
    (tmp_path / "prepared/truth_train.json").write_text(json.dumps(truth))
    for split in ("oof", "val", "test"):
        table = pd.DataFrame(ROWS if split == "val" else [], columns=list(COLUMNS))
        table.astype(COLUMNS).to_parquet(tmp_path / f"candidates/{split}.parquet")
    return tmp_path


def run(data, **changes):
    params = {"score": "mean", "max_detections": 100} | changes
    YAML().dump({"rescore": params}, data / "params.yaml")
    paths = [str(data / name) for name in ("prepared", "candidates", "predictions")]
    rescore.main([*paths, "--params", str(data / "params.yaml")])
    read = {
        s: json.loads((data / f"predictions/{s}.json").read_text()) for s in ("oof", "val", "test")
    }
    assert read["oof"] == read["test"] == []
    return read["val"]


def test_results_are_coco_results_under_the_ids_of_the_source(data):
    assert run(data)[-1] == {
        "image_id": 7,
        "category_id": 100,
        "segmentation": {"size": [4, 5], "counts": "333"},
        "bbox": [0, 0, 2, 2],
        "score": 0.5,
    }


@pytest.mark.parametrize(
    ("score", "scores"),
    [
        ("constant", [1, 1, 1, 1]),
        ("mean", [0.95, 0.9, 0.8, 0.5]),
        ("mean_sqrt_area", [2.4, 1.8, 0.95, 1.0]),
    ],
)
def test_each_score_ranks_the_objects_of_an_image(data, score, scores):
    results = run(data, score=score)
    assert [r["score"] for r in results] == pytest.approx(scores)
    assert [r["image_id"] for r in results] == [31, 31, 31, 7]


def test_only_the_best_of_each_image_are_kept(data):
    assert [r["score"] for r in run(data, max_detections=1)] == [0.95, 0.5]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("images.csv", "images.csv: no such file; run prepare_masks"),
        ("truth_train.json", "truth_train.json: no such file; run the stage that writes it"),
    ],
)
def test_a_missing_file_is_named(data, name, words):
    (data / "prepared" / name).unlink()
    with pytest.raises(InputError, match=words):
        run(data)
    assert not (data / "predictions").exists()


def test_a_missing_table_leaves_nothing_behind(data):
    (data / "candidates/test.parquet").unlink()
    with pytest.raises(InputError, match="test.parquet: no such file; run the postprocess stage"):
        run(data)
    assert not (data / "predictions").exists()
