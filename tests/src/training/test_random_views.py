import itertools
import random

import albumentations as A
import cv2
import numpy as np
import pytest
from albumentations.augmentations.geometric.functional import create_affine_transformation_matrix

from src.training.random_views import RandomView, affine_matrix, flip_matrix, resampled

STILL = {"views": "none", "shift": 0.0, "scale": 0.0, "rotate": 0.0, "crop_size": 0}
FLIPS = list(itertools.product([False, True], repeat=3))


def noise(height, width, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def drawn(image, planes, count, **changes):
    """Yield image, planes and where pixels of the result come from, of each draw."""
    view = RandomView(**STILL | changes)
    for seed in range(count):
        view.set_random_state(np.random.default_rng(seed), random.Random(seed))
        seen = view(image=image, mask=planes)
        yield seen["image"], seen["mask"], view.params["source"]


@pytest.mark.parametrize("flips", FLIPS)
def test_a_view_is_that_of_turned_arrays(flips):
    image = noise(5, 8)
    columns, rows, transposed = flips
    expected = image[:: -1 if rows else 1, :: -1 if columns else 1]
    expected = expected.transpose(1, 0, 2) if transposed else expected
    source = np.linalg.inv(flip_matrix((8, 5), list(flips)))[:2]
    for interpolation in (cv2.INTER_NEAREST, cv2.INTER_LINEAR):
        found = resampled(image, source, expected.shape[1::-1], interpolation)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("views", "number"), [("none", 1), ("hflip", 2), ("d2", 4), ("d4", 8)])
def test_the_views_come_alike_often(views, number):
    image = noise(6, 6)
    seen = [image.tobytes() for image, _, _ in drawn(image, image, 400, views=views)]
    counts = [seen.count(view) for view in set(seen)]
    assert len(counts) == number
    assert min(counts) > 400 / number * 0.6


def test_an_affine_change_by_hand():
    matrix = affine_matrix((5, 3), shift=(2, -1), scale=(1.0, 1.0), rotate=90.0)
    np.testing.assert_allclose(matrix @ [2, 1, 1], [4, 0, 1], atol=1e-12)  # the middle, shifted
    np.testing.assert_allclose(matrix @ [3, 1, 1], [4, -1, 1], atol=1e-12)  # right goes up
    matrix = affine_matrix((5, 3), shift=(0, 0), scale=(2.0, 0.5), rotate=0.0)
    np.testing.assert_allclose(matrix @ [3, 3, 1], [4, 2, 1])


def test_the_affine_change_is_that_of_albumentations():
    rng = np.random.default_rng(0)
    for _ in range(20):
        (width, height), shift = rng.integers(5, 90, 2), rng.integers(-9, 9, 2)
        scale, rotate = rng.uniform(0.5, 2, 2), rng.uniform(-180, 180)
        expected = create_affine_transformation_matrix(
            dict(zip("xy", shift, strict=True)),
            {"x": 0, "y": 0},
            dict(zip("xy", scale, strict=True)),
            rotate,
            ((width - 1) / 2, (height - 1) / 2),
        )
        found = affine_matrix((width, height), shift=shift, scale=scale, rotate=rotate)
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("flips", FLIPS)
def test_one_resampling_shows_what_flips_an_affine_change_and_a_crop_show(flips):
    image, planes = cv2.GaussianBlur(noise(60, 80), (0, 0), 2), noise(60, 80, 4)
    sides = (60, 80) if flips[2] else (80, 60)
    moved = affine_matrix(sides, shift=(3, -5), scale=(1.1, 0.9), rotate=12.0)
    at_once = moved @ flip_matrix((80, 60), list(flips))
    at_once[:2, 2] -= (7, 4)
    source = np.linalg.inv(at_once)[:2]
    border = {"borderMode": cv2.BORDER_REPLICATE}
    for array, kind in ((image, cv2.INTER_LINEAR), (planes, cv2.INTER_NEAREST)):
        turned = array[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
        turned = np.ascontiguousarray(turned.transpose(1, 0, 2) if flips[2] else turned)
        expected = cv2.warpAffine(turned, moved[:2], sides, flags=kind, **border)
        expected = expected[4:44, 7:47].astype(int)
        apart = np.abs(resampled(array, source, (40, 40), kind) - expected)
        if kind == cv2.INTER_LINEAR:
            assert apart.max() <= 1
        else:  # halves of pixels are rounded to either side
            assert (apart > 0).any(axis=2).mean() < 0.01


@pytest.mark.parametrize("channels", range(2, 10))
def test_all_channels_come_from_the_same_pixel(channels):
    places = np.arange(64 * 64).reshape(64, 64) % 251
    planes = np.dstack([places] * channels).astype(np.uint8)
    limits = {"scale": 0.2, "rotate": 30.0}
    for _, mask, _ in drawn(noise(64, 64), planes, 8, **limits, crop_size=40):
        assert mask.shape == (40, 40, channels)
        np.testing.assert_array_equal(mask, np.dstack([mask[..., 0]] * channels))


def test_each_crop_is_a_window_of_the_view_and_each_window_comes():
    image = noise(7, 9)
    windows = {
        view[row : row + 5, column : column + 5].tobytes()
        for view in (image, image.transpose(1, 0, 2))
        for row, column in np.ndindex(view.shape[0] - 4, view.shape[1] - 4)
    }
    seen = [image.tobytes() for image, _, _ in drawn(image, image, 2000, views="d4", crop_size=5)]
    assert len(windows) == 2 * 3 * 5
    assert windows < set(seen)
    assert len(set(seen)) == 4 * len(windows)  # mirrored by rows, by columns, by both


@pytest.mark.parametrize("views", ["none", "d4"])
def test_draws_fill_their_range_and_stay_inside(views):
    image = noise(40, 40)
    limits = {"shift": 0.2, "scale": 0.3, "rotate": 20.0}
    found = []
    for _, _, source in drawn(image, image, 400, views=views, **limits):
        forward = np.linalg.inv(np.vstack([source, [0, 0, 1]]))
        scale = np.linalg.norm(forward[:2, :2], axis=0)
        turn = np.rad2deg(np.arctan2(-forward[1, 0], forward[0, 0])) + 45
        middle = forward @ [19.5, 19.5, 1] - 19.5
        np.testing.assert_allclose(middle[:2], middle[:2].round(), atol=1e-9)
        found.append([*scale, turn % 90 - 45, *middle[:2]])
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    np.testing.assert_allclose(high, [1.3, 1.3, 20, 7, 7], rtol=0.05)
    np.testing.assert_allclose(low, [0.7, 0.7, -20, -7, -7], rtol=0.05)
    apart = np.corrcoef(np.transpose(found)) - np.eye(5)
    assert np.abs(apart).max() < 0.2  # each is drawn for itself


@pytest.mark.parametrize("limit", [{"shift": 0.3}, {"scale": 0.3}, {"rotate": 20.0}])
def test_the_image_is_blended_and_its_maps_are_not(limit):
    image, planes = noise(30, 30), noise(30, 30, 4)
    for seen, mask, source in drawn(image, planes, 5, **limit):
        expected = resampled(image, source, (30, 30), cv2.INTER_LINEAR)
        np.testing.assert_array_equal(seen, expected)
        expected = resampled(planes, source, (30, 30), cv2.INTER_NEAREST)
        np.testing.assert_array_equal(mask, expected)


def test_what_is_uncovered_repeats_the_edge():
    image = np.full((20, 20, 3), 9, np.uint8)
    image[:, 0] = 50
    source = np.array([[1.0, 0, -6], [0, 1, 0]])
    found = resampled(image, source, (20, 20), cv2.INTER_LINEAR)
    assert (found[:, :7] == 50).all()
    assert (found[:, 7:] == 9).all()


def test_it_works_among_other_transforms_and_repeats_itself():
    image = noise(30, 30)
    transform = A.Compose([RandomView(**STILL | {"views": "d4", "rotate": 9.0}), A.ToGray(p=0.5)])
    found = []
    for seed in (1, 2, 1):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        found.append(transform(image=image, mask=image))
    assert not np.array_equal(found[0]["mask"], found[1]["mask"])
    for key in ("image", "mask"):
        np.testing.assert_array_equal(found[0][key], found[2][key])
