import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from src.scoring.candidate_targets import annotations_by_name, best_overlaps, find_hits


def bar(start, stop, width=20):
    """Return the RLE of columns start to stop of a map one row high."""
    mask = np.zeros((1, width), np.uint8, order="F")
    mask[0, start:stop] = 1
    rle = coco_mask.encode(mask)
    return rle | {"counts": rle["counts"].decode()}


def annotation(rle, iscrowd=0):
    return {"segmentation": rle, "iscrowd": iscrowd}


def test_annotations_are_grouped_by_the_name_of_their_image():
    coco = {
        "images": [{"id": 7, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}],
        "annotations": [
            {"id": 1, "image_id": 2},
            {"id": 2, "image_id": 7},
            {"id": 3, "image_id": 2},
        ],
    }
    assert annotations_by_name(coco) == {
        "b": [{"id": 1, "image_id": 2}, {"id": 3, "image_id": 2}],
        "a": [{"id": 2, "image_id": 7}],
    }


def test_best_overlap_is_with_any_object_of_the_same_image():
    truth = {"a": [annotation(bar(0, 4)), annotation(bar(10, 12))], "b": [annotation(bar(2, 6))]}
    names = np.array(["b", "a", "c", "a"])
    found = best_overlaps(names, [bar(0, 4), bar(0, 4), bar(0, 4), bar(3, 12)], truth)
    # b: 2 of 6 columns; a: itself; c: no truth; a: max(1 / 12, 2 / 9)
    np.testing.assert_allclose(found.iou, [2 / 6, 1, 0, 2 / 9])
    assert not found.ignored.any()


def test_two_candidates_may_have_the_same_object():
    truth = {"a": [annotation(bar(0, 4))]}
    found = best_overlaps(np.array(["a", "a"]), [bar(0, 4), bar(0, 2)], truth)
    np.testing.assert_allclose(found.iou, [1, 0.5])


def test_a_candidate_mostly_inside_a_crowd_is_ignored_unless_it_shows_an_object():
    truth = {"a": [annotation(bar(0, 10), iscrowd=1), annotation(bar(4, 8))]}
    rles = [bar(0, 3), bar(8, 12), bar(8, 13), bar(4, 8), bar(14, 16)]
    found = best_overlaps(np.array(["a"] * 5), rles, truth)
    # inside: all, exactly half, 2 of 5, all but an object, none; the crowd itself is no object
    assert found.ignored.tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(found.iou, [0, 0, 0, 1, 0])


def test_nothing_to_compare():
    assert best_overlaps(np.array([], str), [], {"a": []}).iou.shape == (0,)
    assert find_hits(np.array([], str), [], np.array([]), {}).hit.shape == (0,)


@pytest.mark.parametrize("truth_size", [10, 30])
def test_masks_of_different_sizes_are_refused(truth_size):
    truth = {"a": [annotation(bar(0, 4, width=truth_size))]}
    with pytest.raises(ValueError, match=r"must have one size, got \[\(1, "):
        best_overlaps(np.array(["a"]), [bar(0, 4)], truth)


def test_the_better_scored_of_two_takes_the_object():
    truth = {"a": [annotation(bar(0, 4))]}
    found = find_hits(np.array(["a", "a"]), [bar(0, 4), bar(0, 3)], np.array([0.2, 0.7]), truth)
    assert found.hit.tolist() == [False, True]


def test_of_equal_scores_the_first_takes_the_object_and_images_do_not_mix():
    truth = {"a": [annotation(bar(0, 4))], "b": [annotation(bar(0, 4))]}
    found = find_hits(np.array(["b", "a", "a"]), [bar(0, 4)] * 3, np.full(3, 0.5), truth)
    assert found.hit.tolist() == [True, True, False]


def test_an_iou_of_exactly_one_half_is_a_hit():
    truth = {"a": [annotation(bar(0, 4))]}
    found = find_hits(np.array(["a", "a"]), [bar(0, 2), bar(0, 9)], np.array([0.1, 0.9]), truth)
    assert found.hit.tolist() == [True, False]


def test_a_crowd_takes_any_number_and_neither_counts():
    truth = {"a": [annotation(bar(0, 10), iscrowd=1)]}
    rles = [bar(0, 4), bar(2, 6), bar(8, 13)]
    found = find_hits(np.array(["a"] * 3), rles, np.array([0.9, 0.8, 0.7]), truth)
    assert found.hit.tolist() == [False] * 3
    assert found.ignored.tolist() == [True, True, False]


def evaluate(images, annotations, detections):
    """Return matched and ignored of each detection by pycocotools at IoU 0.5, by its id."""
    indexes = []
    for records in (annotations, detections):
        coco = COCO()
        coco.dataset = {"images": images, "annotations": records, "categories": [{"id": 1}]}
        coco.createIndex()
        indexes.append(coco)
    evaluator = COCOeval(*indexes, "segm")
    evaluator.params.maxDets, evaluator.params.iouThrs = [1000], np.array([0.5])
    evaluator.params.areaRng = [[0, 1e10]]
    evaluator.evaluate()
    answer = {}
    for entry in filter(None, evaluator.evalImgs):
        matched, ignored = entry["dtMatches"][0] > 0, entry["dtIgnore"][0]
        for number, m, i in zip(entry["dtIds"], matched, ignored, strict=True):
            answer[number] = (bool(m and not i), bool(m and i))
    return answer


@pytest.mark.parametrize("seed", range(20))
def test_hits_are_those_of_coco_evaluation(seed):
    """Short bars on short maps: many equal IoUs, equal scores, IoUs of exactly 1/2, crowds."""
    rng = np.random.default_rng(seed)
    images = [{"id": n, "name": name, "height": 1, "width": 20} for n, name in enumerate("xyz", 1)]

    def draw(count):
        starts = rng.integers(0, 10, count)
        stops = starts + rng.integers(1, 6, count)
        return [bar(a, b) for a, b in zip(starts, stops, strict=True)], rng.integers(1, 3, count)

    objects, where = draw(12)
    annotations = [
        {"id": n, "image_id": int(w), "category_id": 1, "segmentation": rle, "area": 3}
        | {"iscrowd": int(rng.random() < 0.2)}
        for n, (rle, w) in enumerate(zip(objects, where, strict=True), start=1)
    ]
    rles, where = draw(30)
    where[:3] = 3  # an image without truth
    scores = rng.integers(0, 5, 30) / 5
    detections = [
        {"id": n, "image_id": int(where[n - 1]), "category_id": 1, "segmentation": rles[n - 1]}
        | {"score": scores[n - 1], "area": 3, "iscrowd": 0}
        for n in range(1, 31)
    ]
    names = np.array(["", "x", "y", "z"])[where]
    truth = annotations_by_name({"images": images, "annotations": annotations})
    found = find_hits(names, rles, scores, truth)
    answer = evaluate(images, annotations, detections)
    assert found.hit.tolist() == [answer[n][0] for n in range(1, 31)]
    assert found.ignored.tolist() == [answer[n][1] for n in range(1, 31)]
    assert found.hit.any()
