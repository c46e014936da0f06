import base64

import cv2
import numpy as np

from src.reporting.shown_copies import map_copy, photo_copy, place_copies, shrink


def read(webp):
    return cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_a_copy_looks_like_the_photo():
    photo = np.full((40, 60, 3), (200, 90, 30), np.uint8)
    photo[:, 30:] = (20, 40, 160)
    copy = read(photo_copy(photo, 512))
    assert copy.shape == (40, 60, 3)
    for column in (10, 50):
        assert np.abs(copy[20, column] - photo[20, column]).max() <= 8


def test_a_large_image_is_shrunk_by_area():
    image = np.zeros((20, 80), np.uint8)
    image[:, ::2] = 200
    assert shrink(image, 40).shape == (10, 40)
    assert (shrink(image, 40) == 100).all()
    assert shrink(image, 80) is image
    assert shrink(np.zeros((1, 300, 3), np.uint8), 100).shape == (1, 100, 3)


def test_a_map_keeps_its_probabilities():
    plane = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None], 32, axis=0).repeat(4, axis=1)
    copy = read(map_copy(plane, 512))
    assert np.abs(copy.mean(axis=2) - plane).mean() < 4


def test_copies_go_into_the_page_or_beside_it(tmp_path):
    copies = [(b"one", b"two"), (b"three", b"four")]
    inside = place_copies(copies, None)
    assert [[base64.b64decode(text) for text in pair] for pair in inside] == [
        list(pair) for pair in copies
    ]
    beside = place_copies(copies, tmp_path)
    assert beside[1] == ["00002.webp", "00002_map.webp"]
    assert (tmp_path / "00002_map.webp").read_bytes() == b"four"


def test_the_same_photo_gives_the_same_bytes():
    photo = np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)
    assert photo_copy(photo, 40) == photo_copy(photo.copy(), 40)
