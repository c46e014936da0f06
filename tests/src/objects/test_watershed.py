import heapq

import cv2
import numpy as np
import pytest
from skimage.segmentation import watershed

from src.base.errors import InputError
from src.objects.objects import connected_labels
from src.objects.watershed import seed_map, watershed_labels

PLAIN = {"seed_threshold": 0.5, "seed_area": 1, "connectivity": 4}


def parted(heights, region=None, **changes):
    heights = np.array(heights, np.uint8)
    region = np.ones(heights.shape, bool) if region is None else np.array(region, bool)
    labels = watershed_labels(region, heights, **PLAIN | changes)
    assert labels.dtype == np.int32
    return labels


def test_seed_maps_by_hand():
    maps = {
        "mask": np.array([[255, 200, 255, 0]], np.uint8),
        "border": np.array([[0, 51, 255, 0]], np.uint8),
        "contact": np.array([[255, 0, 128, 7]], np.uint8),
        "boundary_distance": np.array([[1, 2, 3, 4]], np.uint8),
    }
    assert seed_map(maps, "mask").tolist() == [[255, 200, 255, 0]]
    assert seed_map(maps, "border").tolist() == [[255, 160, 0, 0]]  # 200 * 0.8
    assert seed_map(maps, "contact").tolist() == [[0, 200, 127, 0]]
    near = {"mask": np.full((1, 2), 200, np.uint8), "border": np.array([[7, 52]], np.uint8)}
    assert seed_map(near, "border").tolist() == [[195, 159]]  # of 194.5098 and 159.2
    assert seed_map(maps, "distance").tolist() == [[1, 2, 3, 4]]
    assert seed_map(maps, "border").dtype == np.uint8


def test_a_head_that_no_network_has_is_named():
    with pytest.raises(InputError, match="postprocess.seeds distance needs the head boundary_dist"):
        seed_map({"mask": np.zeros((1, 1), np.uint8)}, "distance")


def test_unknown_seeds_are_refused():
    with pytest.raises(ValueError, match="'edge' are unknown; known: mask, border, contact"):
        seed_map({"mask": np.zeros((1, 1), np.uint8)}, "edge")


def test_two_hills_meet_in_the_valley_between_them():
    # The flood that comes down from the higher side takes the lowest pixel.
    assert parted([[200, 210, 90, 40, 60, 200]]).tolist() == [[1, 1, 1, 1, 2, 2]]
    assert parted([[200, 210, 60, 40, 90, 200]]).tolist() == [[1, 1, 1, 2, 2, 2]]


def test_the_seed_threshold_itself_is_a_seed_and_so_joins_hills():
    assert parted([[200, 128, 200]], seed_threshold=128 / 255).max() == 1
    assert parted([[200, 127, 200]], seed_threshold=128 / 255).max() == 2


def discs(gap):
    """Two discs of radius 8 that touch, as mask and contact map."""
    y, x = np.mgrid[:21, :37]
    mask = ((y - 10) ** 2 + (x - 10) ** 2 <= 64) | ((y - 10) ** 2 + (x - 26) ** 2 <= 64)
    contact = mask & (abs(x - 18) <= gap)
    return {"mask": 255 * mask.astype(np.uint8), "contact": 255 * contact.astype(np.uint8)}, x


def test_two_discs_that_touch_are_parted_by_a_contact_map():
    maps, x = discs(gap=1)
    region = maps["mask"] > 0
    assert connected_labels(region, 4).max() == 1
    assert watershed_labels(region, seed_map(maps, "mask"), **PLAIN).max() == 1
    labels = watershed_labels(region, seed_map(maps, "contact"), **PLAIN)
    np.testing.assert_array_equal(labels > 0, region)
    assert (labels[region & (x < 18)] == 1).all()
    assert (labels[region & (x > 18)] == 2).all()


def test_a_region_without_a_seed_stays_an_object():
    heights = [[200, 200, 0, 20, 20, 0, 30], [200, 10, 0, 20, 0, 30, 0]]
    region = np.array(heights) > 0
    labels = parted(heights, region)
    assert labels.tolist() == [[1, 1, 0, 2, 2, 0, 3], [1, 1, 0, 2, 0, 4, 0]]
    labels = parted(heights, region, connectivity=8)
    assert labels.tolist() == [[1, 1, 0, 2, 2, 0, 2], [1, 1, 0, 2, 0, 2, 0]]


def test_small_seeds_are_dropped_and_their_pixels_flooded():
    heights = [[200, 200, 90, 200, 90]]
    assert parted(heights).max() == 2
    assert parted(heights, seed_area=2).tolist() == [[1, 1, 1, 1, 1]]
    assert parted(heights, seed_area=3).tolist() == [[1, 1, 1, 1, 1]]  # of no seed, one region


def test_seeds_count_inside_the_region_alone():
    heights = [[200, 200, 200, 200]]
    assert parted(heights, [[1, 0, 0, 1]], seed_area=2).tolist() == [[1, 0, 0, 2]]
    assert not parted(heights, [[0, 0, 0, 0]]).any()


def test_flat_ground_between_two_seeds_is_shared():
    labels = parted([[200, 90, 90, 90, 90, 200]])
    assert labels.tolist() == [[1, 1, 1, 2, 2, 2]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 4)])
@pytest.mark.parametrize("height", [0, 255])
def test_an_even_map_is_one_object(shape, height):
    assert (parted(np.full(shape, height)) == 1).all()
    assert not parted(np.full(shape, height), np.zeros(shape)).any()


def flooded(region, heights, seeds, steps):
    """Highest ground first, each pixel to the label it is reached from."""
    labels = np.where(region, seeds, 0)
    heap = [(-int(heights[place]), place) for place in zip(*np.nonzero(labels), strict=True)]
    heapq.heapify(heap)
    while heap:
        _, (y, x) = heapq.heappop(heap)
        for dy, dx in steps:
            place = y + dy, x + dx
            inside = 0 <= place[0] < region.shape[0] and 0 <= place[1] < region.shape[1]
            if inside and region[place] and not labels[place]:
                labels[place] = labels[y, x]
                heapq.heappush(heap, (-int(heights[place]), place))
    return labels


@pytest.mark.parametrize("connectivity", [4, 8])
def test_floods_are_those_of_a_queue_on_ground_without_equal_heights(connectivity):
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if connectivity == 8 else []
    random = np.random.default_rng(0)
    for _ in range(10):
        heights = random.permutation(256).astype(np.uint8).reshape(16, 16)
        region = random.random((16, 16)) < 0.8
        seeds = connected_labels(region & (heights >= 0.9 * 255), connectivity)
        expected = flooded(region, heights, seeds, steps)
        labels = watershed_labels(
            region, heights, seed_threshold=0.9, seed_area=1, connectivity=connectivity
        )
        reached = expected > 0
        np.testing.assert_array_equal(labels[reached], expected[reached])
        assert set(labels[region & ~reached]).isdisjoint(expected[reached])
        np.testing.assert_array_equal(labels > 0, region)


@pytest.mark.parametrize("seed", range(6))
def test_where_no_two_seeds_meet_a_region_is_what_a_flood_makes_of_it(seed):
    rng = np.random.default_rng(seed)
    region = cv2.GaussianBlur(rng.random((40, 50)), (0, 0), 2) > 0.52
    parts = connected_labels(region, 4)
    first = np.unique(parts, return_index=True)[1][1:]  # a pixel of each part
    heights = rng.integers(0, 120, region.shape, np.uint8)
    heights.ravel()[first[rng.random(len(first)) < 0.7]] = 255
    found = parted(heights, region)
    seeds = connected_labels(heights == 255, 4)
    flooded = watershed(255 - heights, seeds, mask=region)
    assert 1 < flooded.max() < parts.max()
    np.testing.assert_array_equal(found[flooded > 0], flooded[flooded > 0])
    np.testing.assert_array_equal(found > 0, region)
    assert len(np.unique(found)) == parts.max() + 1
