import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.formats.stored_bands import encode_bands
from src.training.bands import with_bands
from tests.sections import section


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(4)
    images = {f"train/{k}": rng.integers(0, 4095, (4 + k, 5, 2), np.uint16) for k in range(3)}
    for image in images.values():
        image[..., 1] = 1000
    items = [(name, encode_bands(image, [0])) for name, image in images.items()]
    write_archive(tmp_path / "bands.zip", items)
    write_archive(tmp_path / "rgb.zip", [("train/0", np.zeros((3, 3, 3), np.uint8))])
    return {name: {"train": ImageArchive(tmp_path / f"{name}.zip")} for name in ("bands", "rgb")}, (
        images
    )


def test_means_and_deviations_are_those_of_all_pixels_learnt_from(photos):
    archives, images = photos
    params = section("model", image_channels="bands")
    found = with_bands(params, archives["bands"], ["train/0", "train/2"])
    pixels = np.concatenate([images[f"train/{k}"].reshape(-1, 2) for k in (0, 2)]) / 65535
    assert found.mean == pytest.approx(pixels.mean(axis=0), rel=1e-5)
    assert found.std == pytest.approx([pixels[:, 0].std(), 1e-4], rel=1e-5)  # the second is flat
    given = section("model", image_channels="bands", mean=[0.5, 0.25])
    assert with_bands(given, archives["bands"], list(images)).mean == [0.5, 0.25]
    assert len(with_bands(given, archives["bands"], list(images)).std) == 2


def test_bands_and_params_must_agree(photos):
    archives, images = photos
    for channels in ("rgb", "grey"):
        params = section("model", image_channels=channels)
        with pytest.raises(InputError, match=f"is {channels}, but images are 2 bands of uint16"):
            with_bands(params, archives["bands"], list(images))
        assert with_bands(params, archives["rgb"], ["train/0"]) is params
    params = section("model", image_channels="bands", std=[0.1] * 3)
    with pytest.raises(InputError, match=r"model\.std has 3 numbers, the images 2 bands"):
        with_bands(params, archives["bands"], list(images))
    found = with_bands(section("model", image_channels="bands"), archives["rgb"], ["train/0"])
    assert (found.mean, found.std) == ([0.0] * 3, [1e-4] * 3)
