import functools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from src.base.errors import InputError
from src.formats.archive import write_archive
from src.formats.prepared import open_photos, read_photo
from src.networks.model import load_model, rebuild, save_model
from src.networks.network_input import network_input
from stages import average_models
from tests import tiny_network

NETWORK = tiny_network.NETWORK | {"in_channels": 4}
FED = tiny_network.FED | {
    "extra_channels": ["depth"],
    "depth_column": "z",
    "depth_range": [0.0, 2.0],
}
FOLDS = {"train/a": 0, "train/b": 1, "train/c": 1, "train/d": 2}
SIZE = (128, 128)
IMAGES = "prepared/train/images.zip"


def write_model(folder, seed, moved=0.0, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, random_network(seed, moved), NETWORK | FED | changes)


@functools.cache
def random_network(seed, moved):
    torch.manual_seed(seed)
    network = rebuild(NETWORK)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value += moved
    return network


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """Folder of images, tables and two networks, and the weights of their soup."""
    root, rng = tmp_path_factory.mktemp("soup"), np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (*SIZE, 3), np.uint8) for name in FOLDS}
    write_archive(root / IMAGES, images.items())
    table = pd.DataFrame({"name": list(FOLDS), "split": "train", "image_id": range(4)})
    table = table.assign(file_name=table["name"], height=SIZE[0], width=SIZE[1], objects=0)
    table = table.assign(ignored=0, coverage=0.0, group=table["name"], z=[0.0, 1.0, 2.0, 0.5])
    table.to_csv(root / "prepared/train/images.csv", index=False)
    write_folds(root, FOLDS.items())
    for seed, member in enumerate(["one", "two"]):
        write_model(root / f"models/{member}/fold0", seed, moved=float(seed))
    return root, run(root)


def write_folds(root, rows):
    folds = pd.DataFrame(rows, columns=["name", "fold"]).assign(copies=1, copy=0)
    folds = folds.assign(group=folds["name"], test_likeness=np.nan)
    folds["repeat"] = folds.groupby("name").cumcount()
    folds.to_csv(root / "folds.csv", index=False)


@pytest.fixture
def data(untouched, tmp_path):
    without = shutil.ignore_patterns("out")
    return shutil.copytree(untouched[0], tmp_path / "data", ignore=without)


def run(data, soups=None, fold=0, name="mix"):
    soups = {"mix": ["one", "two"]} if soups is None else soups
    params = {"soups": soups, "members": {"one": {}, "two": {}, "new": {}}}
    YAML().dump(params, data / "params.yaml")
    paths = [str(data / one) for one in ("prepared", "folds.csv", "models", "out")]
    options = ["--soup", name, "--fold", str(fold), "--params", str(data / "params.yaml")]
    average_models.main([*paths, *options])
    return load_file(data / "out/model.safetensors")


def parts(data, member):
    return load_file(data / f"models/{member}/fold0/model.safetensors")


def is_statistic(key):
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_the_weights_are_the_mean_of_the_members_weights(untouched):
    data, found = untouched
    one, two = parts(data, "one"), parts(data, "two")
    assert found.keys() == one.keys()
    for key in found:
        if not is_statistic(key):
            torch.testing.assert_close(found[key], (one[key] + two[key]) / 2)
    assert any((one[key] != two[key]).any() for key in found)


def test_the_description_is_that_of_the_members_and_the_network_loads(untouched):
    data, _ = untouched
    assert json.loads((data / "out/model.json").read_text()) == NETWORK | FED
    assert load_model(data / "out")[1] == NETWORK | FED


def first_statistics(data, names):
    """Mean and variance of what the first batch norm is given on whole images, and its name."""
    network, _ = load_model(data / "out")
    photos = open_photos(data / "prepared", "train")
    depth = pd.read_csv(data / "prepared/train/images.csv").set_index("name")["z"] / 2
    images = [read_photo(photos, name).transpose(2, 0, 1).copy() for name in names]
    stack = torch.stack([torch.from_numpy(image) for image in images])
    depth = torch.tensor(depth[names].to_numpy(np.float32))
    inputs = {key: FED[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    seen = []
    norms = (m for m in network.named_modules() if isinstance(m[1], torch.nn.BatchNorm2d))
    key, norm = next(norms)
    norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        network(network_input(stack, depth, **inputs))
    return key, seen[0].mean((0, 2, 3)), seen[0].var((0, 2, 3))


def test_statistics_are_measured_on_all_folds_but_the_one_left_out(untouched):
    data, found = untouched
    key, mean, variance = first_statistics(data, ["train/b", "train/c", "train/d"])
    torch.testing.assert_close(found[f"{key}.running_mean"], mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[f"{key}.running_var"], variance, rtol=1e-4, atol=1e-5)
    _, mean, _ = first_statistics(data, sorted(FOLDS))
    assert not torch.allclose(found[f"{key}.running_mean"], mean, rtol=1e-4, atol=1e-5)


def test_the_left_out_images_change_nothing(untouched, data):
    before = untouched[1]
    photos = open_photos(data / "prepared", "train")
    changed = {n: read_photo(photos, n) for n in FOLDS} | {"train/a": np.zeros((9, 5, 3), np.uint8)}
    write_archive(data / IMAGES, changed.items())
    after = run(data)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_statistics_are_measured_on_each_image_once_however_often_it_was_divided(untouched, data):
    again = [(name, fold + 3) for name, fold in FOLDS.items()]
    write_folds(data, [*FOLDS.items(), *again])
    after = run(data)
    assert all(torch.equal(untouched[1][key], after[key]) for key in after)


@pytest.mark.parametrize(
    "fed", [{"clahe": 3.0}, {"resize": 0.5}, {"depth_range": [0.0, 1.0]}, {"mean": [0.2] * 3}]
)
def test_images_are_fed_as_the_description_says(untouched, data, fed):
    before = untouched[1]
    for seed, member in enumerate(["one", "two"]):
        write_model(data / f"models/{member}/fold0", seed, moved=float(seed), **fed)
    after = run(data)
    key = next(key for key in before if key.endswith("running_mean"))
    assert not torch.allclose(before[key], after[key], rtol=1e-4, atol=1e-6)


def test_images_of_any_size_are_cropped_or_padded_about_their_centre():
    image = np.arange(200 * 3 * 3, dtype=np.uint64).astype(np.uint8).reshape(200, 3, 3)
    description = {"clahe": 0.0, "resize": 1.0, "extra_channels": []}
    crop = average_models._crop(image, description, 24).numpy()  # 144 is the next multiple
    wanted = np.pad(image[28:172], ((0, 0), (70, 71), (0, 0)), mode="edge").transpose(2, 0, 1)
    np.testing.assert_array_equal(crop, wanted)


def test_a_soup_of_one_network_is_that_network(data):
    found, one = run(data, {"mix": ["one"]}), parts(data, "one")
    assert all(torch.equal(found[key], one[key]) for key in one)


def test_statistics_that_are_alike_are_kept(data):
    write_model(data / "models/two/fold0", 1)  # as if both had frozen batch norms
    found, one = run(data), parts(data, "one")
    assert all(torch.equal(found[key], one[key]) for key in one if is_statistic(key))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soups": {"mix": []}}, "soups.mix: is empty; list members: one, two, new"),
        ({"soups": {"mix": ["one", "tow"]}}, "soups.mix: no member 'tow'; known: one, two, new"),
        ({"soups": {"mix": "one"}}, "soups.mix: .*valid list"),
        ({"soups": {"other": ["one"]}}, "no soup 'mix'; known: other"),
        ({"soups": {"two": ["one"]}, "name": "two"}, "there is a member 'two'; rename the soup"),
        ({"soups": {"mix": ["one", "new"]}}, "new/fold0/model.json: no such file; run the train"),
        ({"fold": 1}, "one/fold1/model.json: no such file"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(data, changes, message):
    with pytest.raises(InputError, match=message):
        run(data, **changes)
    assert not (data / "out").exists()


def test_members_that_are_not_alike_are_refused_with_the_first_difference(data):
    write_model(data / "models/two/fold0", 1, resize=2.0, std=[0.3] * 3)
    message = r"soups.mix: one and two differ in resize \(1.0 and 2.0\); average networks"
    with pytest.raises(InputError, match=message):
        run(data)
    assert not (data / "out").exists()


def test_a_fold_that_is_all_or_nothing_is_refused(data):
    table = pd.read_csv(data / "folds.csv").assign(fold=0)
    table.to_csv(data / "folds.csv", index=False)
    with pytest.raises(InputError, match="folds.csv: fold 0 is not one of several"):
        run(data)
    assert not (data / "out").exists()
