import random

import numpy as np
import pytest

from src.training.augmentation import OFF, training_transform
from tests.sections import section


def picture():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    planes = np.zeros((8, 8, 2), np.uint8)
    planes[2:5, 3:7, 0] = 1
    planes[6, :, 0] = 255  # ignored
    planes[..., 1] = 1  # another plane says nothing
    return image, planes


def seen(**changes):
    """Take the whole picture as one view of it."""
    values = OFF | {"set": "custom", "grey_objects": 1.0} | changes
    transform = training_transform(section("augment", **values), allowed="none", crop_size=8)
    transform.set_random_state(np.random.default_rng(0), random.Random(0))
    image, planes = picture()
    found = transform(image=image, mask=planes)
    np.testing.assert_array_equal(found["mask"], planes)
    return image, planes, found["image"]


def test_objects_lose_their_colour_and_nothing_else_does():
    image, planes, changed = seen()
    objects = planes[..., 0] == 1
    np.testing.assert_array_equal(changed[~objects], image[~objects])
    luma = image[objects] @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(changed[objects], np.repeat(luma[:, None], 3, 1), atol=0.51)


@pytest.mark.parametrize("changes", [{"grey_objects": 0.0}, {"grey_objects": 1e-9}])
def test_it_happens_by_its_probability(changes):
    image, _, changed = seen(**changes)
    np.testing.assert_array_equal(changed, image)
