"""The matching against COCOeval itself and against its rule in the plainest words."""

import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from src.matching import matching
from src.matching.matching import (
    Overlaps,
    largest_shares,
    mask_areas,
    match_regions,
    overlaps_of_images,
    region_overlaps,
    reordered,
)

THRESHOLDS = np.linspace(0.5, 0.95, 10)


def table(overlaps):
    """All pairs, those without a pixel in common too, (D, G)."""
    full = np.zeros((overlaps.detections, overlaps.regions))
    full[overlaps.detection, overlaps.region] = overlaps.share
    return full


def pairs(rows):
    full = np.array(rows, float)
    return Overlaps(*np.nonzero(full), full[np.nonzero(full)], *full.shape)


def bar(start, stop, width=24):
    """Return the RLE of columns start to stop of a map one row high."""
    mask = np.zeros((1, width), np.uint8, order="F")
    mask[0, start:stop] = 1
    rle = coco_mask.encode(mask)
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def draw(seed, detections, regions):
    """Bars of few lengths and scores: equal overlaps, overlaps of exactly 1/2 and 1, crowds.

    Some regions are of an area that is not judged, which COCO ignores as it does crowds, but for
    the number of detections they take.
    """
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 16, detections + regions)
    bars = [bar(a, a + n) for a, n in zip(starts, rng.integers(1, 7, starts.size), strict=True)]
    crowd = rng.random(regions) < 0.15
    ignored = crowd | (rng.random(regions) < 0.2)
    scores = rng.integers(0, 4, detections) / 4
    return bars[:detections], scores, bars[detections:], crowd, ignored


def coco_matches(detections, scores, regions, crowd, ignored):
    """Return region and ignored of each detection, best first, by pycocotools."""
    common = {"image_id": 1, "category_id": 1}
    truth = [
        {"id": n, "segmentation": rle, "iscrowd": int(c), "area": 50 if i else 5} | common
        for n, (rle, c, i) in enumerate(zip(regions, crowd, ignored, strict=True), start=1)
    ]
    found = [
        {"id": n, "segmentation": rle, "iscrowd": 0, "area": 5, "score": score} | common
        for n, (rle, score) in enumerate(zip(detections, scores, strict=True), start=1)
    ]
    indexes = []
    for records in (truth, found):
        coco = COCO()
        images = [{"id": 1, "height": 1, "width": 24}]
        coco.dataset = {"images": images, "annotations": records, "categories": [{"id": 1}]}
        coco.createIndex()
        indexes.append(coco)
    evaluator = COCOeval(*indexes, "segm")
    evaluator.params.maxDets, evaluator.params.areaRng = [1000], [[0, 10]]
    evaluator.evaluate()
    (entry,) = evaluator.evalImgs
    return entry["dtMatches"].astype(int) - 1, entry["dtIgnore"].astype(bool)


def plain_match(overlaps, crowd, ignored, threshold):
    """The best free region that counts, the last of equal ones; else such an ignored one."""
    taken, matches = set(), []
    for row in overlaps:
        choice = -1
        for kind in (False, True):
            free = [
                region
                for region in np.flatnonzero(ignored == kind)
                if row[region] >= threshold and (crowd[region] or region not in taken)
            ]
            if choice < 0 and free:
                choice = max(free, key=lambda region: (row[region], region))
        taken.add(choice)
        matches.append(int(choice))
    return matches


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("detections", "regions"), [(12, 8), (150, 130), (1, 4)])
def test_matches_are_those_of_coco_and_of_its_rule_in_plain_words(seed, detections, regions):
    found, scores, truth, crowd, ignored = draw(seed, detections, regions)
    order = np.argsort(-scores, kind="stable")
    overlaps = region_overlaps([found[place] for place in order], truth, crowd)
    matched = match_regions(overlaps, crowd, THRESHOLDS, ignored)
    expected, left_out = coco_matches(found, scores, truth, crowd, ignored)
    np.testing.assert_array_equal(matched.region, expected)
    np.testing.assert_array_equal(matched.ignored, left_out)
    np.testing.assert_array_equal(matched.hit, (expected >= 0) & ~left_out)
    full = np.append(table(overlaps), np.zeros((detections, 1)), axis=1)  # read by region -1
    np.testing.assert_array_equal(matched.share, full[np.arange(detections), matched.region])
    for row, threshold in zip(matched.region, THRESHOLDS, strict=True):
        assert row.tolist() == plain_match(table(overlaps), crowd, ignored, threshold)


def test_the_scenes_hold_what_is_hard():
    shared, halves, ties = 0, 0, 0
    for seed in range(30):
        found, scores, truth, crowd, ignored = draw(seed, 12, 8)
        overlaps = region_overlaps(found, truth, crowd)
        region = match_regions(overlaps, crowd, [0.5], ignored).region[0]
        shared += max(np.bincount(region[region >= 0], minlength=1)) > 1  # by a crowd
        halves += (overlaps.share == 0.5).any()
        rows = table(overlaps)
        ties += any(len(np.flatnonzero(row == row.max())) > 1 for row in rows if row.max() > 0)
    assert min(shared, halves, ties) > 5


@pytest.mark.parametrize(("detections", "regions"), [(0, 0), (0, 3), (3, 0)])
def test_without_detections_or_regions_nothing_is_matched(detections, regions):
    found, _, truth, crowd, _ = draw(0, detections, regions)
    overlaps = region_overlaps(found, truth, crowd)
    assert overlaps[3:] == (detections, regions)
    matched = match_regions(overlaps, crowd, THRESHOLDS)
    assert matched.region.tolist() == [[-1] * detections] * 10
    assert matched.hit.shape == matched.ignored.shape == (10, detections)
    assert not matched.hit.any()
    assert not matched.ignored.any()


def test_a_threshold_of_one_is_reached_by_what_is_one_but_for_rounding():
    for overlap, expected in ((1 - 1e-12, 0), (1 - 1e-8, -1)):
        assert match_regions(pairs([[overlap]]), [False], [1.0]).region.tolist() == [[expected]]


def test_crowds_alone_are_ignored_unless_more_is_said():
    overlaps = pairs([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    matched = match_regions(overlaps, [False, True], [0.5])
    assert matched.region.tolist() == [[0, 1, 1]]
    assert matched.ignored.tolist() == [[False, True, True]]


@pytest.mark.parametrize("width", [10, 30])
def test_masks_of_different_sizes_are_refused(width):
    with pytest.raises(ValueError, match=r"must have one size, got \[\(1, "):
        region_overlaps([bar(0, 4)], [bar(0, 4, width)], [False])


@pytest.mark.parametrize("strip", [1, 7, 1000])
def test_many_masks_are_compared_strip_by_strip_with_the_same_result(monkeypatch, strip):
    found, _, truth, crowd, _ = draw(1, 90, 70)
    expected = np.asarray(coco_mask.iou(found, truth, crowd.astype(np.uint8)))
    monkeypatch.setattr(matching, "TABLE", 0)
    monkeypatch.setattr(matching, "STRIP", strip)
    overlaps = region_overlaps(found, truth, crowd)
    np.testing.assert_array_equal(table(overlaps), expected)
    assert (np.diff(overlaps.detection * 1000 + overlaps.region) > 0).all()
    with pytest.raises(ValueError, match="must have one size"):
        region_overlaps([*found, bar(0, 4, 30)], truth, crowd)
    alone = [bar(0, 1)], [bar(3, 4)]
    assert region_overlaps(*alone, np.array([False])).share.tolist() == []


def test_the_largest_overlap_with_some_of_the_regions():
    overlaps = pairs([[0.2, 0.9, 0.4], [0.0, 0.0, 0.3], [0.0, 0.0, 0.0]])
    assert largest_shares(overlaps, np.array([True, False, True])).tolist() == [0.4, 0.3, 0]
    assert largest_shares(overlaps, np.zeros(3, bool)).tolist() == [0, 0, 0]


def test_detections_in_another_order():
    overlaps = pairs([[0.2, 0.9], [0.0, 0.3], [0.0, 0.0], [0.1, 0.0]])
    turned = reordered(overlaps, np.array([3, 2, 0, 1]))
    np.testing.assert_array_equal(table(turned), table(overlaps)[[3, 2, 0, 1]])
    assert (np.diff(turned.detection * 10 + turned.region) > 0).all()


def test_many_images_are_compared_each_by_itself():
    """Images 3 and 9 have both; of 5 there are detections alone, of 7 regions alone."""
    scenes = {image: draw(image, 6, 4) for image in (3, 5, 7, 9)}
    found = [bar for image in (3, 5, 9) for bar in scenes[image][0]]
    truth = [bar for image in (3, 7, 9) for bar in scenes[image][2]]
    crowd = np.concatenate([scenes[image][3] for image in (3, 7, 9)])
    images = np.repeat([3, 5, 9], 6), np.repeat([3, 7, 9], 4)
    overlaps = overlaps_of_images(found, truth, crowd, *images)
    expected = np.zeros((18, 12))
    for place, image in ((0, 3), (2, 9)):
        bars, _, regions, flags, _ = scenes[image]
        alone = region_overlaps(bars, regions, flags)
        expected[6 * place : 6 * place + 6, 4 * place : 4 * place + 4] = table(alone)
    np.testing.assert_array_equal(table(overlaps), expected)
    assert (np.diff(overlaps.detection * 100 + overlaps.region) > 0).all()
    assert len(overlaps.share) > 10
    nothing = overlaps_of_images([], truth, crowd, images[0][:0], images[1])
    assert (nothing.share.size, nothing.detections, nothing.regions) == (0, 0, 12)


@pytest.mark.parametrize("seed", range(5))
def test_matches_in_many_images_at_once_are_those_of_each(seed):
    scenes = [draw(10 * seed + number, 8, 5) for number in range(4)]
    parts, offset = [], 0
    for found, scores, truth, crowd, ignored in scenes:
        order = np.argsort(-scores, kind="stable")
        overlaps = region_overlaps([found[place] for place in order], truth, crowd)
        alone = match_regions(overlaps, crowd, THRESHOLDS, ignored).region
        parts.append((overlaps, crowd, ignored, np.where(alone < 0, -1, alone + offset)))
        offset += len(truth)
    together = Overlaps(
        np.concatenate([one[0].detection + 8 * n for n, one in enumerate(parts)]),
        np.concatenate([one[0].region + 5 * n for n, one in enumerate(parts)]),
        np.concatenate([one[0].share for one in parts]),
        32,
        20,
    )
    crowd, ignored = (np.concatenate([one[place] for one in parts]) for place in (1, 2))
    matched = match_regions(together, crowd, THRESHOLDS, ignored)
    expected = np.concatenate([one[3] for one in parts], axis=1)
    np.testing.assert_array_equal(matched.region, expected)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 700])
def test_areas_of_any_number_of_masks(count):
    lengths = np.arange(count) % 9
    areas = mask_areas([bar(3, 3 + length) for length in lengths])
    assert areas.dtype == np.int64
    assert areas.tolist() == lengths.tolist()


@pytest.mark.slow
def test_sixty_thousand_objects_of_one_image_are_compared_in_little_memory():
    """A table of them would take 27 GiB."""
    side = 245
    masks = [
        {"size": [4 * side, 4 * side], "counts": [first, 3]}
        for first in (16 * side * x + 4 * y for x in range(side) for y in range(side))
    ]
    for mask in masks:
        mask["counts"] += [16 * side * side - sum(mask["counts"])]
    rles = coco_mask.frPyObjects(masks, 4 * side, 4 * side)
    tracemalloc.start()
    overlaps = region_overlaps(rles, rles[::-1], np.zeros(len(rles), bool))
    matched = match_regions(overlaps, np.zeros(len(rles), bool), [0.5])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert matched.region[0].tolist() == list(range(len(rles)))[::-1]
    assert overlaps.share.tolist() == [1.0] * len(rles)
    assert peak < 600 << 20
