import cv2
import numpy as np
import pandas as pd

from src.data_pages.annotated import IGNORED, OBJECT, annotated_names, annotated_picture

PHOTO = np.full((10, 16, 3), 100, np.uint8)


def drawn(labels, side):
    webp = annotated_picture(PHOTO, labels, side)
    return cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def alike(pixels, colour, tolerance=25):
    return (np.abs(np.reshape(pixels, (-1, 3)) - np.array(colour)) <= tolerance).all()


def test_outlines_lie_inside_the_objects():
    labels = np.zeros((10, 16), np.uint16)
    labels[1:9, 1:9], labels[1:9, 9:16] = 3, 65535
    row = drawn(labels, 960)[300]  # 60 px of the picture to one of the image, outlines of 10
    assert alike(row[10:50], 100)
    assert alike(row[62:68], OBJECT)
    assert alike(row[532:538], OBJECT)  # beside the region too
    assert alike(row[90:510], 100)
    assert alike(row[542:548], IGNORED)
    assert alike(row[952:958], IGNORED)  # at the edge of the image
    assert alike(drawn(labels, 960)[560:590], 100)


def test_a_small_image_is_enlarged_and_a_large_one_shrunk():
    labels = np.zeros((10, 16), np.uint16)
    assert drawn(labels, 48).shape == (30, 48, 3)
    assert drawn(labels, 8).shape == (5, 8, 3)
    assert alike(drawn(labels, 48), 100, 3)


def test_images_from_the_emptiest_to_the_most_crowded_are_chosen():
    images = pd.DataFrame({"name": list("edcba"), "objects": [0, 4, 2, 9, 2]})
    assert annotated_names(images, 3) == ["e", "c", "b"]
    assert annotated_names(images, 9) == ["e", "a", "c", "d", "b"]
    assert annotated_names(images, 1) == ["e"]
