import functools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.networks.heads import head_outputs
from src.networks.model import load_model, rebuild, save_model
from src.networks.network_input import network_input
from src.predicting.embedding_affinity import neighbour_affinity
from stages import predict
from tests.tiny_network import FED, NETWORK

PARAMS = {
    "views": "hflip",
    "scales": [1.0],
    "merge": "mean",
    "padding": "replicate",
    "margin": 0,
    "gammas": [1.0],
    "max_size": 64,
    "overlap": 16,
    "precision": "float32",
}
SIZES = {"test/a": (50, 33), "train/a": (32, 32), "train/b": (20, 40), "val/a": (50, 41)}
DEPTHS = {"test/a": 10.0, "train/a": 20.0, "train/b": 40.0, "val/a": 60.0}


def write_model(folder, **changes):
    """Write the same random network for the same arguments, whatever else prediction is told."""
    folder.mkdir(exist_ok=True)
    description = NETWORK | FED | changes
    network = random_network(description["in_channels"], tuple(description["heads"]))
    save_model(folder, network, description)


@functools.cache
def random_network(in_channels, heads):
    torch.manual_seed(0)
    arguments = NETWORK | {"in_channels": in_channels, "heads": list(heads)}
    return rebuild(arguments)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """Folder of images, tables and a network, and the maps predicted from them."""
    root, rng = tmp_path_factory.mktemp("predict"), np.random.default_rng(0)
    images = {n: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for n, size in SIZES.items()}
    write_prepared(root, images, DEPTHS)
    write_folds(root, [("train/a", 0), ("train/b", 1)])
    write_model(root / "model")
    return root, run(root)


def write_prepared(root, images, depths):
    """Write images and their tables, the depth as the column z, split by split."""
    for split in ("train", "val", "test"):
        names = [name for name in images if name.startswith(split)]
        write_archive(root / f"prepared/{split}/images.zip", [(n, images[n]) for n in names])
        table = pd.DataFrame({"name": names, "split": split, "image_id": range(1, len(names) + 1)})
        table["file_name"] = [f"{name.split('/')[1]}.png" for name in names]
        table["height"] = [SIZES.get(name, (9, 9))[0] for name in names]
        table["width"] = [SIZES.get(name, (9, 9))[1] for name in names]
        table = table.assign(objects=0, ignored=0, coverage=0.0, group=names)
        table["z"] = [depths.get(name) for name in names]
        table.to_csv(root / f"prepared/{split}/images.csv", index=False)


def change_table(root, split, **columns):
    """Write the table of a split anew with other values in a column, by name."""
    path = root / f"prepared/{split}/images.csv"
    table = pd.read_csv(path)
    for column, values in columns.items():
        table[column] = table["name"].map(values)
    table.to_csv(path, index=False)


def write_folds(root, rows):
    folds = pd.DataFrame(rows, columns=["name", "fold"]).assign(copies=1, copy=0)
    folds = folds.assign(group=folds["name"], test_likeness=np.nan)
    folds["repeat"] = folds.groupby("name").cumcount()
    folds.to_csv(root / "folds.csv", index=False)


@pytest.fixture
def data(untouched, tmp_path):
    without = shutil.ignore_patterns("out")
    return shutil.copytree(untouched[0], tmp_path / "data", ignore=without)


def run(data, fold=1, allowed="d4", **changes):
    params = {"predict": PARAMS | changes, "views": {"allowed": allowed}}
    YAML().dump(params, data / "params.yaml")
    paths = [str(data / name) for name in ("prepared", "folds.csv", "model", "out")]
    predict.main([*paths, "--fold", str(fold), "--params", str(data / "params.yaml")])
    return {split: ImageArchive(data / "out" / f"{split}.zip") for split in ("oof", "val", "test")}


def test_the_left_out_fold_val_and_test_are_predicted_at_their_size(untouched):
    maps = untouched[1]
    assert {s: a.names for s, a in maps.items()} == {
        "oof": ["train/b"],
        "val": ["val/a"],
        "test": ["test/a"],
    }
    for archive in maps.values():
        for name in archive.names:
            assert archive.read(name).shape == SIZES[name]
            assert archive.read(name).dtype == np.uint8


@pytest.mark.parametrize(("fold", "names"), [(2, ["train/a", "train/b"]), (3, ["train/c"])])
def test_images_divided_again_are_predicted_in_each_fold_they_were_left_out_of(data, fold, names):
    images = {name: np.full((9, 9, 3), 70, np.uint8) for name in sorted([*SIZES, "train/c"])}
    write_prepared(data, images, DEPTHS)
    once = [("train/a", 0), ("train/b", 1), ("train/c", 0)]
    write_folds(data, [*once, ("train/a", 2), ("train/b", 2), ("train/c", 3)])
    assert run(data, fold=fold)["oof"].names == names


@pytest.mark.parametrize(
    "knob",
    [
        {"views": "none"},
        {"views": "d4"},
        {"merge": "gmean"},
        {"merge": "max"},
        {"scales": [1.0, 1.5]},
        {"padding": "reflect"},
        {"margin": 8},
        {"gammas": [1.0, 2.0]},
        {"gammas": [0.5]},
        {"allowed": "none"},
        {"max_size": 32},
        {"precision": "bf16"},
    ],
)
def test_every_knob_changes_the_maps(untouched, data, knob):
    plain = untouched[1]["val"].read("val/a")
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
def test_the_network_is_fed_as_its_description_says(untouched, data, knob, channels):
    plain = untouched[1]["val"].read("val/a")
    write_model(data / "model", **knob, in_channels=channels)
    assert (run(data)["val"].read("val/a") != plain).any()


def test_the_depth_of_an_image_reaches_the_network(data):
    depth = {"extra_channels": ["depth"], "depth_column": "z", "in_channels": 4}
    write_model(data / "model", **depth, depth_range=[20.0, 60.0])
    plain = {split: maps.read_bytes(maps.names[0]) for split, maps in run(data).items()}
    change_table(data, "train", z=DEPTHS | {"train/b": 45.0})
    changed = {split: maps.read_bytes(maps.names[0]) for split, maps in run(data).items()}
    assert {split for split in plain if plain[split] != changed[split]} == {"oof"}
    # relative depths: (40 - 20) / (60 - 20) is (45 - 35) / (55 - 35)
    write_model(data / "model", **depth, depth_range=[35.0, 55.0])
    assert run(data)["oof"].read_bytes("train/b") == plain["oof"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("depth", "model.depth_column names the column 'z', which images.csv does not"),
        ("z", "test/a has no number in the column 'z'"),
    ],
)
def test_a_missing_depth_names_the_image(data, column, message):
    depth = {"extra_channels": ["depth"], "depth_column": "z", "depth_range": [0.0, 1.0]}
    write_model(data / "model", **depth, in_channels=4)
    change_table(data, "test", z={})
    for path in (data / "prepared").glob("*/images.csv"):
        pd.read_csv(path).rename(columns={"z": column}).to_csv(path, index=False)
    with pytest.raises(InputError, match=message):
        run(data)
    assert not (data / "out").exists()


def test_every_head_is_written(data):
    heads = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]
    write_model(data / "model", heads=heads, embedding_loss="discriminative")
    maps = run(data)
    listed = json.loads((data / "out/maps.json").read_text())
    assert listed == {"heads": heads, "spreads": ["view"]}
    found = {path.name for path in (data / "out").iterdir()}
    suffixes = ["", "_border", "_contact", "_boundary_distance", "_view_spread", "_embedding"]
    files = [f"{suffix}.zip" for suffix in suffixes] + ["_empty.csv"]
    assert found == {split + file for split in maps for file in files} | {"maps.json"}
    seen = []
    for suffix in suffixes:
        archive = ImageArchive(data / f"out/val{suffix}.zip")
        assert archive.names == ["val/a"]
        assert archive.read("val/a").shape[:2] == SIZES["val/a"]
        seen.append(archive.read("val/a").tobytes())
    assert len(set(seen)) == 6
    empty = pd.read_csv(data / "out/val_empty.csv")
    assert empty["name"].tolist() == ["val/a"]
    assert 0 < empty["probability"].item() < 1


def described(data, images):
    """Return what the network says of images in float32, one view, one window."""
    network, description = load_model(data / "model")
    inputs = {key: description[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    with torch.inference_mode():
        given = network_input(images, torch.zeros(len(images)), **inputs)
        return head_outputs(network(given), description["heads"], description["embedding_size"])


@pytest.mark.parametrize("kind", ["discriminative", "cosface"])
def test_the_embedding_is_written_as_affinities_with_the_right_and_lower_neighbour(data, kind):
    write_model(data / "model", heads=["mask", "embedding"], embedding_loss=kind)
    run(data, fold=0, views="none")
    image = ImageArchive(data / "prepared/train/images.zip").read("train/a")  # 32 x 32, not padded
    embedding = described(data, torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    expected = neighbour_affinity(embedding["embedding"][0], kind=kind).numpy()
    found = ImageArchive(data / "out/oof_embedding.zip").read("train/a")
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found[..., :2].transpose(2, 0, 1) / 255, expected, atol=0.51 / 255)
    assert len(np.unique(found[:, :-1, 0])) > 10
    assert not found[..., 2].any()
    assert not found[:, -1, 0].any()
    assert not found[-1, :, 1].any()


def test_the_spread_over_views_is_written(data):
    run(data, fold=0, views="hflip", merge="max")
    image = ImageArchive(data / "prepared/train/images.zip").read("train/a")
    image = torch.from_numpy(image.transpose(2, 0, 1).copy())
    one, other = described(data, torch.stack([image, image.flip(-1)]))["mask"].sigmoid()
    expected = (one - other.flip(-1)).abs().numpy() / 2
    found = ImageArchive(data / "out/oof_view_spread.zip").read("train/a")
    np.testing.assert_allclose(found / 510, expected, atol=0.51 / 510)
    assert found.max() > 10


@pytest.mark.parametrize(
    ("changes", "spreads"),
    [
        ({"views": "d4", "allowed": "none"}, []),
        ({"views": "hflip", "allowed": "d4"}, ["view"]),
        ({"views": "none", "scales": [1.0, 1.0]}, ["view"]),
    ],
)
def test_there_is_a_spread_where_there_are_several_views_or_scales(data, changes, spreads):
    run(data, **changes)
    listed = json.loads((data / "out/maps.json").read_text())
    assert listed == {"heads": ["mask"], "spreads": spreads}
    assert (data / "out/val_view_spread.zip").exists() == bool(spreads)


@pytest.mark.parametrize(
    ("described", "params", "message"),
    [
        ({}, {}, "model.json: has no embedding_loss; train again"),
        ({"embedding_loss": "arcface"}, {"overlap": 0}, "predict.overlap 0 .* set it to 1 or more"),
    ],
)
def test_affinities_that_cannot_be_had_are_refused(data, described, params, message):
    write_model(data / "model", heads=["mask", "embedding"], **described)
    with pytest.raises(InputError, match=message):
        run(data, **params)
    assert not (data / "out").exists()


def test_the_maps_beside_the_mask_belong_to_their_images(data):
    sizes = {"val/a": (50, 41), "val/b": (20, 40), "val/c": (32, 32)}
    images = {name: np.zeros((*size, 3), np.uint8) for name, size in (SIZES | sizes).items()}
    write_prepared(data, images, DEPTHS)
    write_model(data / "model", heads=["mask", "border"])
    run(data)
    archive = ImageArchive(data / "out/val_border.zip")
    assert {name: archive.read(name).shape for name in archive.names} == sizes


def test_a_network_of_the_mask_alone_and_one_view_write_nothing_else(data):
    run(data, views="none")
    files = {path.name for path in (data / "out").iterdir()}
    assert files == {"oof.zip", "val.zip", "test.zip", "maps.json"}


def test_what_else_is_predicted_changes_nothing(untouched, data):
    together = untouched[1]["val"].read_bytes("val/a")
    images = {
        name: ImageArchive(data / f"prepared/{name.split('/')[0]}/images.zip").read(name)
        for name in SIZES
        if name != "test/a"
    }
    write_prepared(data, images, DEPTHS)
    alone = run(data)
    assert alone["val"].read_bytes("val/a") == together
    assert alone["test"].names == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 4}, r"folds.csv: fold 4 is not one of several; it has \[0, 1\]"),
        ({"overlap": 64}, "predict.overlap 64 must be less than predict.max_size 64"),
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
    write_archive(data / "prepared/train/images.zip", [("train/b", content)])
    with pytest.raises(InputError, match="train/images.zip: train/b: not a readable image"):
        run(data)
    assert not (data / "out").exists()
    assert not list(data.glob("*.partial"))
