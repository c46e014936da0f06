import numpy as np
import pytest

from src.judging.coco_evaluation import evaluate_detections
from src.judging.detection_limit import BeyondLimit, beyond_limit, limit_warning
from tests.blocks import HEIGHT, WIDTH, block, rle

CATEGORIES = [{"id": 1, "name": "thing"}]
IMAGES = [{"id": number, "height": HEIGHT, "width": WIDTH} for number in (1, 2, 3)]


def record(image, place, **more):
    one = {"image_id": image, "category_id": 1, "segmentation": rle(block(8 * place, 0, 5, 5))}
    return one | more


def truth(image, count, crowds=0):
    return [
        record(image, place, id=10 * image + place, iscrowd=int(place >= count), area=25)
        for place in range(count + crowds)
    ]


def found(image, accepted, others=0):
    return [
        record(image, place, score=0.9 - 0.1 * place, accepted=place < accepted)
        for place in range(accepted + others)
    ]


def beyond(annotations, predictions, limit):
    result = evaluate_detections(IMAGES, annotations, CATEGORIES, predictions, limit)
    return beyond_limit(IMAGES, annotations, result.matches, limit)


def test_what_has_no_place_is_counted_by_image():
    annotations = truth(1, 3) + truth(2, 2, crowds=4) + truth(9, 6)  # 9 is not judged
    predictions = found(1, 4, others=1) + found(2, 2, others=3) + found(3, 5)
    assert beyond(annotations, predictions, 2) == BeyondLimit(
        images_above=1, most_objects=3, images_cut=2, detections_cut=2 + 3, needed=5
    )
    assert beyond(annotations, predictions, 5) == (0, 3, 0, 0, 5)


def test_the_limit_that_is_needed_is_that_of_objects_where_they_are_more():
    assert beyond(truth(2, 4), found(2, 1), 100) == (0, 4, 0, 0, 4)
    assert beyond([], [], 1) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("beyond", "words"),
    [
        ((0, 3, 0, 0, 5), ""),
        (
            (1, 169, 0, 0, 169),
            "val: evaluate.max_detections 100 is below the objects of 1 image (up to 169); "
            "set it to 169 or more",
        ),
        (
            (0, 3, 2, 1234, 800),
            "val: evaluate.max_detections 100 keeps 1,234 accepted detections of 2 images out of "
            "AP and AR; set it to 800 or more",
        ),
        (
            (2, 120, 1, 30, 130),
            "val: evaluate.max_detections 100 is below the objects of 2 images (up to 120) and "
            "keeps 30 accepted detections of 1 image out of AP and AR; set it to 130 or more",
        ),
    ],
)
def test_the_warning_says_what_is_lost_and_what_to_set(beyond, words):
    assert limit_warning("val", 100, BeyondLimit(*beyond)) == words


def test_cut_detections_are_those_below_the_best():
    result = evaluate_detections(IMAGES, [], CATEGORIES, found(1, 3), 1)
    np.testing.assert_array_equal(result.matches.ranked, [True, False, False])
