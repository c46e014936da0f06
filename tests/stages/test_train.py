import copy
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.networks.model import rebuild
from stages import train
from tests import sections

PHASE = {
    "epochs": 1,
    "lr": 0.002,
    "encoder_lr": 1.0,
    "min_lr": 0.0,
    "fraction": 1.0,
    "freeze": "none",
    "optimiser": "adamw",
    "schedule": "constant",
    "cycle_epochs": 1,
    "step_factor": 0.5,
    "dice_scale": 1.0,
    "loss": {},
}
PARAMS = copy.deepcopy(sections.PARAMS)  # then made small
PARAMS["model"] |= {"architecture": "Linknet", "encoder": "tu-test_resnet", "encoder_depth": 3}
PARAMS["model"]["encoder_weights"] = "none"
PARAMS["model"] |= {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
PARAMS["loss"] |= {"distance": "none", "size_weight": 0.0}
PARAMS["augment"] |= {"shift": 0.0, "scale": 0.0, "rotate": 0.0, "hue": 0, "saturation": 0}
PARAMS["augment"] |= {"brightness": 0.0, "contrast": 0.0}
PARAMS["train"] |= {"crop_size": 32, "batch_size": 4, "precision": "float32", "ema_decay": 0.9}
PARAMS["train"] |= {"evaluate_every": 1, "phases": [PHASE]}
TRAIN = "prepared/train"
LABELS = "prepared/labels/train"
READ = ("model", "loss", "augment", "train", "launcher", "trackers", "members", "views")
READ += ("weight_maps",)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Folder of the network trained with the params as they are."""
    root = tmp_path_factory.mktemp("plain")
    write_squares(root)
    return train_on(root)


@pytest.fixture
def run(tmp_path):
    """Function that trains on bright squares and returns the model's folder."""
    write_squares(tmp_path)
    return partial(train_on, tmp_path)


def train_on(root, out="model", fold=0, member="main", options=(), **changes):
    params = {section: copy.deepcopy(PARAMS[section]) for section in READ}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        params[section] = value if not name else params[section] | {name: value}
    sections.write_plan(root / "plan")
    (root / "params.yaml").write_text(json.dumps(params))  # JSON is YAML, and faster to write
    names = ("prepared", "plan", "folds.csv", "weights.zip", out, "params.yaml")
    *paths, params_path = (str(root / name) for name in names)
    options = ["--member", member, "--fold", str(fold), "--params", params_path, *options]
    train.main([*paths, *options])
    return root / out


def write_squares(root, noise_in_fold=None):
    """Eight images, 32 x 32, of bright squares on dark ground; two folds, one group each pair."""
    rng = np.random.default_rng(1)
    names, content = [f"train/{i}" for i in range(8)], {"images": [], "instances": []}
    for i in range(8):
        instances = np.zeros((32, 32), np.uint16)
        row, column = rng.integers(2, 16, 2)
        instances[row : row + 12, column : column + 12] = 1
        image = np.where(instances[..., None] > 0, 200, 60) + rng.integers(-20, 20, (32, 32, 3))
        if noise_in_fold == i % 2:
            image = np.random.default_rng(i).integers(0, 256, (32, 32, 3))
        content["images"].append(image.astype(np.uint8))
        content["instances"].append(instances)
    for kind, folder in (("images", TRAIN), ("instances", LABELS)):
        write_archive(root / folder / f"{kind}.zip", zip(names, content[kind], strict=True))
    planes = [np.dstack([(i == 0) * 40, i * 0 + 120, i * 12]) for i in content["instances"]]
    planes = [p.astype(np.uint8) for p in planes]
    write_archive(root / "weights.zip", zip(names, planes, strict=True))
    groups = pd.DataFrame({"name": names, "split": "train", "image_id": range(8)})
    groups["file_name"], groups["group"] = names, [f"g{i // 2}" for i in range(8)]
    groups["height"], groups["width"], groups["objects"], groups["ignored"] = 32, 32, 1, 0
    groups["coverage"] = [0.14, 0.3, 0.14, 0.1, 0.5, 0.05, 0.14, 0.14]
    groups["depth"], groups["trust"] = [10.0, 20, 40, 15, 5, 0, 30, 25], [1.0, 2, 3, 4, 1, 2, 3, 4]
    groups["half"] = [1, 0.5, 1, 0.5, 1, 1, 1, 1]
    groups.to_csv(root / TRAIN / "images.csv", index=False)
    folds = groups[["name", "group"]].assign(fold=[i % 2 for i in range(8)], repeat=0)
    folds["copies"], folds["copy"] = [1, 2, 1, 2, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0, 0]
    folds["test_likeness"] = groups["trust"]
    folds.to_csv(root / "folds.csv", index=False)


def weights(folder):
    return load_file(folder / "model.safetensors")


def differ(a, b):
    return a.keys() != b.keys() or any(not torch.equal(a[key], b[key]) for key in a)


def test_it_learns_to_find_bright_squares(run):
    phases = [PHASE | {"epochs": 25, "lr": 0.01}]
    curve = pd.read_csv(run(train__phases=phases, train__evaluate_every=25) / "curve.csv")
    assert curve["epoch"].tolist() == list(range(1, 26))
    assert curve["train_loss"].iloc[-1] < 0.7 * curve["train_loss"].iloc[0]
    assert curve["fold_dice"].iloc[-1] > 0.8


def test_one_setting_gives_one_result_however_many_workers(plain, run):
    again = run(train__workers=2)
    for part in ("model.safetensors", "model.json", "curve.csv"):
        assert (plain / part).read_bytes() == (again / part).read_bytes()


def test_the_left_out_fold_never_reaches_the_network(plain, run, tmp_path):
    write_squares(tmp_path, noise_in_fold=0)
    noisy = run()
    assert (plain / "model.safetensors").read_bytes() == (noisy / "model.safetensors").read_bytes()
    assert (plain / "curve.csv").read_bytes() != (noisy / "curve.csv").read_bytes()


def test_one_setting_gives_one_result_whatever_is_kept_in_memory(run):
    two_epochs = {"train__phases": [PHASE | {"epochs": 2}]}
    kept, read = (run(f"{mb}", train__cache_mb=mb, **two_epochs) for mb in (1, 0))
    for part in ("model.safetensors", "model.json", "curve.csv"):
        assert (kept / part).read_bytes() == (read / part).read_bytes()


def test_images_divided_again_are_left_out_by_their_second_fold_too(run, tmp_path):
    folds = pd.read_csv(tmp_path / "folds.csv")
    again = folds.assign(repeat=1, fold=[2, 2, 2, 3, 3, 3, 3, 3])
    pd.concat([folds, again]).to_csv(tmp_path / "folds.csv", index=False)
    images = ImageArchive(tmp_path / TRAIN / "images.zip")
    content = {name: images.read(name) for name in images.names}
    learnt = []
    for blank in (["train/0", "train/1", "train/2"], ["train/3"]):
        changed = content | {name: np.zeros((32, 32, 3), np.uint8) for name in blank}
        before = weights(run(fold=2))
        write_archive(images.path, changed.items())
        learnt.append(differ(before, weights(run(fold=2))))
        write_archive(images.path, content.items())
    assert learnt == [False, True]


def test_of_near_duplicates_dropped_the_first_is_learnt_from_alone(plain, run, tmp_path, capsys):
    dropped = weights(run(train__dedupe="drop"))
    assert "trained on 3 images" in capsys.readouterr().out
    assert differ(dropped, weights(plain))
    folds = pd.read_csv(tmp_path / "folds.csv")
    folds[folds["name"] != "train/3"].to_csv(tmp_path / "folds.csv", index=False)
    assert not differ(dropped, weights(run()))


def test_near_duplicates_weighed_share_the_weight_of_one_image(plain, run):
    weighed = weights(run(train__dedupe="weight"))
    assert differ(weighed, weights(plain))
    assert not differ(weighed, weights(run(loss__image_weight="half")))


def test_test_likeness_is_a_weight_that_folds_csv_brings(plain, run):
    weighed = weights(run(loss__image_weight="test_likeness"))
    assert differ(weighed, weights(plain))
    assert not differ(weighed, weights(run(loss__image_weight="trust")))


def as_pseudo(root, soft=None, taken=("train/5", "train/7")):
    """Make the last images to be learnt from pseudo-labelled ones of test, with their labels.

    Their names stay in order, so that they are drawn as before.
    """
    kinds = {
        "instances": root / LABELS / "instances.zip",
        "weight_maps": root / "weights.zip",
    }
    kinds["images"] = root / TRAIN / "images.zip"
    renamed = {name: name.replace("train", "test") for name in taken}
    for kind, path in kinds.items():  # labels from elsewhere would not be found
        archive = ImageArchive(path)
        arrays = {name: archive.read(name) for name in archive.names}
        folder = root / ("prepared/test" if kind == "images" else "pseudo")
        of_taken = [(renamed[name], arrays.pop(name)) for name in taken]
        write_archive(folder / f"{kind}.zip", of_taken)
        write_archive(path, arrays.items())
        if kind == "instances" and soft:
            targets = [(name, soft(instances > 0)) for name, instances in of_taken]
            write_archive(root / "pseudo" / "soft.zip", targets)
    rows = pd.DataFrame({"name": ["test/5", "test/6", "test/7"], "certain": 1.0, "spread": 0.0})
    rows["taken"] = rows["name"].isin(renamed.values())
    rows.to_csv(root / "pseudo/images.csv", index=False)
    folds = pd.read_csv(root / "folds.csv")
    folds[~folds["name"].isin(taken)].to_csv(root / "folds.csv", index=False)
    table = pd.read_csv(root / TRAIN / "images.csv")
    is_taken = table["name"].isin(taken)
    table[~is_taken].to_csv(root / TRAIN / "images.csv", index=False)
    test = table[is_taken].replace({"name": renamed}).assign(split="test")
    test[["objects", "ignored", "coverage"]] = np.nan
    test.to_csv(root / "prepared/test/images.csv", index=False)
    return ["--pseudo", str(root / "pseudo")]


def hard(mask):
    return mask.astype(np.uint8) * 255


def unsure(mask):
    return np.where(mask, 180, 20).astype(np.uint8)


@pytest.mark.parametrize("soft", [None, hard])
def test_pseudo_labels_are_learnt_from_as_labels_are(plain, run, tmp_path, soft, capsys):
    options = as_pseudo(tmp_path, soft)
    assert not differ(weights(run(options=options)), weights(plain))
    assert "trained on 4 images, 2 of them with pseudo labels" in capsys.readouterr().out
    assert differ(weights(run()), weights(plain))
    assert "trained on 2 images, 1 epochs" in capsys.readouterr().out


@pytest.mark.parametrize("terms", [{}, {"loss__focal_weight": 1.0, "loss__dice_weight": 0.0}])
def test_a_soft_target_is_learnt_where_there_is_one(run, tmp_path, terms):
    firm = weights(run(**terms))
    assert differ(firm, weights(run(options=as_pseudo(tmp_path, unsure), **terms)))


def test_the_weight_of_pseudo_labels_acts_in_the_loss(run, tmp_path):
    table = pd.read_csv(tmp_path / TRAIN / "images.csv")
    table["rest"] = [1, 1, 1, 1, 1, 0.25, 1, 0.25]
    table.to_csv(tmp_path / TRAIN / "images.csv", index=False)
    expected = weights(run(loss__image_weight="rest"))
    options = as_pseudo(tmp_path)
    quarter = weights(run(options=[*options, "--pseudo-weight", "0.25"]))
    assert not differ(quarter, expected)
    assert differ(quarter, weights(run(options=options)))


@pytest.mark.parametrize("sampling", ["size", "rarity"])
def test_pseudo_labels_count_in_how_often_images_are_drawn_and_their_depth(run, tmp_path, sampling):
    table = pd.read_csv(tmp_path / TRAIN / "images.csv").assign(coverage=144 / 1024)
    table.loc[3, ["objects", "coverage"]] = [0, 0.0]
    table.to_csv(tmp_path / TRAIN / "images.csv", index=False)
    params = {"train__sampling": sampling, "model__extra_channels": ["depth"]}
    params |= {"model__depth_column": "depth"}
    expected = run("labelled", **params)
    found = run("pseudo", options=as_pseudo(tmp_path), **params)
    assert not differ(weights(found), weights(expected))
    assert (found / "model.json").read_bytes() == (expected / "model.json").read_bytes()


def test_pseudo_labels_are_learnt_from_alone_and_never_looked_at(run, tmp_path):
    options = as_pseudo(tmp_path)
    params = {"train__holdout": 0.25, "train__freeze_batch_norm": True, "train__ema_decay": 0.0}
    params |= phase(lr=1e-30, optimiser="sgd")  # what is looked at does not change meanwhile
    looks = [pd.read_csv(run(options=o, **params) / "curve.csv") for o in ([], options)]
    for column in ("fold_loss", "fold_dice", "holdout_loss", "holdout_dice"):
        assert looks[0][column].item() == looks[1][column].item()
    assert looks[0]["train_loss"].item() != looks[1]["train_loss"].item()


def unlabelled(root):
    """Make two images to be learnt from ones of test of which nothing is known."""
    options = as_pseudo(root)
    path = root / "pseudo/instances.zip"
    names = ImageArchive(path).names
    write_archive(path, [(name, np.full((32, 32), 65535, np.uint16)) for name in names])
    return options


HELD = ["--consistency", "10"]
APART = {"train__freeze_batch_norm": True, "train__batch_size": 1} | {"train__ema_decay": 0.5}
APART |= {"train__phases": [PHASE | {"epochs": 2}]}


def test_consistency_is_learnt_from_images_without_labels(run, tmp_path):
    options = unlabelled(tmp_path)
    found = []
    for held in ([], HELD):
        before = weights(run(options=[*options, *held], **APART))
        path = tmp_path / "prepared/test/images.zip"
        kept = ImageArchive(path)
        images = {name: kept.read(name) for name in kept.names}
        write_archive(path, [(name, 255 - image) for name, image in images.items()])
        found.append(differ(before, weights(run(options=[*options, *held], **APART))))
        write_archive(path, images.items())
    assert found == [False, True]


def test_consistency_without_an_average_is_refused(run):
    with pytest.raises(InputError, match="consistency 10.0 holds .*; set train.ema_decay above 0"):
        run(options=HELD, train__ema_decay=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--consistency", "inf"], "--consistency inf: must be a number from 0 up"),
        (["images.csv"], "pseudo.images.csv: no such file; run pseudo_label"),
        (["instances.zip"], "instances.zip: no such archive; run the stage that writes it"),
        (["--pseudo-weight", "-1"], "--pseudo-weight -1.0: must be a number from 0 up"),
        (["--pseudo-weight", "nan"], "--pseudo-weight nan: must be a number from 0 up"),
    ],
)
def test_mistakes_about_pseudo_labels_are_one_sentence(run, tmp_path, change, message):
    options = as_pseudo(tmp_path)
    if len(change) == 1:
        (tmp_path / "pseudo" / change[0]).unlink()
    with pytest.raises(InputError, match=message):
        run(options=[*options, *change[len(change) % 2 :]])
    assert not (tmp_path / "model").exists()


TWO_EPOCHS = [PHASE | {"epochs": 2}]
SMALL_BATCHES = {"train__batch_size": 2}
WEIGHED = {"loss__distance": "d1"}
CYCLES = {"train__batch_size": 1, "train__phases": [PHASE | {"epochs": 2, "schedule": "step"}]}
HEADS = {"loss__border_weight": 1.0, "loss__contact_weight": 1.0, "loss__empty_weight": 1.0}
HEADS |= {"loss__boundary_distance_weight": 1.0, "loss__embedding_weight": 1.0}
RESNET = {"model__encoder": "resnet18"}
SURE = {"loss__lovasz_weight": 1.0, "train__phases": [PHASE | {"epochs": 8, "lr": 0.05}]}
UNET = RESNET | {"model__architecture": "Unet"}


def phase(**changes):
    return {"train__phases": [PHASE | changes]}


@pytest.fixture(scope="module")
def knobs(tmp_path_factory):
    """Folder with the data, and the weights of settings already trained."""
    root = tmp_path_factory.mktemp("knobs")
    write_squares(root)
    return root, {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "knob"),
    [
        ({}, {"train__seed": 1}),
        ({}, {"train__ema_decay": 0.0}),
        ({}, {"train__gradient_clip": 0.0}),
        ({}, {"train__weight_decay": 0.5}),
        (phase(optimiser="sgd", epochs=2), {"train__momentum": 0.5}),
        (phase(optimiser="sgd", epochs=2), {"train__nesterov": False}),
        ({}, {"train__precision": "bf16"}),
        ({}, {"train__freeze_batch_norm": True}),
        ({}, {"train__repeat": 2}),
        ({}, {"train__sampling": "rarity"}),
        ({"train__crop_size": 48}, {"train__padding": "reflect"}),
        (SMALL_BATCHES, {"train__accumulate": 2}),
        (SMALL_BATCHES, {"train__replay": 2}),
        ({"train__phases": TWO_EPOCHS}, {"train__snapshots": 2}),
        ({"train__phases": TWO_EPOCHS, "train__snapshots": 2}, {"train__snapshot_decay": 0.1}),
        ({}, phase(dice_scale=9.0)),
        ({}, phase(lr=0.001)),
        ({}, phase(encoder_lr=0.1)),
        ({}, phase(fraction=0.5)),
        ({}, phase(freeze="encoder")),
        ({}, phase(freeze="gradual")),
        ({}, phase(loss={"bce_weight": 3.0})),
        ({}, phase(optimiser="sgd")),
        ({}, phase(optimiser="rmsprop")),
        (CYCLES, phase(epochs=2, schedule="cosine")),
        (CYCLES, phase(epochs=2, schedule="triangular2")),
        (CYCLES, phase(epochs=2, schedule="step", step_factor=0.1)),
        (CYCLES, phase(epochs=2, schedule="step", cycle_epochs=2)),
        (
            CYCLES | phase(epochs=2, schedule="cosine"),
            phase(epochs=2, schedule="cosine", min_lr=0.5),
        ),
        ({}, {"loss__bce_weight": 3.0}),
        ({}, {"loss__dice_weight": 3.0}),
        ({}, {"loss__jaccard_weight": 1.0}),
        ({}, {"loss__tversky_weight": 1.0}),
        ({"loss__tversky_weight": 1.0}, {"loss__tversky_alpha": 0.9}),
        ({"loss__tversky_weight": 1.0}, {"loss__tversky_beta": 0.1}),
        ({}, {"loss__focal_weight": 1.0}),
        ({"loss__focal_weight": 1.0}, {"loss__focal_gamma": 1.0}),
        ({"loss__focal_weight": 1.0}, {"loss__focal_threshold": 0.5}),
        ({"loss__focal_weight": 1.0}, {"loss__focal_alpha": 0.25}),
        ({}, {"loss__ohem": 0.3}),
        ({}, {"loss__label_smoothing": 0.1}),
        ({}, {"loss__overlap_log": True}),
        ({}, {"loss__overlap_per": "image"}),
        ({}, {"loss__overlap_squared": True}),
        (WEIGHED, {"loss__overlap_weighted": True}),
        ({}, {"loss__lovasz_weight": 1.0}),
        (SURE, {"loss__lovasz_error": "elu"}),
        ({"loss__lovasz_weight": 1.0}, {"loss__lovasz_symmetric": True}),
        ({"loss__lovasz_weight": 1.0}, {"loss__lovasz_per": "batch"}),
        ({}, WEIGHED),
        (WEIGHED, {"loss__distance": "d1_d2"}),
        (WEIGHED, {"loss__w0": 2.0}),
        (WEIGHED, {"loss__sigma": 2.0}),
        (WEIGHED, {"loss__max_weight": 2.0}),
        (WEIGHED, {"loss__normalise_weights": True}),
        ({}, {"loss__size_weight": 1.0}),
        ({"loss__size_weight": 1.0}, {"loss__size_reference": 40.0}),
        ({}, {"loss__object_weight": 3.0}),
        ({}, {"loss__boundary_weight": 2.0}),
        ({"loss__boundary_weight": 2.0}, {"loss__boundary_kernel": 3}),
        ({}, {"loss__image_weight": "trust"}),
        ({}, {"loss__image_weight": "test_likeness"}),
        ({}, {"train__dedupe": "drop"}),
        ({}, {"train__dedupe": "weight"}),
        ({"train__dedupe": "drop"}, {"train__dedupe": "weight"}),
        ({}, {"loss__border_weight": 1.0}),
        ({}, {"loss__contact_weight": 1.0}),
        ({}, {"loss__boundary_distance_weight": 1.0}),
        ({}, {"loss__empty_weight": 1.0}),
        ({}, {"loss__embedding_weight": 1.0}),
        (HEADS, {"loss__border_width": 4.0}),
        (HEADS, {"loss__contact_width": 60.0}),
        (HEADS, {"loss__boundary_distance_loss": "mse"}),
        (HEADS, {"loss__embedding_loss": "centre"}),
        ({}, {"augment__views": "none"}),
        ({}, {"augment__rotate": 20.0}),
        ({}, {"augment__brightness": 0.3}),
        ({}, {"augment__noise": 1.0}),
        ({"augment__hue": 40}, {"augment__hue": 40, "augment__grey_objects": 1.0}),
        ({}, {"augment__mosaic": 1.0}),
        ({}, {"augment__copy_paste": 1.0}),
        ({}, {"augment__transforms": [{"name": "InvertImg", "p": 1.0}]}),
        ({}, {"augment__set": "heavy"}),
        ({}, {"views__allowed": "hflip"}),
        ({}, {"model__mean": [0.1, 0.5, 0.5]}),
        ({}, {"model__resize": 1.5}),
        ({}, {"model__encoder_depth": 4}),
        ({}, {"model__clahe": 2.0}),
        ({}, {"model__image_channels": "grey"}),
        ({}, {"model__extra_channels": ["coordinates"]}),
        ({}, {"model__extra_channels": ["row_gradient"]}),
        ({}, {"model__extra_channels": ["depth"], "model__depth_column": "depth"}),
        ({"loss__embedding_weight": 1.0}, {"model__embedding_size": 4}),
        (RESNET, {"model__encoder_attention": "scse"}),
        (UNET, {"model__stem_stride": 1}),
        (UNET, {"model__stem_pooling": False}),
        (UNET, {"model__decoder_upsampling": "bilinear"}),
        (UNET, {"model__decoder_upsampling": "transposed"}),
        (UNET, {"model__decoder_norm": "none"}),
        (UNET, {"model__decoder_attention": "scse"}),
        (UNET, {"model__decoder_width": 8}),
        (UNET, {"model__hypercolumn": True}),
        ({}, {"members": {"main": {"loss": {"dice_weight": 3.0}}}}),
        ({"augment__mosaic": 1.0, "loss__distance": "d1_d2"}, {"weight_maps__max_distance": 1}),
    ],
)
def test_every_knob_changes_the_network(knobs, base, knob):
    root, trained = knobs
    for setting in (base, base | knob):
        if repr(setting) not in trained:
            trained[repr(setting)] = weights(train_on(root, **setting))
    assert differ(trained[repr(base)], trained[repr(base | knob)])


def test_a_member_is_the_defaults_with_its_overrides(run):
    direct = run("direct", loss__w0=9.0, loss__distance="d1")
    override = {"loss": {"w0": 9.0, "distance": "d1"}}
    member = run("member", member="other", members={"main": {}, "other": override})
    assert not differ(weights(direct), weights(member))


def test_a_frozen_encoder_stays_as_it_started(run):
    frozen = [PHASE | {"freeze": "encoder", "epochs": 2}]
    learnt = weights(run(train__phases=frozen, train__ema_decay=0.0))
    start = start_of_training()
    encoder = [key for key in start if key.startswith("encoder.")]
    assert all(torch.equal(start[key], learnt[key]) for key in encoder)
    assert differ({k: v for k, v in start.items() if k not in encoder}, learnt)


def test_frozen_batch_norm_stays_as_it_started(run):
    learnt = weights(run(train__freeze_batch_norm=True, train__ema_decay=0.0))
    norms = [key for key in learnt if ".bn" in key or "running_" in key]
    start = start_of_training()
    assert norms
    assert all(torch.equal(start[key], learnt[key]) for key in norms)


def start_of_training():
    torch.manual_seed(0)
    return rebuild(PARAMS["model"] | {"in_channels": 3, "heads": ["mask"]}).state_dict()


def test_snapshots_are_the_weighted_mean_of_the_last_epochs(run):
    common = {"train__ema_decay": 0.0, "train__freeze_batch_norm": True}
    common |= {"train__phases": TWO_EPOCHS}
    both = weights(run("both", train__snapshots=2, train__snapshot_decay=0.5, **common))
    last = weights(run("last", **common))
    first = weights(run("first", **common | {"train__phases": [PHASE]}))
    for key, value in both.items():
        expected = (2 * last[key].double() + first[key].double()) / 3
        torch.testing.assert_close(value.double(), expected)


def test_averaged_snapshots_get_batch_norm_statistics_of_their_own(plain, run):
    phases = {"train__phases": TWO_EPOCHS, "train__snapshots": 2}
    fresh = weights(run("fresh", **phases))
    last = run("last", train__phases=TWO_EPOCHS)
    key = next(key for key in fresh if key.endswith("running_mean"))
    mean = (2 * weights(last)[key] + weights(plain)[key]) / 3
    assert not torch.allclose(fresh[key], mean, rtol=1e-3)


def test_the_batch_norms_of_a_frozen_encoder_are_not_measured_anew(run):
    phases = [PHASE | {"freeze": "encoder", "epochs": 2}]
    learnt = weights(run(train__phases=phases, train__snapshots=2))
    start = start_of_training()
    statistics = [key for key in start if "running_" in key]
    frozen = [key for key in statistics if torch.equal(start[key], learnt[key])]
    assert frozen == [key for key in statistics if key.startswith("encoder.")]


def test_a_lone_last_image_is_left_out_where_statistics_are_measured(run):
    # Four images learnt from in batches of three; one pixel of one image has no variance.
    knobs = {"model__architecture": "DeepLabV3Plus", "train__batch_size": 3}
    run(train__phases=TWO_EPOCHS, train__snapshots=2, **knobs)


@pytest.mark.parametrize(
    ("terms", "equal"),
    [
        ({}, True),
        ({"loss__focal_weight": 1.0, "loss__focal_alpha": 0.3}, True),
        ({"loss__dice_weight": 1.0, "loss__overlap_per": "image"}, True),
        ({"loss__lovasz_weight": 1.0}, True),
        ({"loss__dice_weight": 9.0, "loss__overlap_per": "batch"}, False),
        ({"loss__ohem": 0.1}, False),
        ({"train__crop_size": 48, "augment__shift": 0.4}, False),  # what is padded is ignored
    ],
)
def test_accumulation_equals_the_large_batch_where_the_docs_say_so(run, terms, equal):
    """docs/techniques.md: without batch norm that learns, on losses that are means over images."""
    common = {"train__freeze_batch_norm": True, "loss__dice_weight": 0.0, "train__ema_decay": 0.0}
    common |= terms | phase(optimiser="sgd", lr=0.1)
    large = weights(run("large", **common))
    small = weights(run("small", train__batch_size=1, train__accumulate=4, **common))
    furthest = max((small[key] - value).abs().max().item() for key, value in large.items())
    assert furthest < 1e-6 if equal else furthest > 1e-5


def test_phases_repeat_for_cyclic_annealing(run):
    phases = [PHASE, PHASE | {"optimiser": "sgd", "lr": 0.001}]
    curve = pd.read_csv(run(train__phases=phases, train__repeat=2) / "curve.csv")
    assert curve["phase"].tolist() == [0, 1, 2, 3]
    assert curve["lr"].tolist() == [0.002, 0.001, 0.002, 0.001]


def test_a_phase_without_gain_on_the_hold_out_ends_early(run):
    phases = [PHASE | {"epochs": 9, "lr": 1e-12, "optimiser": "sgd"}, PHASE]
    options = {"train__holdout": 0.25, "train__early_stopping": 3, "train__ema_decay": 0.0}
    curve = pd.read_csv(
        run(train__phases=phases, train__freeze_batch_norm=True, **options) / "curve.csv"
    )
    assert curve["phase"].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.slow
def test_the_epoch_is_chosen_by_the_score_asked_for(run):
    options = {"train__holdout": 0.5, "train__ema_decay": 0.0, "train__batch_size": 1}
    phases = {"train__phases": [PHASE | {"epochs": 8, "lr": 0.01}]}
    best, kept = {}, {}
    for score, sign in (("dice", 1), ("loss", -1), ("ap50", 1)):
        folder = run(score, train__choose_by=score, **options, **phases)
        curve = pd.read_csv(folder / "curve.csv")
        best[score] = int((sign * curve[f"holdout_{score}"]).argmax()) + 1
        kept[score] = weights(folder)
    assert best["ap50"] != best["dice"] == best["loss"]
    assert not differ(kept["dice"], kept["loss"])
    assert differ(kept["dice"], kept["ap50"])
    phases["train__phases"][0]["epochs"] = best["ap50"]
    assert not differ(kept["ap50"], weights(run("last", **options, **phases)))


def test_the_deterministic_mode_is_the_one_asked_for(run):
    run(train__deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    run(train__deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_depth_range_is_that_of_the_images_learnt_from(run):
    folder = run(model__extra_channels=["depth"], model__depth_column="depth", fold=0)
    description = json.loads((folder / "model.json").read_text())
    assert description["depth_range"] == [0.0, 25.0]  # of the images 1, 3, 5 and 7
    assert description["in_channels"] == 4


def test_what_the_colours_were_normalised_by_is_described_in_numbers(plain, run):
    found = run(model__mean="auto", model__std="auto")
    description = json.loads((found / "model.json").read_text())
    assert description["mean"] == [0.485, 0.456, 0.406]
    assert description["std"] == [0.229, 0.224, 0.225]
    assert differ(weights(found), weights(plain))


def test_heads_are_those_with_a_weight_in_any_phase(run):
    phases = [PHASE | {"loss": {"border_weight": 1.0}}]
    folder = run(train__phases=phases, loss__empty_weight=0.5)
    assert json.loads((folder / "model.json").read_text())["heads"] == ["mask", "border", "empty"]


def test_the_loss_that_trains_the_embedding_last_is_described(run):
    phases = [PHASE | {"loss": {"embedding_weight": 1.0, "embedding_loss": "triplet"}}, PHASE]
    described = json.loads((run(train__phases=phases) / "model.json").read_text())
    assert described["heads"] == ["mask", "embedding"]
    assert described["embedding_loss"] == "triplet"
    described = json.loads((run(loss__embedding_weight=1.0) / "model.json").read_text())
    assert described["embedding_loss"] == "discriminative"


def test_phases_follow_each_other(run):
    phases = [PHASE | {"epochs": 2, "fraction": 0.5}, PHASE | {"lr": 0.0001}]
    curve = pd.read_csv(run(train__phases=phases, train__batch_size=2) / "curve.csv")
    assert curve["phase"].tolist() == [0, 0, 1]
    assert curve["lr"].tolist() == [0.002, 0.002, 0.0001]


def test_the_best_epoch_is_chosen_on_a_hold_out_and_not_on_the_fold(run):
    # The second phase is destructive; only the hold-out can tell.
    phases = [PHASE | {"epochs": 6}, PHASE | {"lr": 10.0, "optimiser": "sgd"}]
    common = {"train__ema_decay": 0.0, "train__gradient_clip": 0.0}
    folder = run("kept", train__phases=phases, train__holdout=0.25, **common)
    curve = pd.read_csv(folder / "curve.csv")
    best = curve["holdout_dice"].idxmax()
    assert best < 6
    short = run(
        "short", train__phases=[PHASE | {"epochs": int(best) + 1}], train__holdout=0.25, **common
    )
    assert not differ(weights(folder), weights(short))


def test_without_a_hold_out_there_is_none_to_look_at(plain):
    curve = pd.read_csv(plain / "curve.csv")
    assert curve["holdout_dice"].isna().all()


def test_nothing_is_watched_between_the_epochs_that_are_due(run):
    phases = [PHASE | {"epochs": 3}]
    curve = pd.read_csv(run(train__phases=phases, train__evaluate_every=2) / "curve.csv")
    assert curve["fold_dice"].notna().tolist() == [False, True, True]


def test_events_for_tensorboard_are_written_anew(run, tmp_path):
    events = tmp_path / "events"
    for _ in range(2):
        run(options=["--tensorboard", str(events)])
    assert len(list(events.iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 7}, r"folds.csv: fold 7 is not one of several; it has \[0, 1\]"),
        ({"train__crop_size": 36}, "train.crop_size 36 must be a multiple of 8"),
        ({"train__holdout": 0.99}, "train.holdout 0.99 leaves nothing to learn from"),
        ({"model__encoder": "resnet19"}, "model.encoder 'resnet19'"),
        ({"loss__distance": "d3"}, "loss.distance.*'d3'"),
        ({"train__phases": [PHASE | {"lr": "1e-5"}]}, "train.phases.0.lr.*'1e-5'"),
        ({"train__phases": []}, "train.phases"),
        ({"loss__dice": 1.0}, "loss.dice: unknown key"),
        (phase(loss={"dice": 1.0}), "train.phases.0.loss.dice: .* keys of the section loss"),
        (phase(loss={"bce_weight": -1.0}), "train.phases.0.loss.bce_weight: .* got -1.0"),
        (
            HEADS | {"loss__contact_width": 63.0},
            "contact_width 63.0 must be below weight_maps",
        ),
        ({"loss__boundary_kernel": 10}, "loss.boundary_kernel: .*must be odd .* set 11"),
        ({"train__early_stopping": 2}, "train.early_stopping 2 has nothing to look at; set"),
        ({"model__extra_channels": ["depth"]}, "model.depth_column is none; name the column"),
        ({"loss__image_weight": "nowhere"}, "loss.image_weight .*'nowhere'.* dataset.metadata"),
        ({"member": "linknet"}, "no member 'linknet' under 'members'; known: main"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing_behind(run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        run(**changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_loss_that_is_no_number_stops_the_training(run, tmp_path):
    phases = [PHASE | {"lr": 1e30, "epochs": 3, "optimiser": "sgd"}]
    with pytest.raises(InputError, match="train.phases.0: the loss became .* in epoch .*lower lr"):
        run(train__phases=phases, train__gradient_clip=0.0)
    assert not (tmp_path / "model").exists()


def test_a_missing_input_says_which_stage_writes_it(run, tmp_path):
    (tmp_path / "folds.csv").unlink()
    with pytest.raises(InputError, match="folds.csv: no such file; run split_folds"):
        run()
    assert ImageArchive(tmp_path / "weights.zip").names
