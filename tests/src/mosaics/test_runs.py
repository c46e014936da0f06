import numpy as np
import pytest

from src.mosaics.runs import (
    Area,
    clip_runs,
    count_pixels,
    join_runs,
    mask_runs,
    place_runs,
    rle_runs,
    runs_area,
    runs_mask,
    runs_rle,
    shared_pixels,
)
from src.objects.rle import decode, encode_instances


def drawn(seed: int, shape=(13, 9), share=0.5) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def test_runs_of_a_small_mask():
    mask = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 1]], bool)
    assert mask_runs(mask).tolist() == [[1, 5], [8, 9]]  # columns 011, 110, 001


@pytest.mark.parametrize("seed", range(20))
def test_compressed_run_lengths_read_and_written_as_pycocotools_does(seed):
    share = [0.02, 0.5, 0.98][seed % 3]
    mask = drawn(seed, (40, 70), share)
    [rle] = encode_instances(mask.astype(np.uint16)).rles
    assert np.array_equal(rle_runs(rle["counts"]), mask_runs(mask))
    assert runs_rle(mask_runs(mask), 40, 70) == rle


def test_no_pixels_and_all_pixels():
    assert rle_runs("").shape == (0, 2)
    assert count_pixels(mask_runs(np.zeros((3, 4), bool))) == 0
    full = mask_runs(np.ones((3, 4), bool))
    assert full.tolist() == [[0, 12]]
    assert runs_area(full, 3) == Area(0, 3, 0, 4)
    assert decode(runs_rle(full, 3, 4)).all()
    assert decode(runs_rle(mask_runs(np.zeros((3, 4), bool)), 3, 4)).sum() == 0


@pytest.mark.parametrize("seed", range(10))
def test_a_placed_object_is_the_mask_drawn_there(seed):
    scene = np.zeros((30, 40), bool)
    mask = drawn(seed, share=0.8)
    scene[5:18, 20:29] = mask
    runs = place_runs(mask_runs(mask), 13, 30, 5, 20)
    assert np.array_equal(runs, mask_runs(scene))
    rows, columns = np.nonzero(scene)
    area = Area(rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    assert runs_area(runs, 30) == area
    assert np.array_equal(
        runs_mask(runs, 30, area), scene[area.top : area.bottom, area.left : area.right]
    )


@pytest.mark.parametrize("seed", range(10))
def test_union_overlap_and_part_as_masks_have_them(seed):
    one, other = drawn(seed, share=0.3), drawn(seed + 100, share=0.7)
    runs, others = mask_runs(one), mask_runs(other)
    assert np.array_equal(join_runs([runs, others]), mask_runs(one | other))
    assert shared_pixels(runs, others) == (one & other).sum()
    inside = np.zeros_like(one)
    inside[3:9, 2:7] = one[3:9, 2:7]
    assert np.array_equal(clip_runs(runs, 13, Area(3, 9, 2, 7)), mask_runs(inside))


def test_a_scene_with_too_many_pixels_for_coco():
    with pytest.raises(ValueError, match="more than COCO's run lengths can hold"):
        runs_rle(np.array([[0, 5]]), 65_536, 65_536)
