"""One range of values for all images of a data set with more than 8 bits, chosen from train."""

from pathlib import Path

import numpy as np

from src.base.errors import InputError
from src.preparing.photos import read_values
from src.reading.params import ImagesParams
from src.reading.recognition import Choice
from src.reading.records import ImageRecord

LOOKED_AT = 64  # images, drawn by SEED among those that may have more than 8 bits
SEED = 0
PIXELS = 10_000  # of an image at most, so that memory does not go with their size
LOW, HIGH = 0.1, 99.9  # percentiles of the values that become 0 and 255
HEAD = 26  # bytes of a file that tell whether it may have more than 8 bits
EIGHT_BITS = (b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")  # JPEG, GIF, BMP, WebP
PNG_START, PNG_DEPTH = b"\x89PNG", 24


def choose_levels(
    records: list[ImageRecord], images: ImagesParams
) -> tuple[ImagesParams, list[Choice]]:
    """Choose the values that become black and white where `stretch` is auto.

    Parameters
    ----------
    records : list of ImageRecord
        Of all splits; those of train are looked at and no others, at most 64 of them, drawn by a
        fixed seed among the files that may have more than 8 bits.
    images : ImagesParams
        `bands` and `no_data` count here too.

    Returns
    -------
    images : ImagesParams
        The same if `stretch` is not auto. Else `low` and `high` are the percentiles 0.1 and 99.9
        of the pooled values of the images that have more than 8 bits (where 16 are kept: other
        types than uint8 and uint16), in all bands, without pixels
        that hold no data, the same number at most of each image. Both are 0 if none has more than
        8 bits.
    choices : list of Choice
        What is to be told of it; one for `stretch`, and those of `low` and `high` if there are
        any.
    """
    if images.stretch != "auto":
        return images, []
    train = [record for record in records if record.split == "train"]
    deep = [record for record in train if _may_be_deep(record.path)]
    drawn = np.random.default_rng(SEED).permutation(len(deep))[:LOOKED_AT]
    pooled, kinds = [], set()
    kept = (np.uint8, np.uint16) if images.keep == "16bit" else (np.uint8,)
    for place in sorted(drawn.tolist()):
        try:
            values, invalid = read_values(deep[place].path, images, deep[place].window)
        except (InputError, MemoryError):
            continue  # it is rejected later, which says why
        if values.dtype not in kept:
            pooled.append(_sample(values, invalid, place))
            kinds.add(str(values.dtype))
    if not pooled:
        more = "more than 8 bits" if len(kept) == 1 else "other than whole values of 16 bits"
        reason = f"none of the {len(train)} images of train is known to have {more}"
        images = images.model_copy(update={"low": 0.0, "high": 0.0})
        return images, [Choice("images.stretch", "none", f"{reason}, so that values stay")]
    low, high = _percentiles(np.concatenate(pooled))
    held = " and ".join(sorted(kinds))
    reason = (
        f"{len(pooled)} of {len(drawn)} images of train looked at hold {held}, of "
        f"whose values {LOW} % lie below images.low and {100 - HIGH:.1f} % above images.high; "
        + ("all images of more than 8 bits" if len(kept) == 1 else "all such images")
        + " get this one range, others stay"
    )
    choices = [
        Choice("images.stretch", "range", reason),
        Choice("images.low", low, "this value becomes 0"),
        Choice("images.high", high, f"this value becomes {255 if len(kept) == 1 else 65535}"),
    ]
    return images.model_copy(update={"low": low, "high": high}), choices


def _may_be_deep(path: Path) -> bool:
    """Tell by its first bytes whether a file may hold more than 8 bits a value."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    if head.startswith(PNG_START):
        return head[PNG_DEPTH : PNG_DEPTH + 1] == b"\x10"
    return not head.startswith(EIGHT_BITS)


def _sample(values: np.ndarray, invalid: np.ndarray | None, place: int) -> np.ndarray:
    """Return values of an image as float64: those of all its pixels with data, or of some."""
    pixels = values.reshape(-1, values.shape[2])
    pixels = pixels if invalid is None else pixels[~invalid.ravel()]
    if len(pixels) > PIXELS:
        pixels = pixels[np.random.default_rng([SEED, place]).integers(len(pixels), size=PIXELS)]
    return pixels.ravel().astype(np.float64)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return two values that differ, though all should be alike."""
    if not values.size:
        return 0.0, 1.0
    low, high = map(float, np.percentile(values, [LOW, HIGH], method="inverted_cdf"))
    return low, high if low < high else max(low + 1, float(np.nextafter(low, np.inf)))
