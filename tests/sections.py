"""Sections of params.yaml as it stands, for tests to change."""

from pathlib import Path

from ruamel.yaml import YAML

from src.formats.allowed_views import ViewsParams
from src.formats.distances import WeightMapParams
from src.losses.params import LossParams
from src.networks.params import ModelParams
from src.training.params import AugmentParams, Phase, TrainParams, checked_training

PARAMS = YAML(typ="safe").load((Path(__file__).parents[1] / "params.yaml").read_text())
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
