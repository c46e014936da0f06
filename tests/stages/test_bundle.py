import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML
from safetensors.torch import load_file

from src.applying.maps import predicted_maps
from src.applying.objects import apply_to_image, found_objects
from src.base.errors import InputError
from src.bundles.reading import read_bundle
from src.formats.archive import ImageArchive, write_archive
from src.formats.prepared import open_photos, read_photo
from stages import bundle, ensemble, postprocess, predict, rescore
from tests import plain_postprocess, plain_rescore, sections
from tests.image_tables import write_image_tables
from tests.stages.test_train import PHASE, train_on, write_squares

SHARED = {
    "predict": {"views": "d4", "scales": [1.0, 0.75], "merge": "mean", "padding": "reflect"}
    | {"max_size": 40, "overlap": 8, "precision": "float32", "margin": 0, "gammas": [1.0]},
    "views": {"allowed": "hflip"},
    "split_folds": {"method": "stratified", "balance": "none", "column": "fold", "k": 2}
    | {"repeats": 1, "folds": [0, 1], "likeness": False, "seed": 0},
    "members": {"main": {}, "plain": {}},
    "soups": {},
    "student": {"folds": [], "teachers": "", "weight": 1.0, "predictions": "both"}
    | {"consistency": 0.0},
    "ensemble": {"merge": "mean", "networks": "all", "weights": {"main": 2.0}},
    "postprocess": plain_postprocess.PLAIN | {"min_area": 3, "seed_threshold": 0.6},
    "rescore": plain_rescore.PLAIN,
    "workers": {"scheduler": "none"},
    "images": sections.PARAMS["images"],
    "bundle": {"name": "squares", "networks": "merged", "licence": "none", "date": "none"},
}
LAYERS = {"method": "layers", "threshold": "auto", "layers": [0.3, 0.5, 0.7, 0.9]}
LEARNT = {"score": "lightgbm", "selection": "nms", "target": "hit", "calibration": "isotonic"}
LEARNT |= {"operating_point": "auto"}
SETTINGS = {  # of later stages, each of another way through them
    "learnt": {"postprocess": LAYERS | {"seeds": "distance"}, "rescore": LEARNT},
    "rule": {
        "postprocess": {"threshold": "auto", "dilate": 1},
        "rescore": {"score": "mean", "operating_point": 0.6},
        "ensemble": {"merge": "gmean", "networks": "all", "weights": {"plain": 0.0}},
    },
    "parted": {
        "postprocess": {"method": "watershed", "seeds": "distance", "empty_threshold": 0.9},
        "rescore": {"score": "mean_sqrt_area", "selection": "nms"},
    },
    "linked": {"postprocess": {"method": "embedding"}},
    "one_view": {
        "postprocess": LAYERS,
        "rescore": LEARNT | {"calibration": "none", "selection": "tree"},
        "predict": SHARED["predict"] | {"views": "none", "scales": [1.0], "max_size": 1024},
        "ensemble": {"merge": "logit_mean", "networks": "all", "weights": {}},
    },
}


def picture(rng, height, width):
    """Return an image with bright squares as those of `write_squares`, and their masks."""
    image, masks = np.full((height, width, 3), 60), []
    for _ in range(3):
        row, column = rng.integers(0, height - 12), rng.integers(0, width - 12)
        image[row : row + 12, column : column + 12] = 200
        masks.append(np.zeros((height, width), np.uint8))
        masks[-1][row : row + 12, column : column + 12] = 1
    return (image + rng.integers(-20, 20, image.shape)).clip(0, 255).astype(np.uint8), masks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set of squares, with networks of two members, one with further heads."""
    root = tmp_path_factory.mktemp("trained")
    write_squares(root)
    phases = [PHASE | {"epochs": 20, "lr": 0.01}]
    weights = {"boundary_distance": 1.0, "empty": 0.1, "embedding": 0.1}
    more = {f"loss__{head}_weight": weight for head, weight in weights.items()}
    for member, heads in (("main", more), ("plain", {})):
        for fold in (0, 1):
            out = f"models/{member}/fold{fold}"
            changes = {"train__phases": phases, "members": {member: {}}, "train__evaluate_every": 0}
            (root / out).parent.mkdir(parents=True, exist_ok=True)
            train_on(root, out, fold, member, **heads, **changes)
    rng = np.random.default_rng(5)
    sizes = {"val/a": (50, 41), "val/b": (40, 40), "val/c": (33, 60), "test/a": (35, 35)}
    drawn = {name: picture(rng, *size) for name, size in sizes.items()}
    train = [f"train/{i}" for i in range(8)]
    tables = [
        {"name": name, "height": 32, "width": 32, "image_id": i} for i, name in enumerate(train)
    ]
    tables += [{"name": name, "height": h, "width": w} for name, (h, w) in sizes.items()]
    write_image_tables(root / "prepared", tables)
    for split in ("val", "test"):
        own = [(name, image) for name, (image, _) in drawn.items() if name.startswith(split)]
        write_archive(root / f"prepared/{split}/images.zip", sorted(own))
    labels = ImageArchive(root / "prepared/labels/train/instances.zip")
    squares = {name: [(labels.read(name) == 1).astype(np.uint8)] for name in train}
    write_truth(root, "train", squares)
    of_val = {name: masks for name, (_, masks) in drawn.items() if name.startswith("val")}
    write_truth(root, "val", of_val)
    columns = "name,x_origin,x_per_column,x_per_row,y_origin,y_per_column,y_per_row,crs\n"
    (root / "prepared/geotransforms").mkdir()
    places = "train/0,0,0.5,0,0,0,-0.5,EPSG:32737\n"
    (root / "prepared/geotransforms/train.csv").write_text(columns + places)
    (root / "prepared/recognised.json").write_text("[]")
    plain_postprocess.write_plan(root / "plan", connectivity=4)
    (root / "evaluation").mkdir()
    (root / "evaluation/metrics.csv").write_text(
        "split,images,metric,value,low,high\noof,all,ap50,0.75,0.5,0.875\n"
        "oof,clean,ap50,0.5,,\nval,all,pq,,,\n"
    )
    (root / "metrics.json").write_text('{"data": "0123456789ab", "oof.ap50": 0.75}')
    (root / "search").mkdir()
    chosen = {"metric": "ap50", "all": {"threshold": 0.4}}
    chosen["folds"] = {"0": {"threshold": 0.5}, "1": {"threshold": 0.6}}
    (root / "search/chosen.json").write_text(json.dumps(chosen))
    for name in ("soups", "students"):
        (root / name).mkdir()
    return root


def write_truth(root, split, masks):
    table = pd.read_csv(root / f"prepared/{split}/images.csv").set_index("name")
    images, annotations = [], []
    for name, own in masks.items():
        row = table.loc[name]
        size = {"height": int(row["height"]), "width": int(row["width"])}
        images.append({"id": int(row["image_id"]), "name": name, "file_name": name} | size)
        for mask in own:
            rle = coco_mask.encode(np.asfortranarray(mask))
            one = {"id": len(annotations) + 1, "image_id": int(row["image_id"]), "iscrowd": 0}
            one |= {"segmentation": rle | {"counts": rle["counts"].decode()}, "category_id": 3}
            annotations.append(one | {"area": int(mask.sum())})
    truth = {"images": images, "annotations": annotations}
    truth["categories"] = [{"id": 3, "name": "square"}]
    (root / f"prepared/labels/{split}").mkdir(parents=True, exist_ok=True)
    (root / f"prepared/labels/{split}/truth.json").write_text(json.dumps(truth))


def write_params(root, **changes):
    params = {name: dict(section) for name, section in SHARED.items()}
    for name, values in changes.items():
        params[name] = params[name] | values
    YAML().dump(params, root / "params.yaml")
    return ["--params", str(root / "params.yaml")]


def predict_all(root, **changes):
    """Run the stages from predict to rescore."""
    params = write_params(root, **changes)

    def at(*names):
        return [str(root / name) for name in names]

    for member in SHARED["members"]:
        for fold in (0, 1):
            paths = at(f"models/{member}/fold{fold}", f"probabilities/{member}/fold{fold}")
            predict.main([*at("prepared", "folds.csv"), *paths, "--fold", str(fold), *params])
    ensemble.main([*at("folds.csv", "probabilities", "students", "ensemble"), *params])
    paths = at("folds.csv", "ensemble", "plan", "search", "candidates")
    postprocess.main([*paths, *params])
    rescore.main([*at("prepared", "folds.csv", "candidates", "predictions"), *params])


def pack(root, **changes):
    """Run the stage and return its folder."""
    names = "prepared models soups students plan search predictions evaluation metrics.json bundle"
    paths = [str(root / name) for name in names.split()]
    bundle.main([*paths, *write_params(root, **changes)])
    return root / "bundle"


@pytest.fixture(scope="module", params=SETTINGS)
def setting(request, trained, tmp_path_factory):
    """The data set predicted in one of the settings and packed, and its params."""
    root = tmp_path_factory.mktemp(request.param) / "data"
    shutil.copytree(trained, root)
    changes = SETTINGS[request.param]
    predict_all(root, **changes)
    pack(root, **changes)
    return root, changes


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    """The data set predicted and packed in the first setting."""
    root = tmp_path_factory.mktemp("packed") / "data"
    shutil.copytree(trained, root)
    predict_all(root, **SETTINGS["learnt"])
    pack(root, **SETTINGS["learnt"])
    return root


@pytest.fixture
def copy(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "data")


def test_a_bundle_finds_in_every_image_exactly_what_the_stages_find(setting):
    root, _ = setting
    held = read_bundle(root / "bundle/squares.maskline.zip")
    found = 0
    for split in ("val", "test"):
        results = json.loads((root / f"predictions/{split}.json").read_text())
        photos = open_photos(root / "prepared", split)
        table = pd.read_csv(root / f"prepared/{split}/images.csv")
        for row in table.itertuples():
            maps = predicted_maps(held, read_photo(photos, row.name))
            for kind, values in maps.items():
                if kind != "empty":
                    ending = "" if kind == "mask" else f"_{kind}"
                    archive = ImageArchive(root / f"ensemble/{split}{ending}.zip")
                    assert np.array_equal(values, archive.read(row.name)), kind
            own = [one for one in results if one["image_id"] == row.image_id]
            told = found_objects(held, maps)
            assert told["counts"].tolist() == [one["segmentation"]["counts"] for one in own]
            assert told["score"].tolist() == [one["score"] for one in own]
            assert told["accepted"].tolist() == [one["accepted"] for one in own]
            assert told.filter(like="bbox").to_numpy().tolist() == [one["bbox"] for one in own]
            found += len(own)
    assert found >= 4


def test_a_second_run_writes_the_same_bytes(setting):
    root, changes = setting
    path = root / "bundle/squares.maskline.zip"
    before = path.read_bytes()
    pack(root, **changes)
    assert path.read_bytes() == before


def test_the_squares_are_found_and_painted(packed):
    held = read_bundle(packed / "bundle/squares.maskline.zip")
    image, masks = picture(np.random.default_rng(5), 50, 41)
    found = apply_to_image(held, image)
    assert found.probability.dtype == np.uint8
    assert found.labels.dtype == np.uint32
    assert found.labels.shape == found.probability.shape == (50, 41)
    assert found.objects["accepted"].all()
    squares = np.any(masks, axis=0)
    overlap = ((found.labels > 0) & squares).sum() / ((found.labels > 0) | squares).sum()
    assert overlap > 0.5


def test_the_manifest_tells_where_networks_and_scores_come_from(packed):
    held = read_bundle(packed / "bundle/squares.maskline.zip").manifest
    assert [(one.member, one.fold, one.weight) for one in held.networks] == [
        ("main", 0, 2.0), ("main", 1, 2.0), ("plain", 0, 1.0), ("plain", 1, 1.0)
    ]  # fmt: skip
    assert held.predict.views == "hflip"  # as far as views.allowed goes
    assert held.data == "0123456789ab"
    assert [tuple(dict(one).values()) for one in held.scores] == [
        ("oof", "ap50", 0.75, 0.5, 0.875),
        ("val", "pq", None, None, None),
    ]
    assert [(one.id, one.name) for one in held.categories] == [(3, "square")]
    assert (held.expected.height, held.expected.width) == (32, 32)
    assert held.expected.pixel_size == 0.5
    assert held.licence is held.date is None
    assert "picture.png" in held.files


def test_what_was_searched_is_packed_as_chosen_on_all_images(trained, tmp_path):
    root = shutil.copytree(trained, tmp_path / "data")
    predict_all(root, **SETTINGS["rule"])
    held = read_bundle(pack(root, **SETTINGS["rule"]) / "squares.maskline.zip")
    assert held.postprocess.threshold == 0.4
    assert {one.member for one in held.networks} == {"main"}  # plain weighs 0


def test_soups_and_students_are_packed_as_they_are_merged(copy):
    for fold in (0, 1):
        shutil.copytree(copy / f"models/plain/fold{fold}", copy / f"soups/mixed/fold{fold}")
        shutil.copytree(copy / f"models/main/fold{1 - fold}", copy / f"students/plain/fold{fold}")
    changes = SETTINGS["learnt"] | {
        "soups": {"mixed": ["main", "plain"]},
        "student": SHARED["student"] | {"folds": [0, 1]},
        "ensemble": {"weights": {"main": 0.0, "plain": 0.0, "student_main": 0.0}},
    }
    held = read_bundle(pack(copy, **changes) / "squares.maskline.zip")
    told = [(one.member, one.fold) for one in held.manifest.networks]
    assert told == [("mixed", 0), ("mixed", 1), ("student_plain", 0), ("student_plain", 1)]
    for network, source in zip(
        held.networks,
        ("models/plain/fold0", "models/plain/fold1", "models/main/fold1", "models/main/fold0"),
        strict=True,
    ):
        state = load_file(copy / source / "model.safetensors")
        assert all(torch.equal(one, state[k]) for k, one in network.model.state_dict().items())


def test_licence_and_date_are_those_stated(copy):
    stated = {"licence": "CC BY 4.0", "date": "2026-11-29", "name": "other"}
    folder = pack(copy, **SETTINGS["learnt"], bundle=stated)
    held = read_bundle(folder / "other.maskline.zip").manifest
    assert (held.licence, held.date) == ("CC BY 4.0", "2026-11-29")
    assert [path.name for path in folder.iterdir()] == ["other.maskline.zip"]


def test_none_is_packed_where_none_is_asked_for(trained, tmp_path, capsys):
    root = shutil.copytree(trained, tmp_path / "data")
    folder = pack(root, bundle={"networks": "none"})
    assert [path.name for path in folder.iterdir()] == ["README.txt"]
    assert "no bundle was packed" in capsys.readouterr().out


def test_a_forest_is_refused_by_name(copy):
    changes = {"rescore": LEARNT | {"score": "random_forest"}, "postprocess": LAYERS}
    predict_all(copy, **changes)
    with pytest.raises(InputError, match="random_forest has no format that is safe to read"):
        pack(copy, **changes)


def test_a_network_that_wants_a_depth_is_refused(copy):
    path = copy / "models/main/fold1/model.json"
    description = json.loads(path.read_text()) | {"extra_channels": ["depth"], "in_channels": 4}
    path.write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"fold1/model.json: extra_channels: the channel depth"):
        pack(copy, **SETTINGS["learnt"])


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ("models/plain/fold0/model.json", "model.json: no such file"),
        ("models/plain/fold0/model.safetensors", "model.safetensors: no such file"),
        ("predictions/learnt.json", "learnt.json: no such file"),
        ("predictions/second_level/final.txt", "final.txt: no such file; run rescore"),
        ("evaluation/metrics.csv", "metrics.csv: no such file; run evaluate"),
        ("metrics.json", "metrics.json: no such file"),
    ],
)
def test_what_is_not_there_is_named_and_a_former_bundle_stays(copy, absent, words):
    before = (copy / "bundle/squares.maskline.zip").read_bytes()
    (copy / absent).unlink()
    with pytest.raises(InputError, match=words):
        pack(copy, **SETTINGS["learnt"])
    assert (copy / "bundle/squares.maskline.zip").read_bytes() == before
    assert not list(copy.glob("*.partial"))
