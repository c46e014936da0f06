import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.label_errors.disagreement import NOT_ANNOTATED, NOT_FOUND, OUTLINE, Suspect, image_suspects

SHAPE = (10, 12)


def box_mask(left, top, width, height):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def rle(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def objects(*masks):
    return [{"id": 10 + n, "segmentation": rle(mask)} for n, mask in enumerate(masks)]


def found(*masks):
    return [(100 + n, rle(mask)) for n, mask in enumerate(masks)]


def even(probability):
    return np.full(SHAPE, round(255 * probability), np.uint8)


def test_an_object_that_nothing_overlaps_disagrees_by_what_is_improbable_of_it():
    probability = even(0)
    probability[2, 3:5] = 255  # two of its twelve pixels
    [suspect] = image_suspects(objects(box_mask(3, 2, 4, 3)), [], [], probability, 0.1)
    assert suspect == Suspect(NOT_FOUND, 10, -1, pytest.approx(10 / 12), (3, 2, 4, 3))


def test_a_detection_without_an_object_disagrees_by_its_probability():
    [suspect] = image_suspects([], [], found(box_mask(1, 5, 2, 2)), even(0.8), 0.1)
    assert suspect == Suspect(NOT_ANNOTATED, -1, 100, pytest.approx(0.8), (1, 5, 2, 2))


def test_two_outlines_disagree_by_the_pixels_of_one_of_them():
    truth, detection = box_mask(0, 0, 4, 2), box_mask(2, 0, 5, 2)  # 4 and 6 pixels alone of 8, 10
    probability = np.where(detection, 153, 51).astype(np.uint8)  # 0.6 and 0.2
    [suspect] = image_suspects(objects(truth), [], found(detection), probability, 0.1)
    share = (4 * 0.8 + 6 * 0.6) / 10
    assert suspect == Suspect(OUTLINE, 10, 100, pytest.approx(share), (0, 0, 4, 2))


def test_more_than_all_is_all():
    truth, detection = box_mask(0, 0, 4, 2), box_mask(3, 0, 4, 2)  # IoU 1 / 7
    probability = np.where(detection, 255, 0).astype(np.uint8)
    [suspect] = image_suspects(objects(truth), [], found(detection), probability, 0.1)
    assert (suspect.kind, suspect.disagreement) == (OUTLINE, 1.0)


def test_what_agrees_does_not_disagree():
    mask = box_mask(3, 3, 5, 4)
    [suspect] = image_suspects(objects(mask), [], found(mask), even(0.9), 0.1)
    assert (suspect.kind, suspect.disagreement) == (OUTLINE, 0)


def test_pixels_of_another_object_are_not_denied():
    merged = box_mask(0, 0, 8, 2)
    pair = objects(box_mask(0, 0, 4, 2), box_mask(4, 0, 4, 2))
    suspects = image_suspects(pair, [], found(merged), even(1), 0.1)
    assert [(one.detection, one.disagreement) for one in suspects] == [(100, 0), (100, 0)]


def test_the_detection_that_overlaps_most_stands_for_an_object():
    truth = box_mask(0, 0, 6, 2)
    detections = found(box_mask(0, 0, 2, 2), box_mask(2, 0, 4, 2), box_mask(4, 0, 2, 2))
    suspects = image_suspects(objects(truth), [], detections, even(0.5), 0.1)
    assert [(one.kind, one.detection) for one in suspects] == [(OUTLINE, 101)]


def test_an_iou_below_the_least_is_none_and_one_at_it_is():
    truth, detection = box_mask(0, 0, 4, 1), box_mask(3, 0, 2, 1)  # IoU 1 / 5
    kinds = [
        [one.kind for one in image_suspects(objects(truth), [], found(detection), even(1), least)]
        for least in (0.2, 0.21)
    ]
    assert kinds == [[OUTLINE], [NOT_FOUND, NOT_ANNOTATED]]


def test_a_detection_mostly_in_regions_is_left_out_and_regions_deny_nothing():
    crowd = [rle(box_mask(0, 0, 2, 4)), rle(box_mask(2, 0, 1, 4))]
    detections = found(box_mask(0, 0, 5, 4), box_mask(1, 0, 4, 4))  # 12 of 20, 8 of 16 px inside
    suspects = image_suspects([], crowd, detections, even(1), 0.1)
    assert suspects == [Suspect(NOT_ANNOTATED, -1, 101, 0.5, (1, 0, 4, 4))]


def test_regions_beside_objects_deny_nothing_either():
    truth, detection = box_mask(0, 0, 4, 4), box_mask(0, 0, 8, 4)
    [suspect] = image_suspects(
        objects(truth), [rle(box_mask(4, 0, 3, 4))], found(detection), even(1), 0.1
    )
    assert suspect.disagreement == pytest.approx(4 / 32)  # the column beyond the region


def test_masks_without_a_pixel_are_left_out():
    empty = np.zeros(SHAPE, bool)
    assert image_suspects(objects(empty), [], found(empty), even(1), 0.1) == []


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"a mask of \[10, 12\] on a map of \(10, 13\)"):
        image_suspects(objects(box_mask(0, 0, 1, 1)), [], [], np.zeros((10, 13), np.uint8), 0.1)


def test_it_is_what_whole_masks_say():
    rng = np.random.default_rng(3)
    for _ in range(50):
        boxes = [
            [*rng.integers(0, 8, 2), *rng.integers(1, 5, 2)] for _ in range(rng.integers(1, 9))
        ]
        masks = [box_mask(*map(int, box)) & (rng.random(SHAPE) < 0.9) for box in boxes]
        masks = [mask for mask in masks if mask.any()]
        count = int(rng.integers(len(masks) + 1))
        truth, detections = masks[:count], masks[count:]
        probability = rng.integers(0, 256, SHAPE).astype(np.uint8)
        suspects = image_suspects(objects(*truth), [], found(*detections), probability, 0.3)
        got = [(one.kind, round(one.disagreement, 9)) for one in suspects]
        assert got == plainly(truth, detections, probability / 255, 0.3)


def plainly(truth, detections, p, least):
    """The same by whole masks, pair by pair."""
    annotated = np.any(truth, axis=0) if truth else np.zeros(SHAPE, bool)

    def iou(one, other):
        return (one & other).sum() / (one | other).sum()

    said = []
    for mask in truth:
        ious = [iou(mask, other) for other in detections]
        near = bool(ious) and max(ious) >= least
        other = detections[int(np.argmax(ious))] if near else np.zeros(SHAPE, bool)
        denied = np.where(other & ~annotated, p, 0) + np.where(mask & ~other, 1 - p, 0)
        share = min(denied.sum() / max(mask.sum(), other.sum()), 1)
        said.append((OUTLINE if near else NOT_FOUND, round(float(share), 9)))
    for mask in detections:
        if not truth or max(iou(mask, other) for other in truth) < least:
            mean = np.where(annotated, 0, p)[mask].mean()
            said.append((NOT_ANNOTATED, round(float(mean), 9)))
    return said
