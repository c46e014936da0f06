import random

import numpy as np
import pytest

from src.augmentation import centre_crop, training_transform

OFF = {
    "views": "none",
    "shift": 0.0,
    "scale": 0.0,
    "rotate": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "hue": 0,
    "saturation": 0,
    "crop_size": 8,
}


def picture(size=8):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    return image, np.dstack([image, image[..., :1]])  # planes that show what became of the image


def draws(transform, count=40, size=8):
    image, planes = picture(size)
    for seed in range(count):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        seen = transform(image=image, mask=planes)
        yield seen["image"], seen["mask"]


def test_everything_off_changes_nothing():
    image, planes = picture()
    for seen, mask in draws(training_transform(**OFF), count=5):
        np.testing.assert_array_equal(seen, image)
        np.testing.assert_array_equal(mask, planes)


@pytest.mark.parametrize(("views", "number"), [("hflip", 2), ("d2", 4), ("d4", 8)])
def test_views_give_each_possible_view_and_no_other(views, number):
    image, _ = picture()
    seen = {s.tobytes() for s, _ in draws(training_transform(**OFF | {"views": views}))}
    turned = [np.rot90(m, k) for m in (image, image[:, ::-1]) for k in range(4)]
    assert len(seen) == number
    assert seen <= {np.ascontiguousarray(t).tobytes() for t in turned}


def test_maps_follow_the_image():
    for seen, mask in draws(training_transform(**OFF | {"views": "d4", "crop_size": 5})):
        np.testing.assert_array_equal(seen, mask[..., :3])


def test_maps_are_never_blended_when_scaled_and_turned():
    transform = training_transform(**OFF | {"scale": 0.3, "rotate": 30.0, "shift": 0.2})
    image = np.zeros((8, 8, 3), np.uint8)
    planes = np.zeros((8, 8, 4), np.uint8)
    planes[2:6, 2:6] = (1, 200, 255, 40)
    known = {(0, 0, 0, 0), (1, 200, 255, 40)}
    moved = 0
    for seed in range(20):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        mask = transform(image=image, mask=planes)["mask"]
        assert set(map(tuple, mask.reshape(-1, 4).tolist())) <= known
        moved += (mask != planes).any()
    assert moved > 15


@pytest.mark.parametrize(
    "knob", [{"brightness": 0.3}, {"contrast": 0.3}, {"hue": 30}, {"saturation": 60}]
)
def test_each_colour_knob_changes_the_image_and_not_the_maps(knob):
    image, planes = picture()
    changed = 0
    for seen, mask in draws(training_transform(**OFF | knob), count=10):
        changed += (seen != image).any()
        np.testing.assert_array_equal(mask, planes)
    assert changed >= 8


def test_one_seed_gives_one_result():
    transform = training_transform(
        **OFF | {"views": "d4", "rotate": 20.0, "hue": 20, "crop_size": 6}
    )
    first, second = ([s.tobytes() for s, _ in draws(transform, count=8)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 4


def test_the_watched_view_is_the_middle():
    image, planes = picture(8)
    seen = centre_crop(4)(image=image, mask=planes)
    np.testing.assert_array_equal(seen["image"], image[2:6, 2:6])


def test_unknown_views_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'vflip' is unknown; known: none, hflip, d2, d4"):
        training_transform(**OFF | {"views": "vflip"})
