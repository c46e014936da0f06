"""Scenes small enough to be judged by hand, and every measure of each of them.

A box is (top, left, height, width) in px. Images are 20 x 20 unless said, so the band of boundary
IoU is 1 px wide (2 % of the diagonal of 28.3 px is 0.6 px, and it is at least 1). The band of a
box of h x w then has 2 (h + w) - 4 px. `ap` and `ar` are means over the ten thresholds 0.5 .. 0.95,
`ap` of precision at the 101 recalls 0, 0.01 .. 1: an object found out of two gives 51 / 101.
"""

from typing import NamedTuple

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.judging.coco_evaluation import evaluate_detections
from src.judging.object_metrics import score_images, score_together

KEYS = ("ap50", "ar50", "ap75", "ap", "ar", "f1_50", "precision_50", "recall_50")
KEYS += ("f1_histogram_50", "dice_mean", "iou_mean", "boundary_iou_mean", "detection_accuracy")
KEYS += ("detection_accuracy_50", "detection_accuracy_75", "pq", "sq", "rq")

# Everything is found. With neither objects nor detections, ratios of none of them are undefined.
PERFECT = dict.fromkeys(KEYS, 1)
UNDEFINED = dict.fromkeys(["ap50", "ar50", "ap75", "ap", "ar", "precision_50", "recall_50"])
NOTHING = PERFECT | UNDEFINED | dict.fromkeys(["pq", "sq", "rq"])
# There are objects and detections, and no match.
WRONG = dict.fromkeys(KEYS, 0) | {"sq": None}


class Case(NamedTuple):
    name: str
    expected: dict
    truth: list = []  # boxes, or (box, category)
    found: list = []  # (box, score), best first, or (box, score, category)
    crowd: list = []  # boxes
    size: tuple = (20, 20)
    images: int = 1  # all but the first are empty


def at(iou_steps, *, precision=1, recall=1):
    """COCO's metrics where some of the ten thresholds are met; precision: mean at 101 recalls."""
    met = iou_steps / 10
    return {
        "ap50": precision,
        "ar50": recall,
        "ap75": precision if iou_steps >= 6 else 0,
        "ap": precision * met,
        "ar": recall * met,
    }


def counted(tp, fp, fn, iou_steps=10):
    """F1 and accuracy of one image with these counts at some thresholds, with no match beyond."""
    f1, accuracy = 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)
    return {
        "f1_50": f1,
        "f1_histogram_50": f1,
        "precision_50": tp / (tp + fp),
        "recall_50": tp / (tp + fn),
        "detection_accuracy": accuracy * iou_steps / 10,
        "detection_accuracy_50": accuracy,
        "detection_accuracy_75": accuracy if iou_steps >= 6 else 0,
    }


def pixels(both, truth, found):
    """Dice and IoU of the unions from their areas."""
    return {"dice_mean": 2 * both / (truth + found), "iou_mean": both / (truth + found - both)}


def panoptic(sum_iou, tp, fp, fn):
    return {
        "pq": sum_iou / (tp + fp / 2 + fn / 2),
        "sq": sum_iou / tp if tp else None,
        "rq": 2 * tp / (2 * tp + fp + fn),
    }


def band(both, truth, found):
    return {"boundary_iou_mean": both / (truth + found - both)}


A = (2, 2, 10, 10)  # 100 px, a band of 36 px
LEFT, RIGHT = (2, 2, 10, 5), (2, 7, 10, 5)  # its halves, with bands of 26 px
B = (14, 14, 5, 5)  # 25 px, a band of 16 px
GRID = [(2 * (i // 14), 2 * (i % 14), 1, 1) for i in range(101)]  # separate pixels of 30 x 30
RING = np.zeros((20, 20), bool)  # A with a hole of 4 x 4 px in its middle: 84 px
RING[2:12, 2:12] = True
RING[5:9, 5:9] = False

CASES = [
    Case("an empty image in which nothing is found", NOTHING),
    Case(
        "an object, nothing found",
        WRONG | {"precision_50": None},
        truth=[A],
    ),
    Case(
        "a detection where nothing is",
        WRONG | UNDEFINED | {"precision_50": 0},
        found=[(A, 0.5)],
    ),
    Case("an exact match", PERFECT, truth=[A], found=[(A, 0.5)]),
    Case("a score of zero is a detection", PERFECT, truth=[A], found=[(A, 0)]),
    Case(
        "IoU exactly 0.5",
        # 50 of 100 px: COCO matches at the first threshold only, panoptic quality does not.
        # The bands share the ends of the half (5 + 5) and the 8 px between them on the left.
        at(1)
        | counted(1, 0, 0, iou_steps=1)
        | pixels(50, 100, 50)
        | band(18, 36, 26)
        | panoptic(0, 0, 1, 1),
        truth=[A],
        found=[(LEFT, 0.5)],
    ),
    Case(
        "IoU just below 0.5",
        # 50 of 110 px; the bands share 5 px at the top, 8 + 1 px on the left and 0 px at the
        # bottom, where the object goes on for one row
        WRONG | pixels(50, 110, 50) | band(14, 38, 26),
        truth=[(2, 2, 11, 10)],
        found=[(LEFT, 0.5)],
    ),
    Case(
        "IoU exactly 0.6",
        # the third threshold; bands share 6 + 6 + 8 px, that of 10 x 6 has 28
        at(3)
        | counted(1, 0, 0, iou_steps=3)
        | pixels(60, 100, 60)
        | band(20, 36, 28)
        | panoptic(0.6, 1, 0, 0),
        truth=[A],
        found=[((2, 2, 10, 6), 0.5)],
    ),
    Case(
        "an object found one pixel off",
        # 90 of 110 px are 0.818: seven thresholds. The bands share 9 px above and 9 below.
        at(7)
        | counted(1, 0, 0, iou_steps=7)
        | pixels(90, 100, 100)
        | band(18, 36, 36)
        | panoptic(9 / 11, 1, 0, 0),
        truth=[A],
        found=[((2, 3, 10, 10), 0.5)],
    ),
    Case("a one-pixel object", PERFECT, truth=[(5, 5, 1, 1)], found=[((5, 5, 1, 1), 0.5)]),
    Case(
        "a one-pixel object found one pixel off",
        WRONG,
        truth=[(5, 5, 1, 1)],
        found=[((5, 6, 1, 1), 0.5)],
    ),
    Case(
        "two touching halves merged by one detection",
        # IoU 0.5 with both: one is found at the first threshold; the unions are the same
        PERFECT
        | at(1, precision=51 / 101, recall=0.5)
        | counted(1, 0, 1, iou_steps=1)
        | panoptic(0, 0, 1, 2),
        truth=[LEFT, RIGHT],
        found=[(A, 0.5)],
    ),
    Case(
        "a large and a small touching object merged",
        # IoU 0.8 with the large one: seven thresholds
        PERFECT
        | at(7, precision=51 / 101, recall=0.5)
        | counted(1, 0, 1, iou_steps=7)
        | panoptic(0.8, 1, 0, 1),
        truth=[(2, 2, 10, 8), (2, 10, 10, 2)],
        found=[(A, 0.5)],
    ),
    Case(
        "an object split into halves",
        # either half has IoU 0.5: the better scored is right, the other wrong
        PERFECT | at(1) | counted(1, 1, 0, iou_steps=1) | panoptic(0, 0, 2, 1),
        truth=[A],
        found=[(LEFT, 0.9), (RIGHT, 0.8)],
    ),
    Case(
        "an object split into 7 and 3 tenths",
        PERFECT | at(5) | counted(1, 1, 0, iou_steps=5) | panoptic(0.7, 1, 1, 0),
        truth=[A],
        found=[((2, 2, 10, 7), 0.9), ((2, 9, 10, 3), 0.8)],
    ),
    Case(
        "duplicate detections",
        PERFECT | counted(1, 1, 0) | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[(A, 0.9), (A, 0.8)],
    ),
    Case(
        "a duplicate that is worse and better scored",
        # up to 0.8 the worse one (0.8) takes the object; beyond it is wrong, and the exact one,
        # second of two, right: precision 1/2. One is always right and one wrong.
        PERFECT | {"ap": (7 + 3 * 0.5) / 10} | counted(1, 1, 0) | panoptic(0.8, 1, 1, 0),
        truth=[A],
        found=[((2, 2, 10, 8), 0.9), (A, 0.8)],
    ),
    Case(
        "overlapping detections",
        # the second is half outside: IoU 50 / 150. Union of 10 x 15 px with a band of 46, which
        # shares 10 px above, 10 below and 8 on the left with the object's.
        PERFECT
        | counted(1, 1, 0)
        | pixels(100, 100, 150)
        | band(28, 36, 46)
        | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[(A, 0.9), ((2, 7, 10, 10), 0.8)],
    ),
    Case(
        "overlapping objects, where order and IoU choose differently",
        # Objects are columns 2..7 and 5..9. The first detection, columns 4..7, has IoU 4/6 with
        # the one and 3/6 with the other; the second is the first object.
        # By score: up to 0.65 the first takes that object and the second, 3/8 with the other, is
        # wrong; from 0.7 it is the other way round (precision 1/2). By IoU: both are matched.
        at(4, precision=51 / 101, recall=0.5)
        | {"ap75": 25.5 / 101, "ap": (4 * 51 + 6 * 25.5) / 1010, "ar": 0.5}
        | counted(1, 1, 1)
        | {"f1_histogram_50": 1}
        | pixels(60, 80, 60)  # columns 2..9 and 2..7
        | band(20, 32, 28)  # 6 + 6 + 8 px
        | panoptic(4 / 6, 1, 1, 1),
        truth=[(2, 2, 10, 6), (2, 5, 10, 5)],
        found=[((2, 4, 10, 4), 0.9), ((2, 2, 10, 6), 0.8)],
    ),
    Case(
        "the right one is scored better than the wrong one",
        PERFECT
        | counted(1, 1, 0)
        | pixels(100, 100, 125)
        | band(36, 36, 52)
        | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[(A, 0.9), (B, 0.1)],
    ),
    Case(
        "the wrong one is scored better than the right one",
        # only average precision knows: precision 1/2 at every recall
        PERFECT
        | at(10, precision=0.5)
        | {"ar": 1}
        | counted(1, 1, 0)
        | pixels(100, 100, 125)
        | band(36, 36, 52)
        | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[(B, 0.9), (A, 0.1)],
    ),
    Case(
        "equal scores, the right one comes first",
        PERFECT
        | counted(1, 1, 0)
        | pixels(100, 100, 125)
        | band(36, 36, 52)
        | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[(A, 0.5), (B, 0.5)],
    ),
    Case(
        "equal scores, the wrong one comes first",
        PERFECT
        | at(10, precision=0.5)
        | counted(1, 1, 0)
        | pixels(100, 100, 125)
        | band(36, 36, 52)
        | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[(B, 0.5), (A, 0.5)],
    ),
    Case(
        "a small object beside a large one is missed",
        PERFECT
        | at(10, precision=51 / 101, recall=0.5)
        | counted(1, 0, 1)
        | pixels(100, 125, 100)
        | band(36, 52, 36)
        | panoptic(1, 1, 0, 1),
        truth=[A, B],
        found=[(A, 0.5)],
    ),
    Case(
        "two objects, each found as the other's place",
        PERFECT,
        truth=[B, A],
        found=[(A, 0.9), (B, 0.8)],
    ),
    Case("a detection inside a crowd region", NOTHING, crowd=[A], found=[((4, 4, 4, 4), 0.5)]),
    Case("a crowd region in which nothing is found", NOTHING, crowd=[A]),
    Case(
        "a detection exactly half in a crowd region",
        # COCO ignores it at 0.5 and calls it wrong from 0.55; panoptic quality asks for more than
        # half. Its 50 px outside the region are compared with no object.
        NOTHING
        | {"dice_mean": 0, "iou_mean": 0, "boundary_iou_mean": 0}
        | {"detection_accuracy": 0.1, "detection_accuracy_75": 0}
        | panoptic(0, 0, 1, 0),
        crowd=[(0, 0, 20, 10)],
        found=[((5, 5, 10, 10), 0.5)],
    ),
    Case(
        "a detection with 4 tenths in each of two crowd regions",
        # COCO looks at one region at a time and calls it wrong, panoptic quality at 8 tenths
        WRONG | UNDEFINED | {"precision_50": 0} | dict.fromkeys(["pq", "sq", "rq"]),
        crowd=[(0, 0, 20, 4), (0, 4, 20, 4)],
        found=[((5, 0, 10, 10), 0.5)],
    ),
    Case(
        "an object and a detection beside it in a crowd region",
        PERFECT,
        truth=[A],
        crowd=[(0, 12, 20, 8)],
        found=[((5, 13, 5, 5), 0.9), (A, 0.5)],
    ),
    Case(
        "many detections in one crowd region",
        NOTHING,
        crowd=[(0, 0, 20, 20)],
        found=[(A, 0.9), (A, 0.8), (B, 0.7), ((0, 0, 20, 20), 0.6)],
    ),
    Case(
        "an object under an ignored region that covers all",
        # it is missed; there is no pixel to compare
        WRONG | {"precision_50": None, "dice_mean": 1, "iou_mean": 1, "boundary_iou_mean": 1},
        truth=[A],
        crowd=[(0, 0, 20, 20)],
    ),
    Case(
        "an object half under an ignored region",
        # Found whole: its match counts 100 px. Only columns 2..6 are compared as unions.
        PERFECT,
        truth=[A],
        crowd=[(0, 7, 20, 13)],
        found=[(A, 0.5)],
    ),
    Case(
        "an ignored region gives no outline",
        # Object columns 2..11, detection columns 2..9 (IoU 0.8), columns from 7 on are ignored.
        # The bands left of it are the same: 5 + 5 + 8 px of both.
        PERFECT | at(7) | counted(1, 0, 0, iou_steps=7) | panoptic(0.8, 1, 0, 0),
        truth=[A],
        crowd=[(0, 7, 20, 13)],
        found=[((2, 2, 10, 8), 0.5)],
    ),
    Case(
        "an object as large as the image",
        PERFECT,
        truth=[(0, 0, 20, 20)],
        found=[((0, 0, 20, 20), 0.5)],
    ),
    Case(
        "an object as large as the image but for a column",
        # IoU 380/400, exactly the last threshold; bands 76 and 74 share 19 + 19 + 18 px
        PERFECT | pixels(380, 400, 380) | band(56, 76, 74) | panoptic(0.95, 1, 0, 0),
        truth=[(0, 0, 20, 20)],
        found=[((0, 0, 20, 19), 0.5)],
    ),
    Case(
        "the whole image for a pixel in its corner",
        WRONG | pixels(1, 1, 400) | band(1, 1, 76),
        truth=[(0, 0, 1, 1)],
        found=[((0, 0, 20, 20), 0.5)],
    ),
    Case(
        "a hole that is filled",
        # IoU 84/100. The object's band is the 36 px around it and 6 x 6 - 4 x 4 px around the hole.
        at(7)
        | counted(1, 0, 0, iou_steps=7)
        | pixels(84, 84, 100)
        | band(36, 56, 36)
        | panoptic(0.84, 1, 0, 0),
        truth=[RING],
        found=[(A, 0.5)],
    ),
    Case(
        "an object in the corner of the image",
        # its band goes along the edges too: 36 and 32 px, 8 + 8 + 8 shared
        at(7)
        | counted(1, 0, 0, iou_steps=7)
        | pixels(80, 100, 80)
        | band(24, 36, 32)
        | panoptic(0.8, 1, 0, 0),
        truth=[(0, 0, 10, 10)],
        found=[((0, 0, 10, 8), 0.5)],
    ),
    Case(
        "an image twice as long as high",
        # IoU 0.9: nine thresholds, as COCO's 0.9 is a hair less. Bands 36 and 34, 9 + 9 + 8 shared.
        PERFECT
        | at(9)
        | counted(1, 0, 0, iou_steps=9)
        | pixels(90, 100, 90)
        | band(26, 36, 34)
        | panoptic(0.9, 1, 0, 0),
        truth=[(0, 10, 10, 10)],
        found=[((0, 11, 10, 9), 0.5)],
        size=(10, 20),
    ),
    Case(
        "an image of one row",
        # pixels 0..9 and 5..14; all of it is band
        WRONG | pixels(5, 10, 10) | band(5, 10, 10),
        truth=[(0, 0, 1, 10)],
        found=[((0, 5, 1, 10), 0.5)],
        size=(1, 20),
    ),
    Case(
        "an image of one pixel",
        PERFECT,
        truth=[(0, 0, 1, 1)],
        found=[((0, 0, 1, 1), 1)],
        size=(1, 1),
    ),
    Case(
        "a band of three pixels in an image of 100 x 100",
        # 2 % of 141.4 px. 1600 - 34 x 34 = 444 px and 1200 - 34 x 24 = 384 px; shared are 3 rows of
        # 30 px above and below, and 3 columns of 34 px. IoU 0.75: six thresholds.
        PERFECT
        | at(6)
        | counted(1, 0, 0, iou_steps=6)
        | pixels(1200, 1600, 1200)
        | band(282, 444, 384)
        | panoptic(0.75, 1, 0, 0),
        truth=[(10, 10, 40, 40)],
        found=[((10, 10, 40, 30), 0.5)],
        size=(100, 100),
    ),
    Case(
        "101 objects and detections, of which 100 are ranked",
        # recall 100/101 reaches the recalls 0 .. 0.99; the others look at all that is accepted
        PERFECT | at(10, precision=100 / 101, recall=100 / 101),
        truth=GRID,
        found=[(box, 0.5) for box in GRID],
        size=(30, 30),
    ),
    Case(
        "101 detections, the last one right",
        # it is not ranked, yet accepted
        at(10, precision=0, recall=0)
        | counted(1, 100, 0)
        | pixels(1, 1, 101)
        | band(1, 1, 101)
        | panoptic(1, 1, 100, 0),
        truth=[GRID[0]],
        found=[*((box, 0.9) for box in GRID[1:]), (GRID[0], 0.1)],
        size=(30, 30),
    ),
    Case(
        "101 detections, the first one right",
        PERFECT | counted(1, 100, 0) | pixels(1, 1, 101) | band(1, 1, 101) | panoptic(1, 1, 100, 0),
        truth=[GRID[0]],
        found=[(box, 0.9) for box in GRID],
        size=(30, 30),
    ),
    Case(
        "an empty mask is a wrong detection",
        PERFECT | at(10, precision=0.5) | counted(1, 1, 0) | panoptic(1, 1, 1, 0),
        truth=[A],
        found=[((0, 0, 0, 0), 0.9), (A, 0.5)],
    ),
    Case(
        "an object of another category",
        # the category of the object has no detection; unions know no category
        WRONG | {"dice_mean": 1, "iou_mean": 1, "boundary_iou_mean": 1},
        truth=[(A, 1)],
        found=[(A, 0.5, 2)],
    ),
    Case(
        "two categories on one place",
        PERFECT,
        truth=[(A, 1), (A, 2)],
        found=[(A, 0.5, 2), (A, 0.4, 1)],
    ),
    Case("three images, two empty", PERFECT, truth=[A], found=[(A, 0.5)], images=3),
    Case(
        "no background",
        # Halves of 8 px; the left one exact, the right one split into 6 and 2 px: IoU 1, 0.75 and
        # 0.25. Up to 0.75 both are found, from 0.8 one with two wrong ones after it.
        PERFECT
        | {"ap": (6 + 4 * 51 / 101) / 10, "ar": (6 + 4 * 0.5) / 10}
        | counted(2, 1, 0)
        | {"detection_accuracy": (6 * 2 / 3 + 4 * 1 / 4) / 10}
        | panoptic(1.75, 2, 1, 0),
        truth=[(0, 0, 4, 2), (0, 2, 4, 2)],
        found=[((0, 0, 4, 2), 0.9), ((0, 2, 3, 2), 0.8), ((3, 2, 1, 2), 0.7)],
        size=(4, 4),
    ),
]


def encode(shape, size):
    mask = np.zeros(size, np.uint8, order="F")
    if isinstance(shape, np.ndarray):
        mask[shape] = 1
    else:
        top, left, height, width = shape
        mask[top : top + height, left : left + width] = 1
    encoded = coco_mask.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def record(shape, size, category=1, image=1, **extra):
    segmentation = encode(shape, size)
    area = int(coco_mask.area(segmentation))
    known = {"image_id": image, "category_id": category, "segmentation": segmentation}
    return known | {"area": area} | extra


def with_category(item):
    """Tell a box (or mask) with a category from one without."""
    return item if isinstance(item, tuple) and len(item) == 2 else (item, 1)


def judge(annotations, predictions, size, images=1):
    """All measures of numbered images of one size."""
    annotations = [a | {"id": number} for number, a in enumerate(annotations, start=1)]
    records = [
        {"id": i, "name": f"val/{i}", "height": size[0], "width": size[1]}
        for i in range(1, images + 1)
    ]
    categories = [{"id": 1, "name": "building"}, {"id": 2, "name": "car"}]
    result = evaluate_detections(records, annotations, categories, predictions, 100)
    rows = score_images(records, annotations, predictions, result.matches)
    return result.metrics | score_together(rows)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_every_measure_is_that_worked_out_by_hand(case):
    annotations = [
        record(shape, case.size, category, iscrowd=0)
        for shape, category in map(with_category, case.truth)
    ]
    annotations += [record(shape, case.size, iscrowd=1) for shape in case.crowd]
    predictions = [
        record(shape, case.size, *category, score=score) for shape, score, *category in case.found
    ]
    measured = judge(annotations, predictions, case.size, case.images)
    assert set(case.expected) == set(KEYS)
    assert {key: measured[key] for key in KEYS} == pytest.approx(case.expected, abs=1e-12)


def test_measures_of_two_images_are_sums_or_means():
    # Image 1: an exact match. Image 2, without an object: a better scored detection.
    annotations = [record(A, (20, 20), iscrowd=0)]
    predictions = [
        record(A, (20, 20), score=0.5),
        record(B, (20, 20), image=2, score=0.9),
    ]
    measured = judge(annotations, predictions, (20, 20), images=2)
    expected = (
        at(10, precision=0.5)
        | counted(1, 1, 0)  # of both images; the mean accuracy of 1 and 0 is 0.5 as well
        | dict.fromkeys(["dice_mean", "iou_mean", "boundary_iou_mean"], 0.5)
        | panoptic(1, 1, 1, 0)
    )
    assert {key: measured[key] for key in KEYS} == pytest.approx(expected, abs=1e-12)
    assert [measured[key] for key in ("images", "objects", "detections")] == [2, 1, 2]


def test_pooled_and_mean_accuracy_differ():
    # Image 1: three objects, one found (1/3). Image 2: found (1). Together 2 of 4.
    size = (20, 20)
    annotations = [record(box, size, iscrowd=0) for box in (A, B, (14, 0, 5, 5))]
    annotations.append(record(A, size, image=2, iscrowd=0))
    predictions = [record(A, size, image=image, score=0.5) for image in (1, 2)]
    measured = judge(annotations, predictions, size, images=2)
    assert measured["detection_accuracy"] == pytest.approx(2 / 3)
    assert measured["detection_accuracy_50"] == measured["detection_accuracy_75"] == 0.5
    assert measured["pq"] == pytest.approx(2 / (2 + 2 / 2))


LABEL_CASES = [  # name, truth, predicted, (TP, FP, FN) at 0.5; 0 is background
    ("empty maps", [0, 0], [0, 0], (0, 0, 0)),
    ("truth only", [1, 1, 0, 2], [0, 0, 0, 0], (0, 0, 2)),
    ("prediction only", [0, 0, 0, 0], [1, 1, 0, 2], (0, 2, 0)),
    ("the same map", [1, 1, 0, 2], [9, 9, 0, 3], (2, 0, 0)),
    ("no background", [1, 1, 1, 2, 2], [4, 4, 4, 5, 5], (2, 0, 0)),
    ("no background but in one map", [1, 1, 1, 2, 2], [4, 4, 4, 0, 0], (1, 0, 1)),
    ("a pair has exactly 0.5", [1, 1, 0], [1, 0, 0], (1, 0, 0)),
    ("an object in halves", [1, 1, 1, 1], [1, 1, 2, 2], (1, 1, 0)),
    ("halves merged", [1, 1, 2, 2], [1, 1, 1, 1], (1, 0, 1)),
    ("halves and a spurious object", [1, 1, 0], [1, 2, 3], (1, 2, 0)),
    ("an object in two pieces", [1, 0, 1], [2, 0, 2], (1, 0, 0)),
    ("the background is no object", [0, 0, 0, 1], [5, 5, 5, 0], (0, 1, 1)),
]


@pytest.mark.parametrize(
    ("truth", "predicted", "counts"), [pytest.param(*case, id=name) for name, *case in LABEL_CASES]
)
@pytest.mark.parametrize("better", ["first", "last"])
def test_objects_of_label_maps_are_paired_by_their_overlap_alone(truth, predicted, counts, better):
    truth, predicted = np.array([truth]), np.array([predicted])
    masks, found = ([m == n for n in np.unique(m) if n] for m in (truth, predicted))
    scores = np.arange(1, len(found) + 1) / (10 if better == "last" else -10) + 0.5
    annotations = [record(mask, truth.shape, iscrowd=0) for mask in masks]
    predictions = [
        record(mask, truth.shape, score=float(score))
        for mask, score in zip(found, scores, strict=True)
    ]
    measured = judge(annotations, predictions, truth.shape)
    tp, fp, fn = counts
    f1 = 2 * tp / (2 * tp + fp + fn) if any(counts) else 1
    assert measured["f1_histogram_50"] == pytest.approx(f1, abs=1e-12)
    assert (measured["detections"], measured["objects"]) == (tp + fp, tp + fn)
