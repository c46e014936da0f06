"""The measures against slow ones on whole masks; worked out by hand in test_metric_cases.py."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage

from src.judging.coco_evaluation import THRESHOLDS, Matches, evaluate_detections
from src.judging.object_metrics import (
    IMAGE_COLUMNS,
    detection_accuracy,
    f1_score,
    panoptic_quality,
    precision,
    recall,
    score_images,
    score_together,
)

CATEGORY = {"category_id": 100}


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def row(*pixels):
    return rle([[int(place in pixels) for place in range(10)]])


def matches(*rows):
    """Rows of (detection, image_id, tp, ignored, truth_id)."""
    columns = zip(*rows, strict=True) if rows else [()] * 5
    detection, image, tp, ignored, truth = (np.array(list(c)) for c in columns)
    blank, tp, ignored = np.zeros(len(rows)), tp.astype(bool), ignored.astype(bool)
    at = [np.repeat(column[:, None], 10, axis=1) for column in (tp, ignored)]
    ones, every = np.ones(len(rows)), np.ones(len(rows), bool)
    return Matches(detection, image, blank, tp, ignored, truth, ones, every, every, *at, tp)


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


def test_images_are_scored_one_by_one():
    images = [{"id": 2, "name": "b"}, {"id": 1, "name": "a"}]
    truth = [
        {"id": 1, "image_id": 1, "iscrowd": 0, "segmentation": row(0, 1)} | CATEGORY,
        {"id": 2, "image_id": 1, "iscrowd": 0, "segmentation": row(4, 5)} | CATEGORY,
        {"id": 3, "image_id": 1, "iscrowd": 1, "segmentation": row(8, 9)} | CATEGORY,
    ]
    predictions = [{"segmentation": row(*p)} | CATEGORY for p in ((0, 1), (3,), (8,), (7,), (6,))]
    judged = matches((0, 1, 1, 0, 1), (1, 1, 0, 0, -1), (2, 1, 0, 1, 3), (3, 2, 0, 0, -1))
    first, second = score_images(images, truth, predictions, judged)
    assert list(first) == list(second) == IMAGE_COLUMNS
    assert (first["name"], second["name"]) == ("a", "b")
    assert [first[k] for k in ("objects", "detections", "tp", "fp", "fn")] == [2, 2, 1, 1, 1]
    assert first["f1_50"] == 0.5
    assert first["dice"] == 2 * 2 / (3 + 4)  # the unjudged prediction and the crowd are left out
    assert (first["iou"], first["detection_accuracy"]) == (2 / 5, pytest.approx(1 / 3))
    assert [second[k] for k in ("objects", "detections", "tp", "fp", "fn")] == [0, 1, 0, 1, 0]
    assert (second["f1_50"], second["dice"]) == (0, 0)


def test_what_is_said_of_an_image_depends_on_no_other():
    images, truth, predictions = random_scene(np.random.default_rng(5))
    judged = judge(images, truth, predictions).matches
    together = score_images(images, truth, predictions, judged)
    assert [row["name"] for row in together] == ["1", "2", "3"]
    for image, scored in zip(images, together, strict=True):
        of = judged.image_id == image["id"]
        alone = Matches(*(column[of] for column in judged))
        annotations = of_image(truth, image["id"])
        assert score_images([image], annotations, predictions, alone) == [scored]


def test_counts_are_python_numbers():
    images, truth, predictions = random_scene(np.random.default_rng(5))
    judged = judge(images, truth, predictions).matches
    for scored in score_images(images, truth, predictions, judged):
        assert {type(value) for value in scored.values()} == {str, int, float}


def test_an_image_with_nothing_in_it_is_right():
    (scored,) = score_images([{"id": 1, "name": "a"}], [], [], matches())
    ones = ("f1_50", "dice", "iou", "boundary_iou", "detection_accuracy")
    assert [scored[key] for key in ones] == [1] * 5
    assert {scored[key] for key in IMAGE_COLUMNS[2:] if key not in ones} == {0}


def test_counts_are_summed_before_dividing_and_agreement_is_averaged():
    blank = dict.fromkeys(IMAGE_COLUMNS[2:], 0)
    rows = [
        blank
        | {"tp": 3, "objects": 3, "detections": 3, "tp_75": 1, "fp_75": 2, "tp_histogram": 2}
        | {"fp_histogram": 1, "tp_panoptic": 2, "fp_panoptic": 1, "sum_iou": 1.5}
        | {"dice": 1.0, "iou": 0.9, "boundary_iou": 0.8, "detection_accuracy": 0.7},
        blank
        | {"fp": 1, "fn": 2, "objects": 2, "detections": 1, "fp_75": 1, "fp_histogram": 1}
        | {"dice": 0.25, "iou": 0.1, "boundary_iou": 0.2, "detection_accuracy": 0.5},
    ]
    assert score_together(rows) == pytest.approx(
        {
            "f1_50": 6 / 9,
            "precision_50": 0.75,
            "recall_50": 0.6,
            "f1_histogram_50": 4 / (4 + 2 + 3),
            "dice_mean": 0.625,
            "iou_mean": 0.5,
            "boundary_iou_mean": 0.5,
            "detection_accuracy": 0.6,
            "detection_accuracy_50": 3 / 6,
            "detection_accuracy_75": 1 / (1 + 3 + 4),
            "pq": 1.5 / (2 + 0.5 + 1.5),
            "sq": 0.75,
            "rq": 4 / (4 + 1 + 3),
            "images": 2,
            "objects": 5,
            "detections": 4,
        },
        abs=1e-12,
    )


def test_no_image_has_no_score():
    with pytest.raises(ValueError, match="no image"):
        score_together([])


def test_panoptic_quality_is_that_of_segmentation_times_that_of_recognition():
    quality = panoptic_quality(tp=3, fp=2, fn=1, sum_iou=2.4)
    assert quality == pytest.approx({"pq": 2.4 / 4.5, "sq": 0.8, "rq": 6 / 9})
    assert quality["pq"] == pytest.approx(quality["sq"] * quality["rq"])


def test_accuracy_counts_every_object_and_every_wrong_detection_once():
    assert detection_accuracy(tp=1, fp=2, fn=1) == 0.25
    assert detection_accuracy(tp=0, fp=0, fn=0) == 1


SIDE = 40
SEEDS = pytest.mark.parametrize("seed", range(12))


def random_masks(rng, boxes):
    masks = np.zeros((len(boxes), SIDE, SIDE), bool)
    for mask, (top, left, height, width) in zip(masks, boxes, strict=True):
        mask[top : top + height, left : left + width] = True
    return masks & (rng.random(masks.shape) < 0.97)


def random_scene(rng, *, overlap=True):
    """Three images of objects, crowd regions and shifted detections, some halved or spurious.

    Without overlap no pixel belongs to two objects or to two detections.
    """
    images, annotations, predictions = [], [], []
    for image in (1, 2, 3):
        images.append({"id": image, "name": str(image), "height": SIDE, "width": SIDE})
        boxes = np.concatenate([rng.integers(0, 32, (9, 2)), rng.integers(3, 14, (9, 2))], axis=1)
        moved = np.clip(boxes + rng.integers(-1, 2, boxes.shape), 0, None)[rng.random(9) < 0.9]
        spurious = [[0, 30, 6, 6], [1, 31, 5, 4]]
        truth = random_masks(rng, boxes)
        found = random_masks(rng, np.concatenate([moved, spurious]))
        if not overlap:
            truth, found = (masks & (masks.cumsum(axis=0) == 1) for masks in (truth, found))
        for number, mask in enumerate(truth):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "iscrowd": int(number in (3, 7))}
                | {"segmentation": rle(mask), "area": int(mask.sum())}
                | CATEGORY
            )
        predictions += [
            {"image_id": image, "segmentation": rle(mask), "score": round(rng.random(), 1)}
            | CATEGORY
            for mask in found
        ]
    return images, annotations, predictions


def judge(images, annotations, predictions):
    categories = [{"id": 100, "name": "building"}]
    return evaluate_detections(images, annotations, categories, predictions, 100)


def of_image(records, image):
    return [record for record in records if record["image_id"] == image]


def masks_of(records):
    decoded = [coco_mask.decode(record["segmentation"]).astype(bool) for record in records]
    return np.array(decoded).reshape(len(records), SIDE, SIDE)


def slow_iou(a, b):
    either = (a | b).sum()
    return (a & b).sum() / either if either else 0


def slow_matches(objects, crowd, found, scores, threshold):
    """TP and ignored of every detection: COCO's rule in the plainest words."""
    tp, ignored, taken = np.zeros(len(found), bool), np.zeros(len(found), bool), set()
    for place in sorted(range(len(found)), key=lambda place: -scores[place]):
        best, chosen = threshold, None
        for number, mask in enumerate(objects):
            iou = slow_iou(mask, found[place])
            if number not in taken and iou >= best:
                best, chosen = iou, number
        if chosen is not None:
            tp[place] = True
            taken.add(chosen)
        elif found[place].any():
            parts = [(found[place] & region).sum() / found[place].sum() for region in crowd]
            ignored[place] = any(part >= threshold for part in parts)
    return tp, ignored


def slow_band(mask, steps):
    square = np.ones((3, 3), bool)
    return mask & ~ndimage.binary_erosion(mask, square, iterations=steps, border_value=0)


@SEEDS
@pytest.mark.parametrize("overlap", [True, False])
def test_each_image_equals_a_slow_reference_on_whole_masks(seed, overlap):
    images, annotations, predictions = random_scene(np.random.default_rng(seed), overlap=overlap)
    judged = judge(images, annotations, predictions)
    for scored in score_images(images, annotations, predictions, judged.matches):
        truth = of_image(annotations, scored["image_id"])
        detections = of_image(predictions, scored["image_id"])
        masks, found = masks_of(truth), masks_of(detections)
        is_crowd = np.array([annotation["iscrowd"] for annotation in truth], bool)
        objects, crowd = masks[~is_crowd], masks[is_crowd]
        scores = [detection["score"] for detection in detections]
        accuracies = []
        for threshold in THRESHOLDS:
            tp, ignored = slow_matches(objects, crowd, found, scores, threshold)
            counts = tp.sum(), (~tp & ~ignored).sum(), len(objects) - tp.sum()
            accuracies.append(counts[0] / sum(counts))
            if threshold == 0.5:
                assert (scored["tp"], scored["fp"], scored["fn"]) == counts
            if threshold == 0.75:
                assert (scored["tp_75"], scored["fp_75"]) == counts[:2]
        a, b, left_out = found.any(axis=0), objects.any(axis=0), crowd.any(axis=0)
        bands = slow_band(a, 1) & ~left_out, slow_band(b, 1) & ~left_out
        a, b = a & ~left_out, b & ~left_out
        expected = {
            "detection_accuracy": np.mean(accuracies),
            "dice": 2 * (a & b).sum() / (a.sum() + b.sum()),
            "iou": slow_iou(a, b),
            "boundary_iou": slow_iou(*bands),
        }
        assert {k: scored[k] for k in expected} == pytest.approx(expected, abs=1e-12, rel=0)
        assert scored["tp"] > 0


@SEEDS
def test_panoptic_quality_equals_a_slow_reference_on_label_maps(seed):
    images, annotations, predictions = random_scene(np.random.default_rng(seed), overlap=False)
    tp, fp, fn, sum_iou = 0, 0, 0, 0
    for image in images:
        truth, detections = (of_image(rs, image["id"]) for rs in (annotations, predictions))
        masks, found = masks_of(truth), masks_of(detections)
        is_crowd = np.array([annotation["iscrowd"] for annotation in truth], bool)
        objects, crowd = masks[~is_crowd], masks[is_crowd].any(axis=0)
        ious = np.array([[slow_iou(mask, other) for other in found] for mask in objects])
        hits = ious > 0.5
        assert hits.sum(axis=0).max() <= 1
        assert hits.sum(axis=1).max() <= 1
        in_crowd = [m.any() and (m & crowd).sum() / m.sum() > 0.5 for m in found]
        tp, sum_iou = tp + hits.sum(), sum_iou + ious[hits].sum()
        fn += (~hits.any(axis=1)).sum()
        fp += (~hits.any(axis=0) & ~np.array(in_crowd)).sum()
    judged = judge(images, annotations, predictions)
    scored = score_together(score_images(images, annotations, predictions, judged.matches))
    expected = {
        "pq": sum_iou / (tp + fp / 2 + fn / 2),
        "sq": sum_iou / tp,
        "rq": tp / (tp + fp / 2 + fn / 2),
    }
    assert {k: scored[k] for k in expected} == pytest.approx(expected, abs=1e-12, rel=0)
    assert 0 < expected["pq"] < 1


def slow_histogram(truth, predicted):
    """IoU of all pairs of objects of two label maps, from a full two-dimensional histogram."""
    names = [np.unique(labels[labels != 0]) for labels in (truth, predicted)]
    pairs = [[slow_iou(truth == a, predicted == b) for b in names[1]] for a in names[0]]
    return np.array(pairs).reshape(len(names[0]), len(names[1]))


@SEEDS
def test_masks_are_counted_as_the_label_maps_they_make(seed):
    images, annotations, predictions = random_scene(np.random.default_rng(seed), overlap=False)
    annotations = [annotation | {"iscrowd": 0} for annotation in annotations]
    judged = judge(images, annotations, predictions)
    for scored in score_images(images, annotations, predictions, judged.matches):
        maps = []
        for records in (annotations, predictions):
            masks = masks_of(of_image(records, scored["image_id"]))
            maps.append((masks * np.arange(1, len(masks) + 1)[:, None, None]).sum(axis=0))
        ious = slow_histogram(*maps)
        tp, (objects, found) = 0, ious.shape
        while ious.max(initial=0) >= 0.5:
            row, column = np.unravel_index(ious.argmax(), ious.shape)
            ious[row], ious[:, column] = 0, 0
            tp += 1
        empty = [not m.any() for m in masks_of(of_image(predictions, scored["image_id"]))]
        empty_objects = [not m.any() for m in masks_of(of_image(annotations, scored["image_id"]))]
        assert scored["tp_histogram"] == tp
        assert scored["fp_histogram"] == found - tp + sum(empty)  # label maps have no empty objects
        assert scored["objects"] == objects + sum(empty_objects)
