import cv2
import numpy as np
import pytest

from src.formats.archive import PHOTO, decode_image
from src.preparing import levels
from src.preparing.levels import choose_levels
from src.preparing.photos import read_photo
from src.reading.image_folders import image_record
from src.reading.params import ImagesParams

AUTO = ImagesParams.model_validate(
    {"bands": [], "stretch": "auto", "low": 0.0, "high": 0.0}
    | {"no_data": "none", "orientation": "ignore", "keep": "8bit", "shown": []}
)


def write(folder, images):
    """Write images by name and return their records."""
    records = []
    for number, (name, image) in enumerate(images.items(), start=1):
        path = folder / f"{name.replace('/', '_')}{'.tif' if image.dtype.kind == 'f' else '.png'}"
        assert cv2.imwrite(str(path), image)
        records.append(image_record(name, number, path.name, path))
    return records


def deep(low, high, dtype=np.uint16):
    """An image of 50 x 90 px with values spread evenly from low to high."""
    return np.linspace(low, high, 4500).reshape(50, 90).astype(dtype)


def grey(record, images):
    photo = read_photo(record.path, images)
    return decode_image(photo.content, PHOTO, "photo")[..., 0], photo


def test_images_of_8_bits_stay_as_they_are(tmp_path):
    records = write(tmp_path, {"train/a": deep(0, 90, np.uint8)})
    images, [choice] = choose_levels(records, AUTO)
    assert (choice.key, choice.value) == ("images.stretch", "none")
    assert read_photo(records[0].path, images).content == records[0].path.read_bytes()


@pytest.mark.parametrize("bits", [10, 11, 12, 14, 16])
def test_images_of_more_bits_fill_the_grey_levels_in_every_split(tmp_path, bits):
    top = 2**bits - 1
    records = write(tmp_path, {"train/a": deep(0, top), "val/v": deep(0, top // 2)})
    images, choices = choose_levels(records, AUTO)
    values = {choice.key: choice.value for choice in choices}
    assert values["images.stretch"] == "range"
    # the smallest values that 0.1 % and 99.9 % do not exceed: the 5th and the 4496th of 4500
    expected = deep(0, top).ravel()[[4, 4495]]
    assert [values["images.low"], values["images.high"]] == expected.tolist()
    image, photo = grey(records[0], images)
    assert (image.min(), image.max(), photo.few_levels) == (0, 255, None)
    assert 125 <= grey(records[1], images)[0].max() <= 129  # by the same range, not by its own


def test_images_of_8_bits_stay_among_others(tmp_path):
    records = write(tmp_path, {"train/a": deep(0, 3000), "train/b": deep(0, 90, np.uint8)})
    images, _ = choose_levels(records, AUTO)
    assert read_photo(records[1].path, images).content == records[1].path.read_bytes()
    again = tmp_path / "b.bmp"  # which is stored anew
    assert cv2.imwrite(str(again), deep(0, 90, np.uint8))
    image, _ = grey(records[1]._replace(path=again), images)
    np.testing.assert_array_equal(image, deep(0, 90, np.uint8))


def test_only_train_decides(tmp_path):
    train = {"train/a": deep(100, 3000)}
    alone, _ = choose_levels(write(tmp_path, train), AUTO)
    both, _ = choose_levels(write(tmp_path, train | {"val/v": deep(0, 65535)}), AUTO)
    assert both == alone


def test_a_deep_image_beside_train_of_8_bits_is_rejected_not_darkened(tmp_path):
    records = write(tmp_path, {"train/a": deep(0, 90, np.uint8), "val/v": deep(0, 3000)})
    images, _ = choose_levels(records, AUTO)
    with pytest.raises(ValueError, match="uint16, but the images of train.*images.stretch to rang"):
        read_photo(records[1].path, images)


def test_pixels_without_data_have_no_part(tmp_path):
    image = deep(500, 3000)
    image[:20] = 60000
    images, _ = choose_levels(
        write(tmp_path, {"train/a": image}), AUTO.model_copy(update={"no_data": 60000.0})
    )
    assert images.high <= 3000
    floating = deep(0, 1, np.float32)
    floating[:20] = np.nan
    images, _ = choose_levels(write(tmp_path, {"train/b": floating}), AUTO)
    assert (images.low, images.high) == pytest.approx((0.4, 1), abs=0.01)


def test_a_constant_data_set_gets_a_range_all_the_same(tmp_path):
    images, _ = choose_levels(write(tmp_path, {"train/a": deep(700, 700)}), AUTO)
    assert images.low == 700
    assert images.high > 700


def test_of_many_images_a_part_is_looked_at_always_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "LOOKED_AT", 3)
    monkeypatch.setattr(levels, "PIXELS", 1000)
    records = write(tmp_path, {f"train/{n}": deep(n, 1000 + 100 * n) for n in range(8)})
    first, [choice, *_] = choose_levels(records, AUTO)
    assert choose_levels(records, AUTO)[0] == first
    assert choice.reason.startswith("3 of 3 images of train looked at hold uint16")


def test_a_damaged_image_is_left_to_be_rejected(tmp_path):
    records = write(tmp_path, {"train/a": deep(0, 3000), "train/b": deep(0, 3000)})
    records[0].path.write_bytes(records[0].path.read_bytes()[:60])
    _, [choice, *_] = choose_levels(records, AUTO)
    assert choice.reason.startswith("1 of 2 images")


def test_another_stretch_is_left_alone(tmp_path):
    fixed = AUTO.model_copy(update={"stretch": "range", "low": 1.0, "high": 2.0})
    assert choose_levels(write(tmp_path, {"train/a": deep(0, 9)}), fixed) == (fixed, [])


@pytest.mark.parametrize(("bits", "left"), [(10, 4), (11, 8), (12, 16), (14, 64), (16, None)])
def test_few_grey_levels_are_told_where_nothing_is_stretched(tmp_path, bits, left):
    records = write(tmp_path, {"train/a": deep(0, 2**bits - 1)})
    _, photo = grey(records[0], AUTO.model_copy(update={"stretch": "none"}))
    assert (photo.few_levels and photo.few_levels[0]) == left


def test_few_values_that_are_all_kept_are_no_loss(tmp_path):
    image = (deep(0, 3, np.uint16) << 14) + 500
    [record] = write(tmp_path, {"train/a": image})
    _, photo = grey(record, AUTO.model_copy(update={"stretch": "none"}))
    assert photo.few_levels is None
