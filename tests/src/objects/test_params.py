from pathlib import Path

import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.base.params import load_params
from src.objects.params import (
    PostprocessParams,
    searched_keys,
    with_chosen,
)

DEFAULTS = YAML(typ="safe").load((Path(__file__).parents[3] / "params.yaml").read_text())
DEFAULTS = DEFAULTS["postprocess"]


@pytest.fixture
def load(tmp_path):
    """Function (changes) that reads the default section with them."""

    def read(**changes):
        YAML().dump({"postprocess": DEFAULTS | changes}, tmp_path / "params.yaml")
        return load_params(tmp_path / "params.yaml", "postprocess", PostprocessParams)

    return read


def test_values_may_be_left_to_the_search(load):
    assert searched_keys(load()) == []
    params = load(dilate="auto", threshold="auto", max_hole="auto", min_area="auto")
    assert searched_keys(params) == ["threshold", "min_area", "max_hole", "dilate"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": "atuo"}, "postprocess.threshold: .*valid number, got 'atuo'"),
        ({"threshold": 1.0}, "postprocess.threshold: .*less than 1, got 1.0"),
        ({"min_area": -1}, "postprocess.min_area: .*greater than or equal to 0, got -1"),
        ({"erode": "auto"}, "postprocess.erode: .*valid integer, got 'auto'"),
        ({"connectivity": 6}, "postprocess.connectivity: .*4 or 8, got 6"),
        ({"method": "level_set"}, "postprocess.method: .*'embedding', got 'level_set'"),
        ({"layers": []}, "postprocess.layers: .*at least 1 item"),
        ({"layers": [0.4, 0.2]}, "postprocess.layers: .*must rise"),
        ({"layers": [0.4, 0.4]}, "postprocess.layers: .*must rise"),
        ({"layers": [0.4, 1.0]}, "postprocess.layers.1: .*less than 1"),
        ({"hull_low": 0.6, "hull_high": 0.5}, "hull_low 0.6 is above postprocess.hull_high 0.5"),
        ({"method": "layers", "threshold": "auto"}, "postprocess.threshold: .*no single threshold"),
        ({"method": "layers", "dilate": "auto"}, "postprocess.dilate: .*choose another method"),
    ],
)
def test_a_mistake_is_told_once_with_its_key(load, changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        load(**changes)
    assert str(refusal.value).count("postprocess.threshold:") <= 1


def test_what_is_off_is_no_mistake(load):
    load(hull_low=0.6, hull_high=0.0)
    load(method="layers", threshold=0.5, layers=[0.5])
    load(method="watershed", threshold="auto")


def test_chosen_values_take_the_place_of_auto_and_nothing_else(load):
    params = load(threshold="auto", min_area="auto")
    chosen = with_chosen(params, {"threshold": 0.7, "min_area": 3}, "chosen.json")
    assert chosen == load(threshold=0.7, min_area=3)
    assert with_chosen(load(), {}, "chosen.json") == load()


@pytest.mark.parametrize("values", [{}, {"min_area": 3}, {"threshold": 0.7, "min_area": 3}])
def test_values_of_other_keys_than_are_auto_are_stale(load, values):
    with pytest.raises(InputError, match=r"chosen.json: .* \['threshold'\] are auto .* run search"):
        with_chosen(load(threshold="auto"), values, "chosen.json")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"threshold": 1.5}, "threshold: .*less than 1, got 1.5; run search_postprocess"),
        ({"threshold": "high"}, "threshold: .*valid number, got 'high'; run search_postprocess"),
    ],
)
def test_values_that_are_none_of_their_key_are_refused(load, chosen, message):
    with pytest.raises(InputError, match=f"chosen.json: {message}"):
        with_chosen(load(threshold="auto"), chosen, "chosen.json")
