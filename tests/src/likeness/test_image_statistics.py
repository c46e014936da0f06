import cv2
import numpy as np
import pytest

from src.likeness.image_statistics import FEATURES, POWER_FLOOR, WINDOW, image_statistics


def named(image):
    return dict(zip(FEATURES, image_statistics(image).tolist(), strict=True))


def grey(levels):
    """RGB image of grey levels (H, W)."""
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=2)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_of_one_colour_has_its_colour_and_no_texture():
    found = named(np.full((20, 30, 3), (200, 100, 50), np.uint8))
    for channel, level in {"red": 200, "green": 100, "blue": 50, "value": 200}.items():
        assert [found[f"{channel}_{s}"] for s in ("mean", "std", "p05", "p50", "p95")] == [
            *(level, 0),
            *[level] * 3,
        ]
    assert found["saturation_mean"] == round(255 * 150 / 200)
    assert found["hue_mean"] == pytest.approx(20)  # 60 * (100 - 50) / (200 - 50)
    assert found["hue_spread"] == pytest.approx(0, abs=1e-6)
    flat = ("entropy", "gradient_energy", "laplacian_variance", "local_contrast", "blockiness")
    assert [found[name] for name in flat] == [0] * 5
    assert all(found[f"power_{band}"] == np.float32(np.log10(POWER_FLOOR)) for band in range(1, 7))
    assert (found["height"], found["width"], found["aspect"]) == (20, 30, 1.5)


def test_levels_by_hand():
    image = np.zeros((1, 20, 3), np.uint8)
    image[0, :, 0] = np.arange(20) * 10
    found = named(image)
    assert found["red_mean"] == 95
    assert found["red_std"] == pytest.approx(10 * np.sqrt((20**2 - 1) / 12))
    # the least level that so many of the 20 pixels do not exceed: 1, 10 and 19 of them
    assert [found[f"red_p{p}"] for p in ("05", "50", "95")] == [0, 90, 180]
    assert found["black"] == np.float32(1 / 20)


def test_hues_on_both_sides_of_red_are_red_and_opposite_ones_spread():
    red = np.array([[(255, 0, 60), (255, 60, 0)]], np.uint8)
    assert named(red)["hue_mean"] % 360 == pytest.approx(0, abs=1)
    assert named(red)["hue_spread"] == pytest.approx(1 - np.cos(np.deg2rad(14)), abs=1e-3)
    assert named(np.array([[(255, 0, 0), (0, 255, 255)]], np.uint8))["hue_spread"] == 1


def test_grey_images_have_no_hue_and_count_black_and_white():
    found = named(grey([[0, 0, 255, 90]]))
    assert (found["hue_mean"], found["hue_spread"], found["saturation_mean"]) == (0, 0, 0)
    assert (found["black"], found["white"]) == (0.5, 0.25)
    assert found["entropy"] == 1.5  # of shares 1/2, 1/4, 1/4


def test_texture_of_a_checkerboard():
    board = np.indices((16, 16)).sum(axis=0) % 2 * 100
    found = named(grey(board))
    assert found["gradient_energy"] == 2 * 100**2
    assert found["local_contrast"] == 50
    # interior: 4 * 100 up or down; a border pixel has one neighbour fewer, a corner two
    squares = (14 * 14 * 16 + 4 * 14 * 9 + 4 * 4) * 100**2 / 256
    assert found["laplacian_variance"] == pytest.approx(squares)


def test_local_contrast_is_that_of_blocks_whatever_differs_between_them():
    assert named(grey(np.kron([[0, 200], [90, 30]], np.ones((8, 8)))))["local_contrast"] == 0


@pytest.mark.parametrize("direction", ["rows", "columns"])
@pytest.mark.parametrize(("period", "band"), [(96, 1), (48, 2), (24, 3), (12, 4), (6, 5), (3, 6)])
def test_a_wave_has_its_power_in_the_band_of_its_frequency(period, band, direction):
    wave = 128 + 100 * np.cos(2 * np.pi * np.arange(192) / period)
    levels = np.tile(wave.round(), (192, 1))
    found = named(grey(levels if direction == "columns" else levels.T))
    powers = [found[f"power_{b}"] for b in range(1, 7)]
    assert np.argmax(powers) == band - 1
    assert sorted(powers)[-1] > sorted(powers)[-2] + 0.5


def test_noise_has_its_variance_as_power_in_all_bands():
    levels = np.random.default_rng(0).normal(128, 20, (256, 256)).round()
    found = named(grey(levels.clip(0, 255)))
    for band in range(3, 7):  # the coarser ones have few frequencies
        assert found[f"power_{band}"] == pytest.approx(np.log10(20**2), abs=0.1)


def test_jpeg_makes_blocks_and_the_more_the_lower_its_quality():
    image = cv2.GaussianBlur(noise(128, 128), (0, 0), 3)
    found = [named(image)["blockiness"]]
    for quality in (50, 10):
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        found.append(named(cv2.imdecode(encoded, cv2.IMREAD_COLOR))["blockiness"])
    assert found[0] < found[1] < found[2]
    assert abs(found[0]) < 0.2


def test_blockiness_is_the_step_at_the_borders_of_blocks_also_where_a_large_image_is_cut():
    blocks = np.arange(101) % 2 * 40
    levels = np.tile(np.repeat(blocks, 8)[:803], (12, 1))
    assert (levels.shape[1] - WINDOW) // 2 % 8 == 1  # so an unaligned middle would be out of step
    found = named(grey(levels))
    assert found["blockiness"] == (40 + 0) / 2  # along the rows; none down the columns


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (8, 8), (7, 700), (600, 530)])
def test_images_of_any_size_have_finite_statistics(shape):
    for image in (noise(*shape), np.zeros((*shape, 3), np.uint8)):
        found = image_statistics(image)
        assert found.shape == (len(FEATURES),)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_a_view_has_the_statistics_of_its_copy():
    view = noise(40, 50)[::-1, ::2]
    np.testing.assert_array_equal(image_statistics(view), image_statistics(view.copy()))


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), noise(0, 4)])
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="want an RGB image of uint8, got"):
        image_statistics(image)
