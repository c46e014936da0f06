import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage

from src.judging import boundaries
from src.judging.boundaries import Masks, agreement, boundary_width


def rle(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def box(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def boundary_iou(predicted, truth, ignored):
    (masks,) = [[[] if mask is None else [mask] for mask in (predicted, truth, ignored)]]
    found = agreement([Masks(*masks)])
    either = found.predicted_band + found.truth_band - found.both_bands
    return found.both_bands[0] / either[0] if either[0] else 1.0


@pytest.mark.parametrize(
    ("height", "width", "steps"),
    [
        (1, 1, 1),
        (20, 20, 1),  # 0.57 px
        (75, 100, 2),  # 2.5 px, to the even number as in the authors' own
        (300, 300, 8),  # 8.49 px
        (300, 302, 9),  # 8.51 px
        (3000, 4000, 100),
    ],
)
def test_the_band_is_2_percent_of_the_diagonal_wide(height, width, steps):
    assert boundary_width(height, width) == boundary_width(width, height) == steps


def test_a_shift_costs_more_than_it_costs_the_iou():
    # 100 x 100 px image, 3 px: bands of 40 x 40 - 34 x 34 = 444 px, one of them moved by a column.
    # They share 3 rows of 39 px above and below, and 2 columns of 34 px left and right.
    a, b = box(100, 100, (10, 50), (10, 50)), box(100, 100, (10, 50), (11, 51))
    both = 2 * 3 * 39 + 2 * 2 * 34
    assert boundary_iou(rle(a), rle(b), None) == pytest.approx(both / (2 * 444 - both), abs=1e-12)


def test_a_thin_mask_is_all_band():
    a, b = box(100, 100, (0, 5), (0, 60)), box(100, 100, (0, 5), (0, 30))
    assert boundary_iou(rle(a), rle(b), None) == 0.5


def test_both_empty_is_1_and_one_empty_is_0():
    nothing, something = rle(np.zeros((9, 9))), rle(box(9, 9, (2, 4), (3, 7)))
    for empty in (None, nothing):
        assert boundary_iou(empty, empty, None) == 1
        assert boundary_iou(None, empty, something) == 1
        assert boundary_iou(something, empty, None) == 0
        assert boundary_iou(empty, something, None) == 0


def test_ignored_pixels_are_left_out_of_both_bands():
    a, b = box(20, 20, (2, 12), (2, 12)), box(20, 20, (2, 12), (2, 10))
    right = box(20, 20, (0, 20), (7, 20))
    assert boundary_iou(rle(a), rle(b), rle(right)) == 1
    assert boundary_iou(rle(a), rle(b), rle(~right)) == 6 / (18 + 14 - 6)
    assert boundary_iou(rle(a), rle(b), rle(a)) == 1


def test_masks_of_different_images_are_refused():
    with pytest.raises(ValueError, match="one size"):
        boundary_iou(rle(np.ones((2, 3))), rle(np.ones((3, 2))), None)


def test_runs_longer_than_the_image_are_refused():
    longer = coco_mask.frPyObjects({"size": [2, 3], "counts": [2, 9]}, 2, 3)
    with pytest.raises(ValueError, match="runs of 11 px in an image of 2 x 3 px"):
        agreement([Masks([longer], [], [])])


def slow_band(mask, steps):
    square = np.ones((3, 3), bool)
    return mask & ~ndimage.binary_erosion(mask, square, iterations=steps, border_value=0)


@pytest.mark.parametrize("seed", range(12))
def test_equals_whole_masks_worn_down_step_by_step(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(60, 240, 2)
    noise = [ndimage.gaussian_filter(rng.standard_normal(size), 6) for _ in range(3)]
    window = box(*size, *np.sort(rng.integers(0, size.min(), (2, 2))).tolist())
    a, b = noise[0] > 0, (noise[0] + noise[1] / 4 > 0) & (window if seed % 2 else True)
    a &= window if seed % 3 else True
    ignored = noise[2] > 0.05 if seed % 4 else np.zeros(size, bool)
    steps = max(1, round(0.02 * np.hypot(*size)))
    bands = [slow_band(mask, steps) & ~ignored for mask in (a, b)]
    expected = (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()
    found = boundary_iou(rle(a), rle(b), rle(ignored) if seed % 4 else None)
    assert found == pytest.approx(expected, abs=1e-12)


def random_masks(rng, size, count):
    """Boxes with holes that may overlap, one of them over whole columns."""
    masks = np.zeros((count, *size), bool)
    for number, mask in enumerate(masks):
        top, bottom = np.sort(rng.integers(0, size[0] + 1, 2)) if number else (0, size[0])
        left, right = np.sort(rng.integers(0, size[1] + 1, 2))
        mask[top:bottom, left:right] = True
    return masks & (rng.random(masks.shape) < 0.98)


def slow_agreement(predicted, truth, ignored, size):
    unions = [masks.any(axis=0) for masks in (predicted, truth, ignored)]
    window = 2 * boundary_width(*size) + 1
    bands = [
        mask & ~ndimage.minimum_filter(mask, window, mode="constant", cval=0) for mask in unions[:2]
    ]
    pairs = [[mask & ~unions[2] for mask in of] for of in (unions[:2], bands)]
    return [n for a, b in pairs for n in (a.sum(), b.sum(), (a & b).sum())]


# a word holds 64 rows; the band of the last is wider than that, in all but a few columns
@pytest.mark.parametrize("size", [(1, 1), (63, 30), (64, 30), (65, 200), (128, 90), (150, 3400)])
@pytest.mark.parametrize("overlap", [True, False])
def test_many_images_at_once_equal_whole_masks(size, overlap, monkeypatch):
    monkeypatch.setattr(boundaries, "TOGETHER", 2 * (size[0] // 64 + 1) * size[1])  # two images
    rng = np.random.default_rng(size[0])
    images, expected = [Masks([], [], [])], [[0] * 6]
    for counts in ((3, 3, 1), (2, 2, 0), (0, 3, 0), (4, 0, 2), (0, 0, 1)):
        kinds = [random_masks(rng, size, count) for count in counts]
        if not overlap:
            kinds = [masks & (masks.cumsum(axis=0) == 1) for masks in kinds]
        images.append(Masks(*([rle(mask) for mask in masks] for masks in kinds)))
        expected.append(slow_agreement(*kinds, size))
    other = box(20, 30, (2, 9), (3, 12))
    images.insert(2, Masks([rle(other)], [rle(other)], []))
    expected.insert(2, [63, 63, 63, *[63 - 5 * 7] * 3])
    np.testing.assert_array_equal(np.transpose(agreement(images)), expected)


def test_runs_that_a_program_leaves_in_parts_are_one():
    # rows 2 to 6 of the only column, written as 2 + 0 + 3 px
    parts = coco_mask.frPyObjects({"size": [9, 1], "counts": [2, 2, 0, 3, 2]}, 9, 1)
    whole = rle(box(9, 1, (2, 7), (0, 1)))
    assert [one[0] for one in agreement([Masks([parts], [whole], [])])] == [5] * 6
