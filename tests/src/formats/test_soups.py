import pytest
from pydantic import ValidationError

from src.base.errors import InputError
from src.formats.soups import SoupsParams, soup_members, soup_names

MEMBERS = ["main", "other"]


def soups(**lists):
    return SoupsParams.model_validate(lists)


def test_soups_have_their_names_and_members_in_order():
    both = soups(mix=["other", "main"], alone=["main"])
    assert soup_names("p.yaml", both, MEMBERS) == ["mix", "alone"]
    assert soup_members("p.yaml", both, "mix", MEMBERS) == ["other", "main"]
    assert soup_names("p.yaml", soups(), MEMBERS) == []


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"other": ["main"]}, "no soup 'mix'; known: other"),
        ({"mix": ["main"], "other": ["main"]}, "soups.other: there is a member 'other'; rename"),
        ({"mix": []}, "soups.mix: is empty; list members: main, other"),
        ({"mix": ["main", "third"]}, "soups.mix: no member 'third'; known: main, other"),
    ],
)
def test_soups_of_nothing_or_of_strangers_are_refused(lists, message):
    with pytest.raises(InputError, match=f"p.yaml: {message}"):
        soup_members("p.yaml", soups(**lists), "mix", MEMBERS)


@pytest.mark.parametrize("lists", [{"../mix": ["main"]}, {"mix": "main"}, {"mix": [1]}])
def test_names_that_are_no_folder_and_lists_that_are_none_are_refused(lists):
    with pytest.raises(ValidationError):
        soups(**lists)
