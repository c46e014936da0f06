import json

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from src.archive import ImageArchive, write_archive
from src.errors import InputError
from src.model import build_model, load_model, save_model
from stages import predict

PARAMS = {
    "views": "d4",
    "scales": [1.0],
    "merge": "mean",
    "padding": "replicate",
    "max_size": 96,
    "overlap": 16,
    "precision": "float32",
}
NETWORK = {
    "architecture": "Linknet",
    "encoder": "tu-test_resnet",
    "encoder_depth": 3,
    "encoder_attention": "none",
    "stem_stride": 2,
    "decoder_width": 16,
    "decoder_attention": "none",
    "hypercolumn": False,
    "embedding_size": 4,
    "in_channels": 3,
    "heads": ["mask"],
}
FED = {
    "mean": [0.5] * 3,
    "std": [0.2] * 3,
    "resize": 1.0,
    "image_channels": "rgb",
    "extra_channels": [],
    "clahe": 0.0,
    "depth_column": "none",
    "depth_range": None,
}
SIZES = {"test/a": (50, 33), "train/a": (32, 32), "train/b": (20, 40), "val/a": (90, 70)}
DEPTHS = {"test/a": 10.0, "train/a": 20.0, "train/b": 40.0, "val/a": 60.0}


def write_model(folder, **changes):
    """Write the same random network for the same arguments, whatever else prediction is told."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    description = NETWORK | FED | changes
    network = build_model(**{key: description[key] for key in NETWORK}, encoder_weights=None)
    save_model(folder, network, description)


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    images = {n: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for n, size in SIZES.items()}
    write_archive(tmp_path / "prepared/images.zip", images.items())
    table = pd.DataFrame({"name": list(SIZES), "split": [n.split("/")[0] for n in SIZES]})
    table["z"] = table["name"].map(DEPTHS)
    table.to_csv(tmp_path / "prepared/images.csv", index=False)
    folds = pd.DataFrame({"name": ["train/a", "train/b"], "fold": [0, 1]})
    folds.to_csv(tmp_path / "folds.csv", index=False)
    write_model(tmp_path / "model")
    return tmp_path


def run(data, fold=1, allowed="d4", **changes):
    params = {"predict": PARAMS | changes, "views": {"allowed": allowed}}
    YAML().dump(params, data / "params.yaml")
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
        {"merge": "max"},
        {"scales": [1.0, 1.5]},
        {"padding": "reflect"},
        {"allowed": "hflip"},
        {"max_size": 32},
        {"precision": "bf16"},
    ],
)
def test_every_knob_changes_the_maps(data, knob):
    plain = run(data)["val"].read("val/a")
    changed = run(data, **knob)["val"].read("val/a")
    assert (plain != changed).any()
    assert plain.shape == changed.shape


def test_views_are_limited_to_what_the_scene_permits(data):
    limited = run(data, views="d4", allowed="hflip")["val"].read_bytes("val/a")
    assert run(data, views="hflip", allowed="d4")["val"].read_bytes("val/a") == limited


@pytest.mark.parametrize(
    ("knob", "channels"),
    [
        ({"clahe": 2.0}, 3),
        ({"resize": 0.5}, 3),
        ({"image_channels": "grey"}, 1),
        ({"extra_channels": ["coordinates"]}, 5),
    ],
)
def test_the_network_is_fed_as_its_description_says(data, knob, channels):
    plain = run(data)["val"].read("val/a")
    write_model(data / "model", **knob, in_channels=channels)
    assert (run(data)["val"].read("val/a") != plain).any()


def test_the_depth_of_an_image_reaches_the_network(data):
    depth = {"extra_channels": ["depth"], "depth_column": "z", "in_channels": 4}
    write_model(data / "model", **depth, depth_range=[20.0, 60.0])
    plain = {split: maps.read_bytes(maps.names[0]) for split, maps in run(data).items()}
    table = pd.read_csv(data / "prepared/images.csv")
    table["z"] = table["name"].map(DEPTHS | {"train/b": 45.0})
    table.to_csv(data / "prepared/images.csv", index=False)
    changed = {split: maps.read_bytes(maps.names[0]) for split, maps in run(data).items()}
    assert {split for split in plain if plain[split] != changed[split]} == {"oof"}
    # relative depths: (40 - 20) / (60 - 20) is (45 - 35) / (55 - 35)
    write_model(data / "model", **depth, depth_range=[35.0, 55.0])
    assert run(data)["oof"].read_bytes("train/b") == plain["oof"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"columns": {"z": "depth"}},
            "model.depth_column names the column 'z', which images.csv does not",
        ),
        ({"index": {}}, "test/a has no number in the column 'z'"),
    ],
)
def test_a_missing_depth_names_the_image(data, change, message):
    depth = {"extra_channels": ["depth"], "depth_column": "z", "depth_range": [0.0, 1.0]}
    write_model(data / "model", **depth, in_channels=4)
    table = pd.read_csv(data / "prepared/images.csv").rename(**change)
    table.loc[table["name"] == "test/a", table.columns[-1]] = np.nan
    table.to_csv(data / "prepared/images.csv", index=False)
    with pytest.raises(InputError, match=message):
        run(data)
    assert not (data / "out").exists()


def test_every_head_but_the_embedding_is_written(data):
    heads = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]
    write_model(data / "model", heads=heads)
    maps = run(data)
    assert json.loads((data / "out/maps.json").read_text()) == {
        "heads": ["mask", "border", "contact", "boundary_distance", "empty"]
    }
    found = {path.name for path in (data / "out").iterdir()}
    suffixes = [".zip", "_border.zip", "_contact.zip", "_boundary_distance.zip", "_empty.csv"]
    assert found == {s + suffix for s in maps for suffix in suffixes} | {"maps.json"}
    seen = []
    for suffix in suffixes[:-1]:
        archive = ImageArchive(data / f"out/val{suffix}")
        assert archive.names == ["val/a"]
        assert archive.read("val/a").shape == SIZES["val/a"]
        seen.append(archive.read("val/a").tobytes())
    assert len(set(seen)) == 4
    empty = pd.read_csv(data / "out/val_empty.csv")
    assert empty["name"].tolist() == ["val/a"]
    assert 0 < empty["probability"].item() < 1


def test_the_maps_beside_the_mask_belong_to_their_images(data):
    table = pd.read_csv(data / "prepared/images.csv").assign(split="val")
    table.to_csv(data / "prepared/images.csv", index=False)
    write_model(data / "model", heads=["mask", "border"])
    run(data)
    archive = ImageArchive(data / "out/val_border.zip")
    assert {name: archive.read(name).shape for name in archive.names} == SIZES


def test_a_network_of_the_mask_alone_writes_nothing_else(data):
    run(data)
    files = {path.name for path in (data / "out").iterdir()}
    assert files == {"oof.zip", "val.zip", "test.zip", "maps.json"}
    assert json.loads((data / "out/maps.json").read_text()) == {"heads": ["mask"]}


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
        ({"overlap": 96}, "predict.overlap 96 must be less than predict.max_size 96"),
        ({"views": "d8"}, "predict.views.*'d8'"),
        ({"merge": "median"}, "predict.merge.*'median'"),
        ({"scales": []}, "predict.scales: .*at least 1 item"),
        ({"scales": [1.0, 0.0]}, "predict.scales.1: .*greater than 0"),
        ({"padding": "zero"}, "predict.padding.*'zero'"),
        ({"allowed": "d8"}, "views.allowed.*'d8'"),
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
