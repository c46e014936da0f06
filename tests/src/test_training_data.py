import numpy as np
import pytest
import torch

from src.archive import ImageArchive, write_archive
from src.augmentation import centre_crop, training_transform
from src.training_data import TrainingCrops, padded, resized, training_target

VIEWS = {
    "views": "d4",
    "shift": 0.1,
    "scale": 0.1,
    "rotate": 15.0,
    "brightness": 0.2,
    "contrast": 0.2,
    "hue": 10,
    "saturation": 10,
}


@pytest.fixture
def archives(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"train/{i}" for i in range(3)]
    content = {
        "images": [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in names],
        "instances": [rng.integers(0, 3, (40, 30)).astype(np.uint16) for _ in names],
        "weights": [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in names],
    }
    for kind, arrays in content.items():
        write_archive(tmp_path / kind, zip(names, arrays, strict=True))
    return names, content, [ImageArchive(tmp_path / kind) for kind in content]


def test_target_is_background_object_or_ignored():
    instances = np.array([[0, 1, 700, 65535]], np.uint16)
    assert training_target(instances).tolist() == [[0, 1, 1, 255]]


def test_a_crop_is_the_image_with_its_target_and_weight_planes(archives):
    names, content, parts = archives
    crops = TrainingCrops(*parts, names, resize=1.0, crop_size=8, transform=centre_crop(8))
    image, planes = crops[1, 0]
    middle = (slice(16, 24), slice(11, 19))
    np.testing.assert_array_equal(image.permute(1, 2, 0), content["images"][1][middle])
    np.testing.assert_array_equal(planes[0], content["instances"][1][middle] > 0)
    np.testing.assert_array_equal(planes[1:].permute(1, 2, 0), content["weights"][1][middle])


def test_a_crop_depends_on_its_seed_alone(archives):
    names, _, parts = archives

    def crops(order):
        transform = training_transform(**VIEWS, crop_size=16)
        data = TrainingCrops(*parts, names, resize=1.5, crop_size=16, transform=transform)
        return {draw: data[draw] for draw in order}

    draws = [(0, 5), (1, 6), (2, 5), (0, 6)]
    forward, backward = crops(draws), crops(draws[::-1])
    for draw in draws:
        assert all(map(torch.equal, forward[draw], backward[draw]))
    assert not torch.equal(forward[0, 5][0], forward[0, 6][0])


def test_small_images_are_padded_with_their_edge_and_ignored_there():
    image, planes = np.array([[[10] * 3, [20] * 3]], np.uint8), np.ones((1, 2, 4), np.uint8)
    image, planes = padded(image, planes, 4)
    assert image[..., 0].tolist() == [[10, 10, 20, 20]] * 4
    expected = np.full((4, 4), 255)
    expected[1, 1:3] = 1
    np.testing.assert_array_equal(planes[..., 0], expected)


def test_large_images_are_not_padded():
    image, planes = np.zeros((5, 9, 3), np.uint8), np.zeros((5, 9, 4), np.uint8)
    assert padded(image, planes, 5)[0] is image


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.3])
def test_resizing_invents_no_value_in_the_planes(factor):
    rng = np.random.default_rng(0)
    planes = rng.choice(np.array([0, 7, 200], np.uint8), (20, 10, 4))
    image, scaled = resized(planes[..., :3].copy(), planes, factor)
    assert image.shape[:2] == scaled.shape[:2] == (round(20 * factor), round(10 * factor))
    assert set(np.unique(scaled)) <= {0, 7, 200}
