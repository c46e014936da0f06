import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from src.archive import ImageArchive, write_archive
from src.errors import InputError
from src.model import build_model, load_model, save_model
from stages import predict

PARAMS = {"views": "d4", "merge": "mean", "max_size": 64, "overlap": 16, "precision": "float32"}
SIZES = {"test/a": (50, 33), "train/a": (32, 32), "train/b": (20, 40), "val/a": (90, 70)}


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    images = {n: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for n, size in SIZES.items()}
    write_archive(tmp_path / "prepared/images.zip", images.items())
    table = pd.DataFrame({"name": list(SIZES), "split": [n.split("/")[0] for n in SIZES]})
    table.to_csv(tmp_path / "prepared/images.csv", index=False)
    folds = pd.DataFrame({"name": ["train/a", "train/b"], "fold": [0, 1]})
    folds.to_csv(tmp_path / "folds.csv", index=False)
    (tmp_path / "model").mkdir()
    torch.manual_seed(0)
    description = {
        "architecture": "Linknet",
        "encoder": "tu-test_resnet",
        "encoder_depth": 3,
        "channels": 1,
    }
    network = build_model(**description, encoder_weights=None)
    description |= {"mean": [0.5] * 3, "std": [0.2] * 3, "resize": 1.0}
    save_model(tmp_path / "model", network, description)
    return tmp_path


def run(data, fold=1, **changes):
    YAML().dump({"predict": PARAMS | changes}, data / "params.yaml")
    paths = [str(data / name) for name in ("prepared", "folds.csv", "model", "out")]
    predict.main([*paths, "--fold", str(fold), "--params", str(data / "params.yaml")])
    return {split: ImageArchive(data / "out" / f"{split}.zip") for split in ("oof", "val", "test")}


def test_the_left_out_fold_val_and_test_are_predicted_at_their_size(data):
    maps = run(data)
    assert {s: a.names for s, a in maps.items()} == {
        "oof": ["train/b"],
        "val": ["val/a"],
        "test": ["test/a"],
    }
    for archive in maps.values():
        for name in archive.names:
            assert archive.read(name).shape == SIZES[name]
            assert archive.read(name).dtype == np.uint8


@pytest.mark.parametrize(
    "knob",
    [
        {"views": "none"},
        {"views": "d2"},
        {"merge": "gmean"},
        {"max_size": 32},
        {"precision": "bf16"},
    ],
)
def test_every_knob_changes_the_maps(data, knob):
    plain = run(data)["val"].read("val/a")
    changed = run(data, **knob)["val"].read("val/a")
    assert (plain != changed).any()
    assert plain.shape == changed.shape


def test_what_else_is_predicted_changes_nothing(data):
    together = run(data)["val"].read_bytes("val/a")
    table = pd.read_csv(data / "prepared/images.csv")
    table[table["name"] != "test/a"].to_csv(data / "prepared/images.csv", index=False)
    alone = run(data)
    assert alone["val"].read_bytes("val/a") == together
    assert alone["test"].names == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 4}, "folds.csv: has no image in fold 4"),
        ({"overlap": 64}, "predict.overlap 64 must be less than predict.max_size 64"),
        ({"views": "d8"}, "predict.views.*'d8'"),
        ({"batch": 3}, "predict.batch: unknown key"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(data, changes, message):
    with pytest.raises(InputError, match=message):
        run(data, **changes)
    assert not (data / "out").exists()


def test_a_network_that_answers_with_no_number_is_refused(data):
    network, description = load_model(data / "model")
    with torch.no_grad():
        network.segmentation_head[0].bias.fill_(torch.nan)
    save_model(data / "model", network, description)
    with pytest.raises(
        InputError, match="train/b: the network answers with no number; set predict"
    ):
        run(data)
    assert not (data / "out").exists()


def test_a_broken_image_leaves_nothing_behind(data):
    content = b"\xff\xd8\xff not an image"
    write_archive(data / "prepared/images.zip", [(name, content) for name in sorted(SIZES)])
    with pytest.raises(InputError, match="images.zip: train/b: not a readable image"):
        run(data)
    assert not (data / "out").exists()
    assert not list(data.glob("*.partial"))
