"""Sections of params.yaml, with numbers for what it leaves to the plan, for tests to change."""

import json
from pathlib import Path

from ruamel.yaml import YAML

from src.label_maps.distances import WeightMapParams
from src.losses.params import LossParams
from src.networks.params import ModelParams
from src.predicting.allowed_views import ViewsParams
from src.training.params import AugmentParams, Phase, TrainParams, checked_training

PARAMS = YAML(typ="safe").load((Path(__file__).parents[1] / "params.yaml").read_text())
PLANNED = {  # in the place of "auto", here as in `write_plan`
    "model": {"resize": 1.0, "encoder_depth": 4},
    "loss": {"sigma": 5.0, "boundary_distance_weight": 0.0},
    "train": {"crop_size": 128, "batch_size": 8, "epochs": 40},
    "weight_maps": {"max_distance": 63},
}
for _name, _values in PLANNED.items():
    for _part in (PARAMS[_name], *PARAMS[_name].get("phases", [])):
        _part |= {key: value for key, value in _values.items() if _part.get(key) == "auto"}
MODELS = {
    "model": ModelParams,
    "loss": LossParams,
    "augment": AugmentParams,
    "train": TrainParams,
    "views": ViewsParams,
    "weight_maps": WeightMapParams,
}


def section(name, **changes):
    """Return the section of that name with other values of some keys, checked."""
    return MODELS[name].model_validate(PARAMS[name] | changes)


def phase(**changes):
    """Return the first phase of the section train with other values of some keys, checked."""
    return Phase.model_validate(PARAMS["train"]["phases"][0] | changes)


def training(**changes):
    """Return all that training obeys; the key of a change is the section, "__" and the key."""
    given = {name: {} for name in MODELS}
    for key, value in changes.items():
        name, _, inner = key.partition("__")
        given[name][inner] = value
    return checked_training(
        *(section(name, **given[name]) for name in ("model", "loss", "augment", "train")),
        allowed=section("views", **given["views"]).allowed,
        max_distance=section("weight_maps", **given["weight_maps"]).max_distance,
    )


def write_plan(folder, **changes):
    """Write the values of a plan, those of PLANNED but for changes of whole sections."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (PLANNED | changes).items():
        (folder / f"{name}.json").write_text(json.dumps(values))
