import io
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image

from src.base.errors import InputError
from src.formats.archive import ImageArchive, encode_png, write_archive
from src.formats.stored_bands import decode_photo, decode_picture, encode_bands, is_bands


@pytest.mark.parametrize("seed", range(12))
def test_bands_of_any_shape_are_read_back_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    kind = (np.uint8, np.uint16)[seed % 2]
    shape = (*rng.integers(1, 40, 2), rng.integers(1, 17))
    image = rng.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
    encoded = encode_bands(image, [int(rng.integers(shape[2]))])
    found = decode_photo(encoded, "x")
    assert found.dtype == kind
    assert np.array_equal(found, image)
    assert is_bands(encoded)
    assert encode_bands(image, [0]) == encode_bands(image.copy(), [0])


def test_any_viewer_opens_the_file_and_sees_bands_below_each_other(tmp_path):
    image = np.arange(24, dtype=np.uint16).reshape(3, 4, 2) * 1000
    encoded = encode_bands(image, [1])
    with Image.open(io.BytesIO(encoded)) as opened:
        assert opened.text == {"Bands": "2 shown 1"}
        seen = np.asarray(opened)
    assert np.array_equal(seen, np.concatenate([image[..., 0], image[..., 1]]))
    write_archive(tmp_path / "a.zip", [("train/a", encoded)])
    archive = ImageArchive(tmp_path / "a.zip")
    assert archive.read_bytes("train/a") == encoded


def test_a_picture_shows_the_bands_chosen_each_over_its_own_range():
    image = np.zeros((10, 10, 4), np.uint16)
    image[..., 3] = np.arange(100).reshape(10, 10) + 5000
    image[..., 1] = 7
    red, green, blue = np.moveaxis(decode_picture(encode_bands(image, [3, 1, 0]), "x"), 2, 0)
    # of 0..99 the percentiles 0.5 and 99.5 are 0.495 and 98.505
    expected = np.rint((np.arange(100) - 0.495).clip(0, 98.01) / 98.01 * 255)
    assert np.array_equal(red.ravel(), expected)
    assert not green.any()
    assert not blue.any()
    one = decode_picture(encode_bands(image, [3]), "x")
    assert np.array_equal(one, np.dstack([red] * 3))


def test_bytes_are_shown_as_they_are():
    image = np.random.default_rng(0).integers(0, 255, (4, 5, 5), np.uint8)
    found = decode_picture(encode_bands(image, [4, 0, 2]), "x")
    assert np.array_equal(found, image[..., [4, 0, 2]])


def test_ordinary_images_are_decoded_as_ever():
    image = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)
    for decode in (decode_photo, decode_picture):
        assert np.array_equal(decode(encode_png(image), "x"), image)
        grey = decode(encode_png(image[..., 0]), "x")
        assert np.array_equal(grey, np.dstack([image[..., 0]] * 3))
    assert not is_bands(encode_png(image))
    assert not is_bands(b"")
    with pytest.raises(InputError, match="x: not a readable image"):
        decode_photo(b"", "x")
    with pytest.raises(InputError, match="x: not a readable image"):
        decode_photo(encode_bands(image, [0])[:60], "x")


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_an_image_or_refused_in_a_sentence(seed):
    rng = np.random.default_rng(seed)
    encoded = bytearray(encode_bands(rng.integers(0, 9, (5, 6, 3), np.uint16), [0]))
    for _ in range(rng.integers(1, 4)):
        encoded[rng.integers(8, 75)] = rng.integers(256)
    for decode in (decode_photo, decode_picture):
        with suppress(InputError):  # and nothing else
            assert decode(bytes(encoded), "x").ndim == 3


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (np.zeros((2, 2, 17), np.uint8), [0]),
        (np.zeros((2, 2, 2), np.float32), [0]),
        (np.zeros((2, 2), np.uint8), [0]),
        (np.zeros((0, 2, 2), np.uint8), [0]),
        (np.zeros((2, 2, 2), np.uint8), [2]),
        (np.zeros((2, 2, 2), np.uint8), [0, 1]),
    ],
)
def test_what_is_no_image_of_bands_is_refused(image, shown):
    with pytest.raises(ValueError, match="cannot store|are shown"):
        encode_bands(image, shown)


def test_more_rows_than_can_be_read_again_are_refused():
    tall = np.broadcast_to(np.zeros((1, 1, 1), np.uint8), (1_000_000 // 16 + 1, 1, 16))
    with pytest.raises(InputError, match="of 16 bands are too many; cut it into tiles"):
        encode_bands(tall, [0])
    assert cv2.imdecode(np.frombuffer(encode_bands(tall[:-1], [0]), np.uint8), -1) is not None
