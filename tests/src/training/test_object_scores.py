import numpy as np
import pytest

from src.label_maps.labels import IGNORE
from src.training.object_scores import (
    MOST,
    THRESHOLDS,
    detection_accuracy,
    found_objects,
    precision_of,
    ranked_hits,
)


def crop(probability, instances):
    return found_objects(np.array(probability, np.float32), np.array(instances))


# A region of 4 px on an object of 5 (IoU 0.8), one of 1 px beside an object that is not found
HALF = crop(
    [[0.9, 0.9, 0.7, 0.7, 0.1, 0.6, 0.1, 0.1]],
    [[7, 7, 7, 7, 7, 0, 9, 9]],
)


def test_regions_are_ranked_by_mean_probability_and_paired_with_the_objects_they_share():
    assert HALF.scores.tolist() == pytest.approx([0.8, 0.6])
    assert HALF.share.tolist() == [0.8]
    assert (HALF.region.tolist(), HALF.objects) == ([0], 2)


def test_the_accuracy_of_detections_by_hand():
    """At 0.5 .. 0.8 one of two regions and of two objects is right: 1 / 3; above none is."""
    assert detection_accuracy(HALF) == pytest.approx(7 / 3 / len(THRESHOLDS))


def test_nothing_to_find_is_right_only_if_nothing_is_found():
    nothing, something = np.zeros((2, 2)), np.ones((2, 2))
    assert detection_accuracy(crop(nothing, nothing)) == 1
    assert detection_accuracy(crop(something, nothing)) == 0
    assert detection_accuracy(crop(nothing, something)) == 0
    assert detection_accuracy(crop(something, something)) == 1


def test_what_is_ignored_is_of_no_region_and_of_no_object():
    found = crop([[0.9, 0.9, 0.9, 0.9]], [[1, 1, IGNORE, IGNORE]])
    assert (found.share.tolist(), found.objects) == ([1.0], 1)
    everything = crop([[0.9, 0.9]], [[IGNORE, IGNORE]])
    assert detection_accuracy(everything) == 1


def test_two_halves_of_an_object_find_it_once():
    halves = crop([[0.8, 0.8, 0.1, 0.9, 0.9]], [[1, 1, 0, 1, 1]])
    assert halves.share.tolist() == [0.5, 0.5]
    assert ranked_hits(halves)[:2].tolist() == [[pytest.approx(0.9), 1], [pytest.approx(0.8), 0]]


def test_pixels_that_touch_at_a_corner_are_two_regions():
    assert len(crop([[0.9, 0.1], [0.1, 0.9]], [[1, 0], [0, 1]]).scores) == 2


def test_average_precision_ranks_the_regions_of_all_crops_together():
    """Right, wrong, right of three objects: precision 1 to recall 1/3, then 2/3 to 2/3."""
    other = crop([[0.7, 0.7, 0.1]], [[3, 3, 0]])
    ranked = np.stack([ranked_hits(HALF), ranked_hits(other)])
    assert ranked.shape == (2, MOST, 2)
    # scores 0.8 right, 0.7 right, 0.6 wrong; objects 2 + 1
    assert precision_of(ranked, 3) == pytest.approx(67 / 101)
    assert precision_of(ranked[::-1], 3) == precision_of(ranked, 3)
    assert precision_of(np.zeros((1, MOST, 2)), 3) == 0
    assert precision_of(np.zeros((1, MOST, 2)), 0) == 0


def test_the_best_of_too_many_regions_are_ranked():
    probability = np.zeros((2, 2 * MOST + 20), np.float32)
    probability[0, ::2] = np.linspace(0.6, 0.9, MOST + 10)
    ranked = ranked_hits(found_objects(probability, (probability > 0).astype(int)))
    assert ranked[0, 0] == pytest.approx(0.9)
    assert np.count_nonzero(ranked[:, 0]) == MOST


def test_it_is_what_coco_says():
    random = np.random.default_rng(0)
    for _ in range(20):
        instances = np.kron(random.integers(0, 4, (4, 4)), np.ones((4, 4), int))
        probability = random.random((16, 16)) ** 0.3 * (instances > 0)
        found = found_objects(probability.astype(np.float32), instances)
        slow = slow_accuracy(probability.astype(np.float32), instances)
        assert detection_accuracy(found) == pytest.approx(slow)


def slow_accuracy(probability, instances):
    """Flood fill, sets of pixels, and the IoU of every pair."""
    left = set(map(tuple, np.argwhere(probability > 0.5)))
    regions = []
    while left:
        region, front = set(), [left.pop()]
        while front:
            row, column = front.pop()
            region.add((row, column))
            for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                near = (row + down, column + right)
                if near in left:
                    left.remove(near)
                    front.append(near)
        regions.append(region)
    objects = [
        set(map(tuple, np.argwhere(instances == label)))
        for label in np.unique(instances[instances > 0])
    ]
    values = []
    for threshold in THRESHOLDS:
        right = sum(any(len(r & o) / len(r | o) >= threshold for r in regions) for o in objects)
        values.append(right / (len(regions) + len(objects) - right))
    return np.mean(values)
