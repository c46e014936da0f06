from pathlib import Path

import pytest
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.base.params import load_params
from src.objects.params import (
    PostprocessParams,
    load_postprocess,
    searched_keys,
    with_chosen,
)
from tests import plain_postprocess
from tests.plain_postprocess import write_plan

DEFAULTS = YAML(typ="safe").load((Path(__file__).parents[3] / "params.yaml").read_text())
DEFAULTS = DEFAULTS["postprocess"] | plain_postprocess.PLAIN


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
        ({"connectivity": "eight"}, "postprocess.connectivity: .*4 or 8, got 'eight'"),
        ({"connectivity": 6}, "postprocess.connectivity: .*4 or 8, got 6"),
        ({"method": "level_set"}, "postprocess.method: .*'embedding', got 'level_set'"),
        ({"layers": []}, "postprocess.layers: .*at least 1 item"),
        ({"layers": [0.4, 0.2]}, "postprocess.layers: .*must rise"),
        ({"layers": [0.4, 0.4]}, "postprocess.layers: .*must rise"),
        ({"layers": [0.4, 1.0]}, "postprocess.layers.1: .*less than 1"),
        ({"hull_low": 0.6, "hull_high": 0.5}, "hull_low 0.6 is above postprocess.hull_high 0.5"),
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


ALL_AUTO = dict.fromkeys(["threshold", "connectivity", "min_area", "max_hole", "dilate"], "auto")


def test_layers_take_all_from_the_plan_and_other_methods_search_the_values_of_objects(
    load, tmp_path
):
    write_plan(tmp_path / "plan", connectivity=8, min_area=5, max_hole=3, dilate=1)
    planned = {"connectivity": 8, "min_area": 5, "max_hole": 3, "dilate": 1}
    for method, values, searched in [
        ("layers", planned, []),
        ("threshold", {"connectivity": 8}, ["threshold", "min_area", "max_hole", "dilate"]),
        ("watershed", {"connectivity": 8}, ["threshold", "min_area", "max_hole", "dilate"]),
    ]:
        left = load(**ALL_AUTO | {"method": method})
        params = load_postprocess(tmp_path / "params.yaml", tmp_path / "plan")
        assert params == left.model_copy(update=values)
        assert searched_keys(params) == searched
    load(method="layers", connectivity=4, min_area=9, max_hole="auto")
    params = load_postprocess(tmp_path / "params.yaml", tmp_path / "plan")
    assert (params.connectivity, params.min_area, params.max_hole) == (4, 9, 3)
    assert with_chosen(params, {}, "chosen.json") == params


def test_a_plan_without_a_value_is_asked_for(load, tmp_path):
    load(method="layers", dilate="auto")
    with pytest.raises(InputError, match="plan/postprocess.json: holds no values.*stage plan"):
        load_postprocess(tmp_path / "params.yaml", tmp_path / "plan")
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/postprocess.json").write_text('{"min_area": 3}')
    with pytest.raises(InputError, match="plan/postprocess.json: has no value for dilate; run the"):
        load_postprocess(tmp_path / "params.yaml", tmp_path / "plan")
    load(dilate="auto")  # searched
    assert load_postprocess(tmp_path / "params.yaml", tmp_path / "plan").dilate == "auto"
