import pytest

from src.base.errors import InputError
from src.searching.params import SearchParams, searched_values
from tests.plain_postprocess import plain

SEARCH = SearchParams(
    metric="ap50",
    threshold=[0.4, 0.3],
    min_area=[],
    max_hole=[0],
    dilate=[1],
    max_images=0,
    seed=0,
)


def test_values_are_those_of_the_keys_that_are_auto_in_a_fixed_order():
    found = searched_values("params.yaml", SEARCH, plain(dilate="auto", threshold="auto"))
    assert list(found.items()) == [("threshold", [0.4, 0.3]), ("dilate", [1])]
    assert searched_values("params.yaml", SEARCH, plain()) == {}


def test_a_key_without_values_to_try_is_refused():
    message = "p.yaml: search.min_area lists no value to try but postprocess.min_area is auto; list"
    with pytest.raises(InputError, match=message):
        searched_values("p.yaml", SEARCH, plain(min_area="auto"))
