"""Every recipe and every variant of an ablation must be what DVC can set and the stages accept."""

import json
import shlex
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML
from safetensors.numpy import load_file

from experiments.plans import OPTIONAL, REQUIRED, base_of, merge, plan
from src.base.params import MEMBER_SECTIONS
from src.networks.packaged_weights import FILES
from stages import train
from stages.check_params import SECTIONS
from tests.sections import PLANNED, write_plan
from tests.stages.test_train import write_squares

ROOT = Path(__file__).parents[2]
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
RECIPES, ABLATIONS, DATASETS = (
    {path.stem: YAML(typ="safe").load(path.read_text()) for path in (ROOT / folder).glob("*.yaml")}
    for folder in ("experiments/recipes", "experiments/ablations", "experiments/datasets")
)
HEADS = ("border", "contact", "boundary_distance", "embedding", "empty")  # beside the mask
SYSTEMS = sorted(set(RECIPES) - {"best"})  # those published, which no default may change

# What systems do not name because the default is off or plain
OFF = {
    "prepare_masks": {"erode": 0, "dilate": 0, "duplicate_objects": "drop", "reject": []},
    "split_folds": {"method": "stratified", "balance": "coverage", "repeats": 1}
    | {"likeness": False},
    "model": {"decoder_width": 16, "encoder_attention": "none", "stem_stride": 2, "resize": 1.0}
    | {"decoder_attention": "none", "hypercolumn": False, "image_channels": "rgb", "clahe": 0.0}
    | {"extra_channels": [], "mean": "auto", "std": "auto", "stem_pooling": True}
    | {"decoder_upsampling": "nearest", "decoder_norm": "batchnorm"},
    "loss": {"focal_weight": 0, "jaccard_weight": 0, "tversky_weight": 0, "lovasz_weight": 0}
    | {"ohem": 1, "label_smoothing": 0, "overlap_log": False, "overlap_weighted": False}
    | {"overlap_per": "batch", "lovasz_per": "image", "lovasz_symmetric": False, "max_weight": 0}
    | {"lovasz_error": "relu", "boundary_weight": 0, "normalise_weights": False}
    | {"image_weight": "none", "border_weight": 0, "contact_weight": 0, "empty_weight": 0}
    | {"boundary_distance_weight": 0, "embedding_weight": 0, "focal_threshold": 0}
    | {"focal_alpha": 0, "overlap_squared": False, "object_weight": 1, "size_reference": 0},
    "augment": {"gamma": 0, "grey": 0, "blur": 0, "noise": 0, "clahe": 0, "grid": 0, "elastic": 0}
    | {"mosaic": 0, "copy_paste": 0, "transforms": [], "grey_objects": 0},
    "train": {"accumulate": 1, "freeze_batch_norm": False, "snapshots": 0, "sampling": "uniform"}
    | {"replay": 0, "repeat": 1, "seed": 0, "dedupe": "keep", "choose_by": "dice"}
    | {"nesterov": True},
    "predict": {"scales": [1.0], "gammas": [1.0], "margin": 0},
    "postprocess": {"method": "threshold", "white_speckle": 0, "black_speckle": 0, "erode": 0}
    | {"max_area": 0, "empty_threshold": 0, "hull_high": 0},
    "ensemble": {"networks": "all"},
    "rescore": {"calibration": "none", "selection": "none", "min_score": 0, "operating_point": 0},
}
LEFT_TO_THE_DATA = {"salt_top1": {"model": {"resize"}}}  # to tiles of the size it is made for
READ_ONLY_WITH_ANOTHER = {
    "prepare_masks": {"small_area", "max_rejected"},
    "split_folds": {"column", "seed"},
    "model": {"depth_column", "embedding_size"},
    "loss": {"focal_gamma", "tversky_alpha", "tversky_beta", "w0", "sigma", "boundary_kernel"}
    | {"border_width", "contact_width", "boundary_distance_loss", "embedding_loss"},
    "train": {
        "sync_batch_norm",
        "momentum",
        "deterministic",
        "workers",
        "cache_mb",
        "precision",
        "snapshot_decay",
    },
    "predict": {"max_size", "overlap", "precision"},
    "ensemble": {"weights"},
    "postprocess": {"layers", "seeds", "seed_threshold", "seed_area", "link_threshold"}
    | {"hull_low", "hull_rows", "hull_erode", "hull_min_area", "hull_margin", "hull_threshold"},
    "rescore": {"target", "trees", "learning_rate", "leaves", "seed", "nms_iou"}
    | {"operating_metric"},
}
SMALLER = {"resnet34": "resnet18", "resnet101": "resnet18", "resnet152": "resnet18"}


def planned(*names, on="sample", budget=1, no_download=False):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return plan(list(names), on, Fraction(budget), no_download)


EVERYTHING = planned(*RECIPES, *ABLATIONS)
OF_RECIPE = {experiment.name: experiment for experiment in EVERYTHING[: len(RECIPES)]}
MEMBERS = [(name, m) for name in RECIPES for m in OF_RECIPE[name].params["members"]]
OF_ABLATIONS = [  # what they override is plain; recipes override lists and members too
    pytest.param(experiment, marks=pytest.mark.slow) for experiment in EVERYTHING[len(RECIPES) :]
]
SHORT = [
    pytest.param(experiment, marks=pytest.mark.slow)
    for experiment in planned(*RECIPES, on="tile_defects", budget="1/7", no_download=True)
]


def by_name(experiment):
    return experiment.name


def test_no_recipe_has_the_name_of_an_ablation_nor_two_experiments_the_same():
    names = [experiment.name for experiment in EVERYTHING]
    assert len(set(names)) == len(names)
    assert set(RECIPES).isdisjoint(ABLATIONS)


def test_every_variant_is_compared_at_its_own_operating_point_and_values():
    """No variant is cut at a score or a threshold that was chosen for another."""
    for experiment in EVERYTHING[len(RECIPES) :]:
        postprocess, rescore = (experiment.params[key] for key in ("postprocess", "rescore"))
        assert rescore["operating_point"] == "auto", experiment.name
        searched = {"min_area", "max_hole", "dilate", "threshold"}
        assert {postprocess[key] for key in searched} == {"auto"}, experiment.name


@pytest.mark.parametrize("on", ["sample", "accra_buildings"])
def test_the_name_of_an_experiment_tells_what_it_is_compared_with(on):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for experiment in plan([*RECIPES, *ABLATIONS], on, Fraction("0.1"), True, 1):
            name, base = (text.removesuffix("-s1") for text in (experiment.name, experiment.base))
            assert base_of(name) == base
        assert base_of("of_my_own") == "defaults"


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_where_it_comes_from_and_what_differs(name):
    assert set(RECIPES[name]) == {*REQUIRED["recipes"], *OPTIONAL["recipes"]}
    assert all(isinstance(remark, str) for remark in RECIPES[name]["remarks"])


@pytest.mark.parametrize("experiment", EVERYTHING, ids=by_name)
def test_every_stage_accepts_its_params_for_every_member(experiment):
    params = experiment.params
    for section in SECTIONS:
        SECTIONS[section].model_validate(params[section])
    for member in params["members"].values():
        assert set(member) <= MEMBER_SECTIONS
        of_member = merge({key: params[key] for key in MEMBER_SECTIONS}, member, "member")
        for section in MEMBER_SECTIONS:
            SECTIONS[section].model_validate(of_member[section])
        for phase in of_member["train"]["phases"]:
            train.LossParams.model_validate(of_member["loss"] | phase["loss"])


@pytest.mark.parametrize("on", DATASETS)
def test_every_stage_accepts_every_data_set(on):
    params = planned("best", on=on, budget="1/10")[0].params
    for section in SECTIONS:
        SECTIONS[section].model_validate(params[section])


@pytest.mark.parametrize("experiment", [*OF_RECIPE.values(), *OF_ABLATIONS, *SHORT], ids=by_name)
def test_dvc_makes_of_the_overrides_of_an_experiment_exactly_its_params(experiment, tmp_path):
    path = tmp_path / "params.json"  # which DVC treats as it does YAML, and reads faster
    path.write_text(json.dumps(PARAMS))
    apply_overrides(path, overrides_of(experiment))
    assert json.loads(path.read_text()) == experiment.params


@pytest.mark.parametrize("name", ["best", "salt_top1"])
def test_dvc_writes_the_params_of_a_recipe_as_yaml(name, tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, overrides_of(OF_RECIPE[name]))
    assert YAML(typ="safe").load(path) == OF_RECIPE[name].params


def overrides_of(experiment):
    """The overrides among the words of the command, as DVC takes them from there."""
    words = shlex.split(experiment.command)
    texts = [words[i + 1] for i, word in enumerate(words) if word == "-S"]
    by_file = to_path_overrides(texts)
    assert set(by_file) <= {"params.yaml"}
    return by_file.get("params.yaml", [])


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_published_system_names_all_that_a_default_could_change(name):
    overrides = RECIPES[name]["overrides"]
    for section in [*OFF, "ensemble"]:
        named = set(overrides[section]) | READ_ONLY_WITH_ANOTHER.get(section, set())
        named |= LEFT_TO_THE_DATA.get(name, {}).get(section, set())
        if section == "augment" and overrides[section]["set"] != "custom":
            named |= set(PARAMS[section]) - {"mosaic", "copy_paste"}
        rest = {key: PARAMS[section][key] for key in PARAMS[section] if key not in named}
        assert rest == {key: OFF.get(section, {}).get(key) for key in rest}, section


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_the_pretrained_weights_a_recipe_names_exist(name, member):
    params = OF_RECIPE[name].params
    model = params["model"] | params["members"][member].get("model", {})
    if model["encoder_weights"] == "packaged":
        assert model["encoder"] in FILES
    elif model["encoder_weights"] != "none":
        known = smp.encoders.encoders[model["encoder"]]["pretrained_settings"]
        assert model["encoder_weights"] in known


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_variants_of_an_ablation_differ(name):
    own = [experiment for experiment in EVERYTHING if experiment.name.startswith(f"{name}-")]
    params = [json.dumps(experiment.params) for experiment in own]
    assert len(set(params)) == len(params) >= 2


def shrunk(params, member, recipe):
    """Params that train in a moment what the recipe trains, in their order and with its outputs."""
    for part in (params, params["members"][member]):
        model, regime = part.get("model", {}), part.get("train", {})
        if "encoder" in model:
            model["encoder"] = SMALLER.get(model["encoder"], model["encoder"])
        if "decoder_width" in model:  # 16 is the least that attention takes
            model["decoder_width"] = min(model["decoder_width"], 16)
        for phase in regime.get("phases", []):
            phase["epochs"] = 1
    params["model"]["extra_channels"] = recipe["model"].get("extra_channels", [])
    params["train"] |= {"evaluate_every": 1, "precision": "float32"}
    params["train"]["holdout"] = 0.5 if params["train"]["holdout"] else 0.0
    params["members"][member].get("train", {}).pop("crop_size", None)
    params["train"]["crop_size"] = 64
    return params


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "member"),
    MEMBERS,
)
def test_every_recipe_learns_through_all_its_phases(name, member, tmp_path):
    write_squares(tmp_path)
    params = planned(name, no_download=True)[0].params
    params = shrunk(params, member, RECIPES[name]["overrides"])
    YAML(typ="safe").dump(params, tmp_path / "params.yaml")
    write_plan(tmp_path / "plan")
    names = ("prepared", "plan", "folds.csv", "weights.zip", "model")
    paths = [str(tmp_path / name) for name in names]
    options = ["--member", member, "--fold", "0", "--params", str(tmp_path / "params.yaml")]
    train.main([*paths, *options])
    regime = params["train"] | params["members"][member].get("train", {})
    curve = pd.read_csv(tmp_path / "model" / "curve.csv")
    assert curve["phase"].tolist() == list(range(len(regime["phases"]) * regime["repeat"]))
    assert np.isfinite(curve["train_loss"]).all()
    description = json.loads((tmp_path / "model" / "model.json").read_text())
    weights = {head: params["loss"][f"{head}_weight"] for head in HEADS}
    heads = [head for head, weight in weights.items() if weight not in (0, "auto")]  # planned: 0
    assert sorted(description["heads"]) == sorted(["mask", *heads])
    model = params["model"] | params["members"][member].get("model", {})
    for key in ("architecture", "encoder", "extra_channels", "clahe", "resize"):
        expected = PLANNED["model"][key] if model[key] == "auto" else model[key]
        assert description[key] == expected
    state = load_file(tmp_path / "model" / "model.safetensors")
    assert all(np.isfinite(value).all() for value in state.values())
