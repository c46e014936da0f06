import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.scoring.detection_choice import choose_detections
from tests.plain_rescore import params

# A parent over two parts, and something apart, in image a; the parent again, alone, in image b.
SPANS = [(0, 10), (0, 6), (6, 10), (15, 19), (0, 10)]
NAMES = np.array(["a", "a", "a", "a", "b"])
PARENTS = np.array([-1, 0, 0, -1, -1])


def choose(scores, selection, parts=(), **changes):
    masks = np.zeros((1, 20, len(SPANS)), np.uint8, order="F")
    for number, (start, stop) in enumerate(SPANS):
        masks[0, start:stop, number] = 1
    rles = coco_mask.encode(masks)
    boxes = coco_mask.toBbox(rles).astype(int)
    section = params(selection=selection, **changes)
    part = np.isin(np.arange(len(SPANS)), parts)
    return choose_detections(NAMES, rles, boxes, PARENTS, part, np.array(scores), section).tolist()


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("none", [0, 1, 2, 3, 4]), ("nms", [0, 2, 3, 4]), ("tree", [0, 3, 4])],
)
def test_each_selection_by_hand(selection, expected):
    # suppression: the first part has IoU 0.6 with its parent, the second 0.4
    assert choose([0.95, 0.7, 0.65, 0.6, 0.9], selection) == expected


def test_parts_that_are_better_than_the_whole_replace_it():
    assert choose([0.6, 0.9, 0.8, 0.7, 0.5], "tree") == [1, 2, 3, 4]
    assert choose([0.6, 0.9, 0.8, 0.7, 0.5], "nms") == [1, 2, 3, 4]


def test_the_tree_is_made_of_nested_candidates_alone():
    assert choose([0.6, 0.9, 0.8, 0.7, 0.5], "tree", parts=[1, 2]) == [3, 0, 4]
    assert choose([0.6, 0.9, 0.8, 0.7, 0.5], "tree", parts=[2]) == [1, 3, 4]
    assert choose([0.6, 0.9, 0.8, 0.7, 0.5], "nms", parts=[1, 2]) == [1, 2, 3, 4]


def test_the_iou_of_suppression_is_passed_on():
    assert choose([0.95, 0.7, 0.65, 0.6, 0.9], "nms", nms_iou=0.3) == [0, 3, 4]
    assert choose([0.95, 0.7, 0.65, 0.6, 0.9], "nms", nms_iou=0.7) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("selection", ["none", "nms", "tree"])
def test_a_least_score_drops_what_is_below_it(selection):
    assert choose([0.2, 0.8, 0.3, 0.1, 0.3], selection, min_score=0.3) == [1, 2, 4]


def test_a_candidate_of_low_score_is_worth_nothing_to_the_tree():
    # above a cost of one half two parts of 0.58 are together worth more than one whole of 0.65
    assert choose([0.65, 0.58, 0.58, 0.1, 0.1], "tree", min_score=0.5) == [1, 2]
    assert choose([0.65, 0.58, 0.58, 0.1, 0.1], "tree", min_score=0.6) == [0]


def test_a_least_score_above_all_leaves_nothing():
    for selection in ("none", "nms", "tree"):
        assert choose([0.5] * 5, selection, min_score=0.9) == []


def test_what_is_left_comes_by_image_and_falling_score():
    assert choose([0.6, 0.9, 0.8, 0.95, 0.5], "tree") == [3, 1, 2, 4]
