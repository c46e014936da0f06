"""Which mask belongs to which image, told by their names."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from os.path import commonprefix
from typing import NamedTuple
from unicodedata import normalize

from src.base.errors import InputError
from src.base.params import AUTO
from src.reading.params import DatasetParams

STEMS = 12  # images, and masks of each, whose names a pattern is looked for in
SEPARATORS = "_-. /"
ANY, NUMBER = "(.+)", "0*([0-9]+)"


class MaskNames(NamedTuple):
    """How the names of masks follow from those of images, both without extension."""

    suffix: str = ""  # what a mask's name has after the image's, where there is no pattern
    image_pattern: str = ""  # regular expressions of whole names with one group, which is the same
    mask_pattern: str = ""  # in both; one alone of the two stands against whole names

    @property
    def patterned(self) -> bool:
        """Whether patterns tell."""
        return bool(self.image_pattern or self.mask_pattern)

    def key_of_image(self, stem: str) -> str | None:
        """Return what a mask must share with an image; None if that is not of the data set."""
        if self.patterned:
            return _found(self.image_pattern or ANY, stem)
        return normalize("NFC", stem + self.suffix)

    def key_of_mask(self, stem: str) -> str | None:
        """Return what an image must share with a mask; None if that is of no image."""
        return _found(self.mask_pattern or ANY, stem) if self.patterned else normalize("NFC", stem)


def names_by(params: DatasetParams) -> MaskNames:
    """Return how params name masks; a suffix that is `auto` is nothing."""
    suffix = "" if params.mask_suffix == AUTO else params.mask_suffix
    return MaskNames(suffix, params.image_pattern, params.mask_pattern)


def check_keys(keys: Iterable[tuple[str, str]], where: str) -> None:
    """Make sure that no two images have one mask.

    Parameters
    ----------
    keys : iterable of (key, file name)
        Of the images of a split.
    where : str
        They lie, for the message.

    Raises
    ------
    InputError
        If two do.
    """
    seen = {}
    for key, file_name in keys:
        if key in seen:
            raise InputError(
                f"{where}: dataset.image_pattern finds '{key}' in '{seen[key]}' and in "
                f"'{file_name}'; let it match one of them alone, or find more of the name"
            )
        seen[key] = file_name


def proposal(images: list[str], masks: list[str]) -> str:
    """Say which params would bring images and masks together.

    Parameters
    ----------
    images, masks : list of str
        Their names, without extension.

    Returns
    -------
    words : str
        What to set, and how many images it gives one mask each, as tried on all these names; of
        several ways that which does it for most, the shortest of equals. "" where none is found
        or less than half of the images would have a mask.
    """
    tried = {names: _paired(names, images, masks) for names in set(_candidates(images, masks))}
    best = min(tried, key=lambda names: (-tried[names], _cost(names), names), default=None)
    if best is None or 2 * tried[best] < len(images):
        return ""
    if best.patterned:
        said = [
            f"dataset.{key} to '{pattern}'"
            for key, pattern in zip(best._fields[1:], best[1:], strict=True)
        ]
    else:
        said = [f"dataset.mask_suffix to '{best.suffix}'"]
    return f"set {' and '.join(said)}, by which {tried[best]} of {len(images)} have one"


def _found(pattern: str, stem: str) -> str | None:
    found = re.fullmatch(pattern, normalize("NFC", stem))
    return found and found[1]


def _cost(names: MaskNames) -> tuple[bool, int]:
    return names.patterned, sum(map(len, names))


def _paired(names: MaskNames, images: list[str], masks: list[str]) -> int:
    """Count the images that have one mask, which is that of no other."""
    masks_of = Counter(map(names.key_of_mask, masks))
    images_of = Counter(map(names.key_of_image, images))
    return sum(
        key is not None and count == 1 and masks_of[key] == 1 for key, count in images_of.items()
    )


def _candidates(images: list[str], masks: list[str]) -> Iterator[MaskNames]:
    """Yield ways that fit some image and some mask: what they share, and what stands around it."""
    for image in _spread(images):
        for mask in _spread(masks):
            for start, length, there in _shared(image, mask):
                text = image[start : start + length]
                key = text.strip(SEPARATORS)
                inner = text.index(key)
                if key:
                    yield from _ways(
                        *_around(image, key, start + inner), *_around(mask, key, there + inner)
                    )
            for numbers in _numbers(image, mask):
                yield MaskNames("", *numbers)


def _spread(names: list[str]) -> list[str]:
    """Return some of the names, from all over the list, in NFC."""
    places = dict.fromkeys(place * len(names) // STEMS for place in range(STEMS))
    return [normalize("NFC", names[place]) for place in places] if names else []


def _around(name: str, key: str, start: int) -> tuple[str, str]:
    return name[:start], name[start + len(key) :]


def _ways(of_image: str, after_image: str, of_mask: str, after_mask: str) -> Iterator[MaskNames]:
    """Yield ways of literal texts before and after what is shared, and of any digits in them."""
    if not (of_image or after_image or of_mask):
        yield MaskNames(after_mask)
    for quote in (re.escape, _any_digits):
        image = quote(of_image) + ANY + quote(after_image)
        yield MaskNames("", image, quote(of_mask) + ANY + quote(after_mask))


def _any_digits(text: str) -> str:
    return re.sub("[0-9]+", "[0-9]+", re.escape(text))


def _numbers(image: str, mask: str) -> Iterator[tuple[str, str]]:
    """Yield patterns that compare the last or the first number of both, without leading zeros."""
    in_image, in_mask = (list(re.finditer("[0-9]+", name)) for name in (image, mask))
    for place in (-1, 0):
        if in_image and in_mask:
            yield (
                _around_number(image, *in_image[place].span()),
                _around_number(mask, *in_mask[place].span()),
            )


def _around_number(name: str, start: int, stop: int) -> str:
    return _any_digits(name[:start]) + NUMBER + _any_digits(name[stop:])


def _shared(one: str, other: str) -> list[tuple[int, int, int]]:
    """Return where a text that two have in common begins in one, its length, and in other.

    That at the start of both, that at the end, and the longest.
    """
    start = len(commonprefix([one, other]))
    end = len(commonprefix([one[::-1], other[::-1]]))
    return [
        (0, start, 0),
        (len(one) - end, end, len(other) - end),
        _longest_shared(one, other),
    ]


def _longest_shared(one: str, other: str) -> tuple[int, int, int]:
    """Return where the longest text that two have in common begins in one, its length, and other.

    The first of equals in `one`, then in `other`.
    """
    best = (0, 0, 0)
    lengths = [0] * (len(other) + 1)
    for i, letter in enumerate(one):
        row = [0] * (len(other) + 1)
        for j, another in enumerate(other):
            if letter == another:
                row[j + 1] = lengths[j] + 1
                if row[j + 1] > best[1]:
                    best = (i - row[j + 1] + 1, row[j + 1], j - row[j + 1] + 1)
        lengths = row
    return best
