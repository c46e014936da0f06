import pytest

from src.predicting.allowed_views import limited_views


@pytest.mark.parametrize(
    ("views", "allowed", "limited"),
    [
        ("d4", "d4", "d4"),
        ("d4", "d2", "d2"),
        ("d4", "hflip", "hflip"),
        ("d4", "none", "none"),
        ("hflip", "d4", "hflip"),
        ("d2", "hflip", "hflip"),
        ("none", "d4", "none"),
    ],
)
def test_views_are_limited_to_the_smaller_set(views, allowed, limited):
    assert limited_views(views, allowed) == limited


@pytest.mark.parametrize("pair", [("vflip", "d4"), ("d4", "vflip")])
def test_unknown_views_are_answered_with_the_known_ones(pair):
    with pytest.raises(ValueError, match="'vflip' is unknown; known: none, hflip, d2, d4"):
        limited_views(*pair)
