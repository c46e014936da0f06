import random
import re

import pytest

from src.base.errors import InputError
from src.reading.mask_names import MaskNames, check_keys, proposal


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        (
            ["case_001_0000", "case_002_0000"], ["case_001", "case_002"],
            "set dataset.image_pattern to '(.+)_0000' and dataset.mask_pattern to '(.+)', by which "
            "2 of 2 have one",
        ),
        (["1_sat", "2_sat", "11_sat"], ["1_mask", "2_mask", "11_mask"], r"'(.+)_sat' and .*_mask'"),
        (["image_1", "image_2"], ["mask_1", "mask_2"], "'image_(.+)' and .*'mask_(.+)'"),
        (["IMG_1", "IMG_2"], ["img_1", "img_2"], "'IMG_(.+)' and .*'img_(.+)'"),
        (["img1", "img2"], ["img1.jpg", "img2.jpg"], "set dataset.mask_suffix to '.jpg', by which"),
        (["img1", "img12"], ["m001", "m012"], "'img0*([0-9]+)' and .*'m0*([0-9]+)'"),
        (["t1_2020", "t2_2020"], ["t1_m_5", "t2_m_6"], "'(.+)_[0-9]+' and .*'(.+)_m_[0-9]+'"),
        (["s/1_sat", "t/1_sat"], ["s/1_m", "t/1_m"], "'(.+)_sat' and .*'(.+)_m'"),
    ],
)  # fmt: skip
def test_the_pattern_that_brings_names_together_is_proposed(images, masks, words):
    said = proposal(images, masks)
    assert re.search(re.escape(words).replace(r"\.\*", ".*"), said), said


@pytest.mark.parametrize(
    ("images", "masks"),
    [([], []), (["a"], []), (["a", "b"], ["x", "y"]), (["a1", "b", "c"], ["a1_m", "x", "y"])],
)
def test_nothing_is_proposed_that_leaves_most_images_without_a_mask(images, masks):
    assert proposal(images, masks) == ""


def affix(rng):
    return "".join(rng.choices("abz0_-.(+", k=rng.randrange(5)))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_proposed_does_what_it_says(seed):
    rng = random.Random(seed)
    around, keys = [affix(rng) for _ in range(4)], [f"{rng.randrange(10**6):06}" for _ in range(5)]
    images = [around[0] + key + around[1] for key in keys]
    masks = [around[2] + key + around[3] for key in keys]
    said = proposal(images, masks)
    assert "5 of 5" in said, (images, masks)
    given = dict(re.findall(r"dataset\.(\w+) to '(.*?)'(?: and|,)", said))
    names = MaskNames(*(given.get(key, "") for key in ("mask_suffix", *MaskNames._fields[1:])))
    assert [*map(names.key_of_image, images)] == [*map(names.key_of_mask, masks)]


def test_one_pattern_alone_stands_against_whole_names():
    names = MaskNames("", r"(.+)_\d", "")
    assert (names.key_of_image("a_1"), names.key_of_mask("a")) == ("a", "a")
    assert names.key_of_image("a") is None
    assert MaskNames("", r"(x)?y", "").key_of_image("y") is None  # the group finds nothing


def test_names_are_compared_as_unicode_composes_them():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert MaskNames("_m").key_of_image(decomposed) == MaskNames().key_of_mask(composed + "_m")
    assert MaskNames("", "(.+)_i").key_of_image(decomposed + "_i") == composed


def test_two_images_of_one_mask_are_refused():
    with pytest.raises(InputError, match="image_pattern finds 'a' in 'a_1.png' and in 'a_2.png'"):
        check_keys([("a", "a_1.png"), ("b", "b.png"), ("a", "a_2.png")], "images")
