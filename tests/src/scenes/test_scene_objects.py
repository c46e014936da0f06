import cv2
import numpy as np
import pandas as pd
import pytest

from src.mosaics.runs import Area, count_pixels, join_runs, mask_runs, runs_area, runs_mask
from src.objects.rle import encode_instances
from src.scenes.scene_objects import (
    Blocks,
    Found,
    SceneObject,
    block_view,
    find_in_block,
    merge_blocks,
)

HEIGHT, WIDTH = 400, 530
ONE = Blocks(1 << 20, 0)
NMS = 0.3


def find(maps, at=128):
    """Connected regions, scored by their mean."""
    labels = cv2.connectedComponents((maps["mask"] >= at).astype(np.uint8), connectivity=4)[1]
    encoded = encode_instances(labels.astype(np.uint16))
    sums = np.bincount(labels.ravel(), weights=maps["mask"].ravel())[encoded.labels]
    scores = sums / 255 / encoded.areas
    columns = {"counts": [rle["counts"] for rle in encoded.rles], "score": scores}
    return pd.DataFrame(columns | {"accepted": scores > 0.3})


def in_blocks(mask, blocks, find=find):
    height, width = mask.shape
    colour = np.stack([mask, 255 - mask, np.full_like(mask, 7)], axis=-1)

    def cut(values):
        return lambda area: values[area.top : area.bottom, area.left : area.right]

    def rows():
        for row in range(-(-height // blocks.core)):
            found = []
            for column in range(-(-width // blocks.core)):
                found += find_in_block(
                    (row, column),
                    height=height,
                    width=width,
                    blocks=blocks,
                    read_maps=lambda area: {"mask": cut(mask)(area)},
                    read_image=lambda area: (cut(colour)(area), None),
                    find=find,
                )
            yield found

    merged = merge_blocks(rows(), height, width, blocks, NMS)
    return [one for objects in merged for one in objects]


def as_set(objects):
    return sorted(one.runs.tobytes() for one in objects)


def blobs(seed, sigma=5.0, share=60):
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH))
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    limit = np.percentile(smooth, share)
    return np.clip(128 + 200 * (smooth - limit) / smooth.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("blocks", [Blocks(64, 32), Blocks(100, 20), Blocks(150, 75)])
@pytest.mark.parametrize("seed", range(4))
def test_the_same_objects_in_one_block_or_many(blocks, seed):
    mask = blobs(seed, sigma=[3.0, 5.0, 8.0, 12.0][seed])
    whole, parted = in_blocks(mask, ONE), in_blocks(mask, blocks)
    assert len(whole) > 5
    assert as_set(whole) == as_set(parted)
    known = {one.runs.tobytes(): one for one in whole}
    for one in parted:
        same = known[one.runs.tobytes()]
        area = runs_area(one.runs, HEIGHT)
        if max(area.bottom - area.top, area.right - area.left) <= blocks.halo:
            assert one.score == pytest.approx(same.score)
            assert one.colour == pytest.approx(same.colour)
        else:  # perhaps joined of parts that overlap
            assert one.score == pytest.approx(same.score, abs=0.1)


@pytest.mark.parametrize(
    "place",
    {
        "a seam": (30, 50, 96, 118),
        "a corner of four": (90, 110, 90, 110),
        "an edge of the view": (64, 68, 132, 150),
        "larger than a block": (5, 395, 210, 222),
        "all": (0, 400, 0, 530),
    }.items(),
    ids=lambda case: case[0],
)
def test_one_object_over_seams(place):
    top, bottom, left, right = place[1]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 200
    [found] = in_blocks(mask, Blocks(100, 32))
    assert np.array_equal(found.runs, mask_runs(mask > 0))
    assert found.score == pytest.approx(200 / 255)
    assert found.colour == (200, 55, 7)


def test_a_ring_larger_than_blocks_keeps_its_hole_and_what_is_in_it():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (265, 200), 150, 200, 9)
    mask[195:205, 260:270] = 150
    inner, ring = sorted(in_blocks(mask, Blocks(100, 32)), key=lambda one: len(one.runs))
    assert count_pixels(ring.runs) == (mask == 200).sum()
    assert count_pixels(inner.runs) == 100


def test_where_blocks_disagree_the_one_whose_core_has_most_of_it_decides():
    mask = np.zeros((100, 200), np.uint8)
    for left in (80, 96):
        mask[10:20, left : left + 12] = 200  # two houses that the left block takes for one
    mask[40:50, 95:115] = 200  # which the left block alone takes
    mask[60:70, 85:105] = 200  # likewise

    views = []

    def disagreeing(maps):
        views.append(maps["mask"].copy())
        if len(views) == 1:
            views[0][10:20, 80:108] = 200
        return find({"mask": views[-1]}).assign(accepted=len(views) == 1)

    found = in_blocks(mask, Blocks(100, 32), disagreeing)
    assert len(views) == 2
    areas = [runs_area(one.runs, 100) for one in found]
    assert areas == [Area(10, 20, 80, 108), Area(60, 70, 85, 105)]


def test_detections_of_one_block_stay_though_they_overlap():
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[110:130, 110:130] = True
    small = np.zeros_like(box)
    small[110:116, 110:120] = True
    blocks, both = Blocks(100, 32), []
    for mask, score in ((box, 0.9), (small, 0.8)):
        one = SceneObject(mask_runs(mask), score, (0.0, 0.0, 0.0))
        area = runs_area(one.runs, HEIGHT)
        both += [Found(one, area, block, False) for block in ((1, 0), (1, 1), (0, 1))]
    rows = [[found for found in both if found.block[0] == row] for row in range(4)]
    merged = [one for each in merge_blocks(rows, HEIGHT, WIDTH, blocks, NMS) for one in each]
    assert [one.score for one in merged] == [0.9, 0.8]


def test_objects_come_as_soon_as_no_later_block_can_see_them():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for row in (10, 60, 90, 210):
        mask[row : row + 12, 20:40] = 200
    mask[300:400, 500:510] = 200
    blocks = Blocks(100, 32)
    rows = []
    for row in range(4):
        view = block_view((row, 0), HEIGHT, WIDTH, blocks)
        assert view == Area(max(row * 100 - 32, 0), min(row * 100 + 132, 400), 0, 132)
        found = []
        for column in range(6):
            found += find_in_block(
                (row, column),
                height=HEIGHT,
                width=WIDTH,
                blocks=blocks,
                read_maps=lambda a: {"mask": mask[a.top : a.bottom, a.left : a.right]},
                read_image=lambda a: (np.zeros((a.bottom - a.top, a.right - a.left, 3)), None),
                find=find,
            )
        rows.append(found)
    merged = list(merge_blocks(rows, HEIGHT, WIDTH, blocks, NMS))
    tops = [[runs_area(one.runs, HEIGHT).top for one in objects] for objects in merged]
    assert tops == [[10], [60, 90], [210], [300]]


def test_nothing_found_and_nothing_there():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert in_blocks(mask, Blocks(100, 32), find=None) == []  # which is not called
    mask[10:20, 10:20] = 200
    none = pd.DataFrame({"counts": ["0"], "score": [0.1], "accepted": [False]})
    assert in_blocks(mask, Blocks(100, 32), find=lambda maps: none) == []
    assert list(merge_blocks([], 0, 0, Blocks(100, 32), NMS)) == []


def test_a_mask_is_never_larger_than_its_object():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[300:303, 500:504] = 200
    [one] = in_blocks(mask, Blocks(100, 32))
    area = runs_area(one.runs, HEIGHT)
    assert runs_mask(one.runs, HEIGHT, area).shape == (3, 4)
    assert np.array_equal(join_runs([one.runs, one.runs]), one.runs)
