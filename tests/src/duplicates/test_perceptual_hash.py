import cv2
import numpy as np
import pytest
import torch
from scipy.fft import dctn

from src.duplicates.perceptual_hash import (
    BLANK,
    FINE,
    SIDE,
    follow,
    hash_views,
    is_blank,
    shrink,
    shrink_twice,
    undo,
    view,
)
from src.predicting import views

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (3, 7),
    (31, 33),
    (32, 32),
    (61, 47),
    (64, 64),
    (97, 130),
    (300, 7),
]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def picture(seed=0, side=64):
    """Smooth random blobs with all frequencies, and some noise."""
    rng = np.random.default_rng(seed)
    image = sum(
        cv2.resize(rng.standard_normal((n, n)), (side, side), interpolation=cv2.INTER_CUBIC)
        for n in (3, 6, 12, 24)
    )
    return np.clip(np.rint(128 + 30 * image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_view_of_an_image_has_that_view_of_its_thumbnail_to_the_bit(size):
    image = noise(*size)
    for number in range(8):
        turned = shrink(np.ascontiguousarray(view(image, number)))
        assert np.array_equal(turned, view(shrink(image), number))


@pytest.mark.parametrize("size", SIZES)
def test_the_hashes_of_a_view_are_those_of_the_image_in_another_order(size):
    image = noise(*size)
    hashes = hash_views(shrink(image)[None])[0]
    for number in range(8):
        turned = hash_views(shrink(view(image, number))[None])[0]
        assert turned[0] == hashes[number]
        assert turned.tolist() == [hashes[follow(number, other)] for other in range(8)]
        assert turned.min() == hashes.min()


def test_symmetric_images_have_equal_hashes_in_the_views_that_do_not_change_them():
    half = noise(32, 16)
    hashes = hash_views(np.concatenate([half, half[:, ::-1]], axis=1)[None])[0]
    assert hashes[0] == hashes[1]
    assert hashes[4] == hashes[5]
    assert len(set(hashes.tolist())) == 4


def test_views_are_numbered_like_those_of_prediction():
    image = np.arange(6).reshape(2, 3)
    for number, d4 in enumerate(views.VIEWS["d4"]):
        expected = views.view(torch.from_numpy(image), *d4).numpy()
        assert np.array_equal(view(image, number), expected)


def test_undo_and_follow_compose_views():
    image = np.arange(9).reshape(3, 3)
    for one in range(8):
        assert np.array_equal(view(view(image, one), int(undo(one))), image)
        for other in range(8):
            assert np.array_equal(
                view(view(image, one), other), view(image, int(follow(one, other)))
            )
    assert undo(np.arange(8)).tolist() == [int(undo(number)) for number in range(8)]


def test_a_cell_averages_its_pixels_with_the_shares_that_lie_in_it():
    image = np.zeros((1, 48), np.uint8)
    image[0, :4] = 30, 60, 90, 255
    # 48 px in 32 cells of 1.5 px: 1 and 1/2 of a pixel, then 1/2 and 1, and again
    assert shrink(image)[0, :3].tolist() == [(30 + 30) / 1.5, (30 + 90) / 1.5, 255 / 1.5]
    assert (shrink(image) == shrink(image)[0]).all()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 320)])
def test_whole_cells_agree_with_plain_means(size):
    image = noise(*size)
    blocks = image.reshape(SIDE, size[0] // SIDE, SIDE, size[1] // SIDE)
    assert np.array_equal(shrink(image), np.rint(blocks.mean((1, 3))).astype(np.uint8))


@pytest.mark.parametrize("size", [(64, 192), (40, 128), (130, 64), (1, 1)])
def test_the_finer_thumbnail_has_cells_of_half_the_size(size):
    image = noise(*size)
    thumbnail, finer = shrink_twice(image)
    assert np.array_equal(thumbnail, shrink(image))
    large = image.repeat(64, axis=0).repeat(64, axis=1)
    blocks = large.reshape(FINE, size[0], FINE, size[1])
    assert np.array_equal(finer, np.rint(blocks.mean((1, 3))).astype(np.uint8))


def test_a_long_image_loses_no_precision():
    image = np.zeros((1, 70_001), np.uint8)
    image[0, ::2] = 255
    thumbnail = shrink(image)
    assert (thumbnail[:, ::-1] == thumbnail).all()
    assert set(thumbnail.ravel()) <= {127, 128}  # 127.5 and a share of a pixel
    assert np.array_equal(shrink(image.T), thumbnail.T)


def test_bits_are_the_signs_of_the_low_frequencies_of_the_cosine_transform():
    thumbnail = shrink(picture())
    waves = dctn(thumbnail.astype(float) - thumbnail.mean())
    kept = [(u, v) for u in range(8) for v in range(8) if u + v > 0] + [(8, 8)]
    expected = "".join("1" if waves[place] > 0 else "0" for place in kept)
    assert hash_views(thumbnail[None])[0, 0] == int(expected, 2)


def test_one_frequency_gives_the_hash_one_may_write_down():
    across = np.cos(np.pi * 3 * (np.arange(SIDE) + 0.5) / SIDE)
    thumbnail = np.rint(128 + 100 * across)[None].repeat(SIDE, axis=0).astype(np.uint8)
    hashes = hash_views(thumbnail[None])[0]
    bit = 1 << (63 - 2)  # (0, 3) is the third of (0, 1), (0, 2), ...
    assert int(hashes[0]) & bit
    assert not int(hashes[1]) & bit  # odd, so mirrored it is negative
    upright = 1 << (63 - (3 * 8 - 1))  # (3, 0)
    assert int(hashes[0]) & upright == 0
    assert [int(hashes[number]) & upright > 0 for number in (2, 6)].count(True) == 1


def test_brightness_and_contrast_hardly_change_a_hash():
    for seed in range(20):
        image = picture(seed)
        other = np.rint(0.7 * image.astype(float) + 20).astype(np.uint8)
        hashes = hash_views(np.array([shrink(image), shrink(other)]))
        assert np.bitwise_count(hashes[0, 0] ^ hashes[1, 0]) <= 3


def test_brightness_alone_does_not_change_the_hash_of_the_faintest_image():
    faint = np.random.default_rng(0).integers(20, 26, (200, SIDE, SIDE), dtype=np.uint8)
    assert np.array_equal(hash_views(faint), hash_views(faint + 200))


def test_compression_hardly_changes_a_hash_and_other_pictures_have_others():
    thumbnails = []
    for seed in range(20):
        image = picture(seed, 128)
        small = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        thumbnails += [shrink(image), shrink(cv2.imdecode(small, cv2.IMREAD_GRAYSCALE))]
    hashes = hash_views(np.array(thumbnails))[:, 0]
    apart = np.bitwise_count(hashes[::2, None] ^ hashes[1::2])
    assert np.diag(apart).max() <= 4
    assert apart[~np.eye(20, dtype=bool)].min() > 10


def test_no_images_have_no_hashes():
    none = np.empty((0, SIDE, SIDE), np.uint8)
    assert hash_views(none).shape == (0, 8)
    assert is_blank(none).shape == (0,)


def test_flat_sloping_and_faintly_noisy_images_are_blank():
    rng = np.random.default_rng(0)
    flat = np.full((SIDE, SIDE), 255.0)
    slope = 100 + 2 * np.arange(SIDE)[:, None] + np.arange(SIDE)
    faint = 128 + rng.normal(0, 1, (SIDE, SIDE))
    thumbnails = np.rint([flat, slope, faint, slope + faint - 128]).astype(np.uint8)
    assert is_blank(thumbnails).all()


def test_blank_images_are_told_at_the_limit_whatever_their_view():
    checks = np.indices((SIDE, SIDE)).sum(0) % 2  # deviates by half its height, without slope
    board = np.stack([100 + 3 * checks, 100 + 4 * checks]).astype(np.uint8)
    assert BLANK == 1.5
    assert is_blank(board).tolist() == [True, False]
    images = np.stack([shrink(picture(seed)) for seed in range(5)])
    assert not is_blank(images).any()
    for number in range(8):
        assert is_blank(view(board, number)).tolist() == [True, False]


def test_the_least_hash_is_not_always_that_of_the_image_itself():
    hashes = hash_views(np.array([shrink(picture(seed)) for seed in range(40)]))
    assert set(hashes.argmin(axis=1)) == set(range(8))
