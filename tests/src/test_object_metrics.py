import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.coco_evaluation import Matches
from src.object_metrics import dice, f1_score, precision, recall, score_images, score_together


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def row(*pixels):
    return rle([[int(place in pixels) for place in range(10)]])


def matches(*rows):
    """Rows of (detection, image_id, tp, ignored, truth_id)."""
    columns = zip(*rows, strict=True) if rows else [()] * 5
    detection, image, tp, ignored, truth = (np.array(list(c)) for c in columns)
    blank = np.zeros(len(rows))
    return Matches(detection, image, blank, tp.astype(bool), ignored.astype(bool), truth, blank)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    p, r = precision(tp=6, fp=2), recall(tp=6, fn=4)
    assert (p, r) == (0.75, 0.6)
    assert f1_score(tp=6, fp=2, fn=4) == pytest.approx(2 * p * r / (p + r))


def test_f1_of_nothing_found_where_nothing_is_is_1():
    assert f1_score(tp=0, fp=0, fn=0) == 1


def test_f1_without_a_match_is_0():
    assert f1_score(tp=0, fp=1, fn=0) == 0
    assert f1_score(tp=0, fp=0, fn=1) == 0


def test_precision_without_detections_and_recall_without_objects_are_undefined():
    assert precision(tp=0, fp=0) is None
    assert recall(tp=0, fn=0) is None


def test_dice_compares_the_unions():
    predicted, truth = [row(0, 1), row(1, 2)], [row(2, 3), row(3)]
    assert dice(predicted, truth, []) == 2 * 1 / (3 + 2)


def test_dice_of_two_empty_images_is_1_and_of_one_is_0():
    assert dice([], [], []) == 1
    assert dice([row()], [], []) == 1
    assert dice([row(3)], [], []) == 0
    assert dice([], [row(3)], []) == 0


def test_dice_leaves_ignored_pixels_out_of_both():
    assert dice([row(0, 1, 2)], [row(2, 3)], [row(1), row(3)]) == 2 * 1 / (2 + 1)
    assert dice([row(5)], [row(6)], [row(5, 6)]) == 1


@pytest.mark.parametrize("seed", range(10))
def test_dice_equals_that_of_decoded_masks(seed):
    rng = np.random.default_rng(seed)
    masks = [rng.random((rng.integers(0, 4), 17, 23)) < 0.2 for _ in range(3)]
    predicted, truth, ignored = (stack.any(axis=0) for stack in masks)
    a, b = predicted & ~ignored, truth & ~ignored
    expected = 2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else 1
    assert dice(*([rle(mask) for mask in stack] for stack in masks)) == pytest.approx(expected)


def test_masks_of_different_images_are_refused():
    with pytest.raises(ValueError, match="one size"):
        dice([row(1)], [rle(np.ones((2, 2)))], [])


def test_images_are_scored_one_by_one():
    images = [{"id": 2, "name": "b"}, {"id": 1, "name": "a"}]
    truth = [
        {"id": 1, "image_id": 1, "iscrowd": 0, "segmentation": row(0, 1)},
        {"id": 2, "image_id": 1, "iscrowd": 0, "segmentation": row(4, 5)},
        {"id": 3, "image_id": 1, "iscrowd": 1, "segmentation": row(8, 9)},
    ]
    predictions = [{"segmentation": row(*p)} for p in ((0, 1), (3,), (8,), (7,), (6,))]
    judged = matches((0, 1, 1, 0, 1), (1, 1, 0, 0, -1), (2, 1, 0, 1, 3), (3, 2, 0, 0, -1))
    first, second = score_images(images, truth, predictions, judged)
    assert (first["name"], second["name"]) == ("a", "b")
    assert [first[k] for k in ("objects", "detections", "tp", "fp", "fn")] == [2, 2, 1, 1, 1]
    assert first["f1_50"] == 0.5
    assert first["dice"] == 2 * 2 / (3 + 4)  # the unjudged prediction and the crowd are left out
    assert [second[k] for k in ("objects", "detections", "tp", "fp", "fn")] == [0, 1, 0, 1, 0]
    assert (second["f1_50"], second["dice"]) == (0, 0)


def test_an_image_with_nothing_in_it_is_right():
    (scored,) = score_images([{"id": 1, "name": "a"}], [], [], matches())
    assert (scored["f1_50"], scored["dice"], scored["objects"], scored["detections"]) == (
        1,
        1,
        0,
        0,
    )


def test_objects_are_summed_before_dividing_and_the_dice_is_averaged():
    rows = [{"tp": 3, "fp": 0, "fn": 0, "dice": 1.0}, {"tp": 0, "fp": 1, "fn": 2, "dice": 0.25}]
    assert score_together(rows) == {
        "f1_50": 6 / 9,
        "precision_50": 0.75,
        "recall_50": 0.6,
        "dice_mean": 0.625,
        "images": 2,
        "objects": 5,
        "detections": 4,
    }


def test_no_image_has_no_score():
    with pytest.raises(ValueError, match="no image"):
        score_together([])
