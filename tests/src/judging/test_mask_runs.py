import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.judging.mask_runs import mask_runs, run_bits


def rle(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def slow_runs(masks):
    runs = []
    for number, mask in enumerate(masks):
        padded = np.pad(mask.ravel(order="F").astype(int), 1)
        starts, stops = (np.flatnonzero(np.diff(padded) == step) for step in (1, -1))
        runs += [(number, *run) for run in zip(starts.tolist(), stops.tolist(), strict=True)]
    return runs


def shown(runs):
    return list(zip(*(column.tolist() for column in runs), strict=True))


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 40), (5, 3000)])
def test_runs_are_those_of_the_pixels(size, text):
    rng = np.random.default_rng(size[1])
    masks = [np.zeros(size, bool), np.ones(size, bool)]  # a number of numbers odd and even
    for density in (0.02, 0.5, 0.98):
        masks += [rng.random(size) < density for _ in range(3)]
    rles = [rle(mask) for mask in masks]
    if text:
        rles = [one | {"counts": one["counts"].decode()} for one in rles]
    assert shown(mask_runs(rles)) == slow_runs(masks)
    assert shown(mask_runs(rles[::-1])) == slow_runs(masks[::-1])


def test_no_masks_have_no_runs():
    assert shown(mask_runs([])) == []
    assert shown(mask_runs([{"size": [0, 0], "counts": ""}])) == []


def test_lengths_of_many_digits_are_read():
    # 2^40 px outside, 2^33 inside, 1 outside, 2^33 + 3 inside
    values, text = [2**40, 2**33, 1, 3], ""  # the fourth as the difference to the second
    for value in values:
        while value >= 16:  # until the rest is the sign
            text += chr(48 + (value & 31 | 32))
            value >>= 5
        text += chr(48 + value)
    runs = mask_runs([{"size": [1 << 21, 1 << 21], "counts": text}])
    start = 2**40 + 2**33 + 1
    assert shown(runs) == [(0, 2**40, start - 1), (0, start, start + 2**33 + 3)]


def unpacked(bits, height):
    rows = bits[:, np.arange(height) // 64]  # (N, H, W)
    return (rows >> (np.arange(height) % 64).astype(np.uint64)[None, :, None]) & np.uint64(1)


@pytest.mark.parametrize("height", [1, 63, 64, 65, 130])
def test_a_bit_is_set_where_an_odd_number_of_masks_is(height):
    rng = np.random.default_rng(height)
    masks = rng.random((7, height, 9)) < [[[0.03]]] * 2 + [[[0.5]]] * 3 + [[[1.1]]] * 2
    of = np.array([0, 0, 0, 2, 2, 3, 3])
    mask, *runs = mask_runs([rle(one) for one in masks])
    bits = run_bits(of[mask], *runs, 4, (height, 9))
    assert bits.shape == (4, height // 64 + 1, 9)
    expected = [np.sum(masks[of == image], axis=0) % 2 for image in range(4)]
    np.testing.assert_array_equal(unpacked(bits, height), expected)
    beyond = np.bitwise_count(bits).sum(axis=(1, 2))
    np.testing.assert_array_equal(beyond, [one.sum() for one in expected])
    assert expected[0].any()
    assert not expected[1].any()
    assert not expected[3].any()  # two whole masks


def test_a_run_beyond_its_image_is_refused():
    one = np.array([0]), np.array([4]), np.array([13])
    with pytest.raises(ValueError, match="runs of 13 px in an image of 4 x 3 px"):
        run_bits(*one, 1, (4, 3))
