import cv2
import numpy as np
import pytest
from scipy import ndimage

from src.duplicates import local_difference
from src.duplicates.local_difference import agree_everywhere, unmeasured_details
from src.duplicates.near_duplicates import find_pairs
from src.duplicates.perceptual_hash import FINE, hash_views, shrink_twice, view


def agree(one, other, *, contrasts=(1.0, 1.0), turn=0, limit=0.4, scale=1.0):
    details = unmeasured_details(np.stack([one, other]), np.array(contrasts))
    pair = np.array([0]), np.array([1]), np.array([turn])
    return bool(agree_everywhere(details, *pair, limit, scale)[0])


def spot(height, row=30, column=30):
    image = np.full((FINE, FINE), 100, np.uint8)
    image[row, column] += height
    return image


def texture(seed, side=FINE):
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), 2)
    return np.clip(np.rint(120 + 200 * grey), 0, 255).astype(np.uint8)


def most(image, width):
    return ndimage.maximum_filter(image, width, mode="nearest")


def least(image, width):
    return ndimage.minimum_filter(image, width, mode="nearest")


def compared(one, other, contrasts, limit):
    """Return whether two pictures agree everywhere, place by place."""
    details, shares = [], []
    for image, contrast in zip((one, other), contrasts, strict=True):
        total = ndimage.convolve(64 * image.astype(int), np.ones((17, 17), int), mode="nearest")
        detail = (image - np.rint(total / 17**2) / 64) * contrast
        details.append(detail)
        shares.append((most(detail, 3) - least(detail, 3) > max(16, 8 * contrast)).mean())
    play = min(min(shares) / 0.5, 1) ** 3
    span = np.max([most(detail, 13) - least(detail, 13) for detail in details], axis=0)
    room = np.maximum(max(16, 8 * max(contrasts)), limit * (1 + 0.5 * play) * span)
    for a, b in (details, details[::-1]):
        above = a - b - play * (most(b, 3) - b)
        below = b - a - play * (b - least(b, 3))
        if (above > room).any() or (below > room).any():
            return False
    return True


@pytest.mark.parametrize("number", range(8))
def test_pairs_are_judged_as_place_by_place(number):
    rng = np.random.default_rng(number)
    found = []
    for seed in range(6):
        one = texture(seed)
        if seed % 2:  # little of it
            one[:, 12:] = 110
        other = np.clip(view(one, number) + rng.normal(0, 4, one.shape), 0, 255)
        row, column = rng.integers(0, FINE - 5, 2)
        other[row : row + 4, column : column + 4] += rng.integers(0, 120)
        other = np.clip(np.rint(other), 0, 255).astype(np.uint8)
        contrasts = rng.uniform(0.5, 3, 2)
        found.append(agree(one, other, contrasts=contrasts, turn=number))
        assert found[-1] == compared(view(one, number), other, contrasts, 0.4)
    if number == 0:
        assert set(found) == {True, False}


# a spot of 16 stands out by 16 - 4 / 64, since a 289th of it is in the mean around it; both floors
# are 16 at a contrast of up to 2
@pytest.mark.parametrize(
    ("height", "contrast", "same"),
    [
        (16, 1.0, True),
        (16, 1.003, True),
        (16, 1.004, False),
        (17, 1.0, False),
        (8, 2.0, True),
        (9, 2.0, False),
        (8, 3.0, True),
    ],
)
def test_one_spot_more_is_another_picture(height, contrast, same):
    contrasts = (contrast, contrast)
    assert agree(spot(0), spot(height), contrasts=contrasts) is same
    assert agree(spot(height), spot(0), contrasts=contrasts) is same
    dark = 200 - spot(height)
    assert agree(200 - spot(0), dark, contrasts=contrasts) is same


def test_a_spot_differs_by_a_share_of_the_range_around_it():
    assert not agree(spot(100), spot(50))  # by half of it
    assert agree(spot(100), spot(50), limit=0.6)
    assert agree(spot(100), spot(70))
    assert not agree(spot(100), spot(70), scale=0.5)
    assert agree(spot(0), spot(10))
    assert not agree(spot(0), spot(10), scale=0.5)


def test_uneven_light_is_no_difference():
    slope = np.linspace(0, 100, FINE)[:, None] + np.zeros(FINE)
    lit = (100 + slope).astype(np.uint8)
    assert agree(np.full_like(lit, 150), lit)


def test_a_picture_of_many_details_may_lie_a_pixel_off_and_one_of_few_may_not():
    rich = texture(0, FINE + 1)
    assert agree(rich[1:, 1:], rich[:-1, :-1])
    assert not agree(spot(100), spot(100, 31, 31))


def test_what_the_bounds_of_cells_tell_changes_nothing(monkeypatch):
    images = np.stack([texture(seed % 3) for seed in range(6)])
    images[3, 10:14, 10:14] = 255
    first, second = np.triu_indices(6, 1)
    turn = np.zeros(15, int)
    found = agree_everywhere(unmeasured_details(images, np.ones(6)), first, second, turn, 0.4)
    assert 0 < found.sum() < 15
    details = unmeasured_details(images, np.ones(6))
    monkeypatch.setattr(local_difference, "PAIRS", 4)
    monkeypatch.setattr(local_difference, "CLOSE", 2)
    assert agree_everywhere(details, first, second, turn, 0.4).tolist() == found.tolist()
    details.bounds[:] = 0  # measured: tells nothing
    assert agree_everywhere(details, first, second, turn, 0.4).tolist() == found.tolist()


def test_no_pairs_are_none():
    none = np.empty(0, int)
    details = unmeasured_details(np.empty((0, FINE, FINE), np.uint8), np.empty(0))
    assert agree_everywhere(details, none, none, none, 0.4).tolist() == []


def noisy(rng, image):
    return np.clip(np.rint(image + rng.normal(0, 2, image.shape)), 0, 255).astype(np.uint8)


def nucleus(rng):
    """One cell on black."""
    image = np.full((128, 128), 6.0)
    place = tuple(rng.integers(12, 116, 2).tolist())
    axes = tuple(rng.integers(4, 9, 2).tolist())
    turn, level = int(rng.integers(180)), float(rng.integers(60, 200))
    cv2.ellipse(image, place, axes, turn, 0, 360, level, -1)
    return noisy(rng, image)


def field(rng):
    """A round field of view with small cells."""
    image = np.full((128, 128), 10.0)
    cv2.circle(image, (64, 64), 58, 180.0, -1)
    for place in rng.integers(30, 98, (12, 2)).tolist():
        cv2.circle(image, tuple(place), 2, 90.0, -1)
    return noisy(rng, image)


def page(rng):
    """A letter: one head, another text."""
    image = np.full((128, 128), 250.0)
    cv2.rectangle(image, (8, 8), (60, 24), 60.0, -1)
    for row in range(40, 120, 12):
        for column in range(10, 10 + int(rng.integers(2, 10)) * 10, 10):
            image[row : row + 5, column : column + 3 + int(rng.integers(6))] = 40
    return noisy(rng, image)


def search(images, **params):
    thumbnails, fine = map(np.stack, zip(*map(shrink_twice, images), strict=True))
    params = {"distance": 10, "difference": 12.0, "local_difference": 0.4, "finer": fine} | params
    pairs = find_pairs(thumbnails, hash_views(thumbnails), **params)
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@pytest.mark.parametrize("draw", [nucleus, field, page])
def test_scenes_of_one_background_are_no_copies_but_their_copies_are(draw):
    rng = np.random.default_rng(0)
    scenes = [draw(rng) for _ in range(40)]
    if draw is not page:  # mirrored and turned ones of it are no letters
        scenes[:8] = [np.ascontiguousarray(view(scene, i)) for i, scene in enumerate(scenes[:8])]
    jpeg = [cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 60])[1] for scene in scenes[:8]]
    copies = [cv2.imdecode(one, cv2.IMREAD_GRAYSCALE) for one in jpeg]
    copies += [cv2.resize(scene, (192, 192)) for scene in scenes[8:16]]
    copies += [np.clip(scene * 1.04, 0, 255).astype(np.uint8) for scene in scenes[16:24]]
    images = scenes + [view(copy, i % 8) for i, copy in enumerate(copies)]
    assert search(images) == [(number, 40 + number) for number in range(24)]
    assert len(search(scenes, local_difference=0)) > 20


def test_the_finer_grid_shows_what_the_thumbnails_do_not():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(8):
        image = np.full((512, 512), 10.0)
        cv2.circle(image, (256, 256), 230, 180.0, -1)
        for place in rng.integers(120, 390, (12, 2)).tolist():
            cv2.circle(image, tuple(place), 4, 90.0, -1)
        images.append(noisy(rng, image))
    assert search(images) == []
    assert len(search(images, finer=None)) > 0


def test_an_object_that_moves_before_a_fixed_camera_makes_other_pictures():
    ground = 80 + texture(0, 128) // 4
    frames = [ground.copy() for _ in range(4)]
    for frame, left in zip(frames, (20, 21, 40, 60), strict=True):
        frame[60:72, left : left + 12] = 230
    assert search(frames) == [(0, 1)]
