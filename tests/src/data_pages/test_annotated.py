import cv2
import numpy as np
import pandas as pd

from src.data_pages.annotated import IGNORED, OBJECT, annotated_names, annotated_picture

PHOTO = np.full((10, 16, 3), 100, np.uint8)


def drawn(labels, side):
    png = annotated_picture(PHOTO, labels, side)
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_outlines_lie_inside_the_objects():
    labels = np.zeros((10, 16), np.uint16)
    labels[1:9, 1:9], labels[1:9, 9:16] = 3, 65535
    picture = drawn(labels, 16)
    assert picture.shape == (10, 16, 3)
    row = picture[5]
    assert (row[0] == 100).all()
    assert (row[[1, 8]] == OBJECT).all()  # both ends, the one beside the region too
    assert (row[[2, 7]] == 45).all()
    assert (row[3:7] == 100).all()
    assert (row[9] == IGNORED).all()
    assert (row[15] == IGNORED).all()  # at the edge of the image
    assert (picture[9] == 100).all()


def test_a_small_image_is_enlarged_and_a_large_one_shrunk():
    labels = np.zeros((10, 16), np.uint16)
    assert drawn(labels, 48).shape == (30, 48, 3)
    assert drawn(labels, 8).shape == (5, 8, 3)
    assert (drawn(labels, 48) == 100).all()


def test_images_from_the_emptiest_to_the_most_crowded_are_chosen():
    images = pd.DataFrame({"name": list("edcba"), "objects": [0, 4, 2, 9, 2]})
    assert annotated_names(images, 3) == ["e", "c", "b"]
    assert annotated_names(images, 9) == ["e", "a", "c", "d", "b"]
    assert annotated_names(images, 1) == ["e"]
