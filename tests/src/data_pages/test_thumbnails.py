import cv2
import numpy as np
import pytest

from src.data_pages.thumbnails import thumbnail
from src.formats.archive import decode_image


def shrunk(image, side):
    return decode_image(thumbnail(image, side), cv2.IMREAD_UNCHANGED, "thumbnail")


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((40, 20), 10, (10, 5)),
        ((20, 40), 10, (5, 10)),
        ((8, 6), 10, (8, 6)),
        ((1, 500), 10, (1, 10)),
        ((1, 1), 1, (1, 1)),
    ],
)
def test_the_longest_side_is_as_asked_and_small_images_stay(size, side, expected):
    assert shrunk(np.zeros((*size, 3), np.uint8), side).shape == (*expected, 3)


def test_pixels_are_means_of_what_they_cover_and_colours_stay_in_place():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = [[[200, 0, 40], [100, 0, 40]], [[200, 0, 40], [100, 0, 40]]]
    assert shrunk(image, 2)[0, 0].tolist() == [150, 0, 40]
    assert not shrunk(image, 2)[1, 1].any()
