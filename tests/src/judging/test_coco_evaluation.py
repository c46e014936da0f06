import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from src.base.errors import InputError
from src.judging.coco_evaluation import (
    CHALLENGE_AREAS,
    THRESHOLDS,
    accepted_alone,
    check_predictions,
    evaluate_detections,
)

COCO_EVAL = Path(__file__).parents[4] / "shared" / "data" / "coco_eval"
CATEGORIES = [{"id": 100, "name": "building"}]
SIZE = 40


def images(count=1):
    return [{"id": i, "height": SIZE, "width": SIZE} for i in range(1, count + 1)]


def rle(top, left, height, width):
    mask = np.zeros((SIZE, SIZE), np.uint8, order="F")
    mask[top : top + height, left : left + width] = 1
    encoded = coco_mask.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def truth(box, *, number=1, image=1, crowd=0, category=100):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": crowd,
        "segmentation": rle(*box),
        "area": box[2] * box[3],
    }


def found(box, score, *, image=1, category=100):
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": rle(*box),
        "score": score,
        "bbox": [0, 0, SIZE, SIZE],  # must not matter
    }


def evaluate(annotations, predictions, *, count=1, categories=CATEGORIES, max_detections=100):
    return evaluate_detections(images(count), annotations, categories, predictions, max_detections)


A, B, C = (0, 0, 10, 10), (20, 20, 10, 10), (0, 25, 10, 10)


def test_average_precision_is_that_worked_out_by_hand():
    annotations = [truth(A, number=1), truth(B, number=2)]
    result = evaluate(annotations, [found(A, 0.9), found(C, 0.8), found(B, 0.7)])
    # precision 1 up to recall 0.5 (51 of 101 points), then 2 of 3
    assert result.metrics["ap50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert result.metrics["ar50"] == 1
    np.testing.assert_allclose(result.precision, [1] * 51 + [2 / 3] * 50)
    assert result.matches.tp.tolist() == [True, False, True]
    assert result.matches.truth_id.tolist() == [1, -1, 2]


def test_an_overlap_of_exactly_one_half_matches():
    half = evaluate([truth((0, 0, 10, 10))], [found((0, 0, 10, 5), 0.5)])
    assert half.matches.iou.tolist() == [0.5]
    assert half.matches.tp.tolist() == [True]
    assert half.metrics["ap50"] == pytest.approx(1)
    assert half.metrics["ap"] == pytest.approx(0.1)  # at the first of ten thresholds only


def test_an_overlap_just_below_one_half_does_not_match():
    below = evaluate([truth((0, 0, 10, 11))], [found((0, 0, 10, 5), 0.5)])
    assert below.matches.tp.tolist() == [False]
    assert below.matches.iou.tolist() == pytest.approx([5 / 11])
    assert below.metrics["ap50"] == 0


def test_of_two_detections_of_one_object_the_better_scored_is_right():
    result = evaluate([truth(A)], [found(A, 0.3), found((0, 0, 10, 9), 0.8)])
    assert result.matches.tp.tolist() == [False, True]
    assert result.matches.iou.tolist() == pytest.approx([1.0, 0.9])


def test_detections_on_a_crowd_are_neither_right_nor_wrong():
    annotations = [truth(A, number=1), truth((15, 0, 25, 40), number=2, crowd=1)]
    inside = [found((20, 2, 5, 5), 0.9), found((30, 2, 5, 5), 0.8)]
    result = evaluate(annotations, [*inside, found(A, 0.1)])
    assert result.metrics["ap50"] == pytest.approx(1)
    assert result.matches.ignored.tolist() == [True, True, False]
    assert result.matches.tp.tolist() == [False, False, True]
    assert result.matches.truth_id.tolist() == [2, 2, 1]
    assert result.matches.iou.tolist() == [1, 1, 1]  # of a crowd: the part that lies in it


def test_an_unmatched_detection_is_not_compared_with_crowds():
    annotations = [truth((0, 0, 10, 4), number=1, crowd=1)]
    result = evaluate(annotations, [found((0, 0, 10, 10), 0.9)])
    assert result.matches.iou.tolist() == [0]
    assert not result.matches.ignored[0]


def test_a_detection_on_an_image_without_truth_lowers_the_precision():
    result = evaluate([truth(A)], [found(A, 0.5), found(A, 0.9, image=2)], count=2)
    assert result.metrics["ap50"] == pytest.approx(0.5)


def test_an_image_without_detections_counts():
    annotations = [truth(A, number=1), truth(A, number=2, image=2)]
    result = evaluate(annotations, [found(A, 0.5)], count=3)
    assert result.metrics["ar50"] == 0.5
    assert result.metrics["ap50"] == pytest.approx(51 / 101)


def test_no_detection_at_all_scores_zero():
    result = evaluate([truth(A)], [])
    assert (result.metrics["ap50"], result.metrics["ar50"]) == (0, 0)
    assert result.matches.score.shape == (0,)
    assert result.matches.tp.dtype == bool
    assert result.matches.tp_at.shape == result.matches.ignored_at.shape == (0, 10)


@pytest.mark.parametrize("predictions", [[], [found(A, 0.5)]])
def test_without_any_truth_every_measure_is_undefined(predictions):
    result = evaluate([], predictions)
    assert set(result.metrics.values()) == {None}
    assert result.precision.shape == (0,)
    assert not result.matches.tp.any()


def test_no_category_means_no_truth():
    assert evaluate([], [], categories=[]).metrics["ap50"] is None


def test_the_size_bins_meet_at_14_by_14_and_share_no_object():
    large = evaluate([truth((0, 0, 14, 14))], [found((0, 0, 14, 14), 0.5)]).metrics
    assert (large["ar50_large"], large["ap50_small"], large["ar50_small"]) == (1, None, None)
    assert large["ap50_large"] == pytest.approx(1)
    small = evaluate([truth((0, 0, 13, 15))], [found((0, 0, 13, 15), 0.5)]).metrics
    assert (small["ar50_small"], small["ap50_large"], small["ar50_large"]) == (1, None, None)
    assert small["ap50_small"] == pytest.approx(1)


def test_a_wrong_detection_belongs_to_the_size_bin_of_its_mask_not_of_its_box():
    result = evaluate([truth(A)], [found(B, 0.9), found(A, 0.5)])
    assert result.metrics["ap50_small"] == pytest.approx(0.5)


def test_only_the_best_scored_detections_of_an_image_are_ranked():
    annotations = [truth(A, number=1), truth(B, number=2)]
    result = evaluate(annotations, [found(A, 0.2), found(C, 0.9), found(B, 0.8)], max_detections=2)
    assert result.matches.detection.tolist() == [0, 1, 2]
    assert result.matches.ranked.tolist() == [False, True, True]
    assert result.metrics["ar50"] == 0.5


def test_accepted_detections_are_judged_whatever_the_limit_and_others_only_within_it():
    annotations = [truth(A, number=1), truth(B, number=2)]
    scores = (0.9, True), (0.8, True), (0.7, False), (0.6, False)
    predictions = [
        found(box, score) | {"accepted": accepted}
        for box, (score, accepted) in zip((A, B, C, C), scores, strict=True)
    ]
    result = evaluate(annotations, predictions, max_detections=1)
    assert result.metrics["ar50"] == 0.5
    assert result.matches.detection.tolist() == [0, 1]
    assert result.matches.ranked.tolist() == [True, False]
    assert result.matches.tp.tolist() == [True, True]
    result = evaluate(annotations, predictions, max_detections=3)
    assert result.matches.ranked.tolist() == [True, True, True]
    assert result.matches.accepted.tolist() == [True, True, False]
    alone = accepted_alone(result.matches)
    assert (alone.detection.tolist(), alone.accepted.tolist()) == ([0, 1], [True, True])


def test_the_ranking_does_not_look_at_what_is_accepted():
    annotations = [truth(A, number=1), truth(B, number=2)]
    predictions = [found(A, 0.9), found(C, 0.8), found(B, 0.7)]
    few = [one | {"accepted": one["score"] > 0.75} for one in predictions]
    plain, some = evaluate(annotations, predictions), evaluate(annotations, few)
    assert some.metrics == plain.metrics
    assert some.precision.tolist() == plain.precision.tolist()
    assert plain.matches.accepted.all()  # nothing is said, as in files of other programs


def test_of_equal_scores_the_accepted_one_goes_first():
    predictions = [found(C, 0.5) | {"accepted": False}, found(A, 0.5) | {"accepted": True}]
    result = evaluate([truth(A)], predictions, max_detections=1)
    assert result.matches.detection.tolist() == [1]
    assert result.matches.accepted.tolist() == [True]


def crowded_scene(seed):
    """Objects, crowds and detections of two categories in four images, in bins of both sizes."""
    rng = np.random.default_rng(seed)
    annotations, predictions = [], []
    for image in range(1, 5):
        for number in range(rng.integers(0, 12)):
            top, left = (int(place) for place in rng.integers(0, SIZE - 20, 2))
            side, category = int(rng.choice([9, 16])), int(rng.choice([100, 200]))
            one = {"image": image, "category": category}
            crowd = int(rng.random() < 0.2)
            number = len(annotations) + 1
            annotations.append(truth((top, left, side, side), number=number, crowd=crowd, **one))
            for _ in range(rng.integers(0, 4)):
                moved = top + int(rng.integers(0, 5)), left + int(rng.integers(0, 3)), side, side
                predictions.append(found(moved, int(rng.integers(1, 9)) / 8, **one))
    return annotations, [predictions[place] for place in rng.permutation(len(predictions))]


@pytest.mark.parametrize("limit", [1, 4, 100])
@pytest.mark.parametrize("seed", range(4))
def test_the_accepted_rows_are_what_judging_the_accepted_ones_alone_gives(seed, limit):
    categories = [{"id": 100, "name": "a"}, {"id": 200, "name": "b"}]
    annotations, predictions = crowded_scene(seed)
    accept_from = {image: 0.3 + 0.1 * image for image in range(1, 5)}  # as by folds
    marked = [
        one | {"accepted": one["score"] >= accept_from[one["image_id"]]} for one in predictions
    ]
    check_predictions(marked, images(4), categories, "results.json")
    result = evaluate(annotations, marked, count=4, categories=categories, max_detections=limit)
    accepted = [place for place, one in enumerate(marked) if one["accepted"]]
    alone = [predictions[place] for place in accepted]
    plain = evaluate(annotations, alone, count=4, categories=categories, max_detections=10_000)
    expected = plain.matches._asdict()
    expected["detection"] = np.array(accepted)[expected["detection"]]
    for name, column in accepted_alone(result.matches)._asdict().items():
        if name != "ranked":
            assert column.tolist() == expected[name].tolist(), name
    whole = evaluate(annotations, predictions, count=4, categories=categories, max_detections=limit)
    assert result.metrics == whole.metrics
    if limit == 100:
        assert len(result.matches.detection) == len(predictions) > len(accepted) > 0


def test_an_annotation_with_id_0_can_be_matched():
    result = evaluate([truth(A, number=0)], [found(A, 0.5)])
    assert result.matches.tp.tolist() == [True]
    assert result.matches.truth_id.tolist() == [0]


def test_annotations_of_other_images_are_left_out():
    result = evaluate([truth(B, number=7, image=2), truth(A, number=8)], [found(A, 0.5)])
    assert result.metrics["ar50"] == 1
    assert result.matches.truth_id.tolist() == [8]


def test_categories_do_not_match_each_other_and_are_averaged():
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "no truth"}]
    annotations = [truth(A, number=1, category=1), truth(B, number=2, category=2)]
    predictions = [found(A, 0.5, category=1), found(B, 0.5, category=1)]
    result = evaluate(annotations, predictions, categories=categories)
    assert result.metrics["ap50"] == pytest.approx(0.5)
    assert result.matches.tp.tolist() == [True, False]


def test_records_given_in_are_left_as_they_are():
    annotations, predictions = [truth(A, number=5)], [found(A, 0.5)]
    evaluate(annotations, predictions)
    assert annotations == [truth(A, number=5)]
    assert predictions == [found(A, 0.5)]


def test_nothing_is_printed(capsys):
    evaluate([truth(A)], [found(A, 0.5)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seed", range(5))
def test_matches_agree_with_the_recall_of_coco(seed):
    rng = np.random.default_rng(seed)
    boxes = rng.integers(1, 20, (60, 4))
    annotations = [
        truth(box, number=i, image=1 + i % 3, crowd=int(i % 7 == 0))
        for i, box in enumerate(boxes[:30].tolist())
    ]
    predictions = [
        found(
            np.clip(box + rng.integers(-1, 2, 4), 1, None).tolist(), rng.random(), image=1 + i % 3
        )
        for i, box in enumerate(boxes[:40].tolist())
    ]
    result = evaluate(annotations, predictions, count=3)
    objects = sum(not annotation["iscrowd"] for annotation in annotations)
    assert result.metrics["ar50"] == pytest.approx(result.matches.tp.sum() / objects)
    assert not (result.matches.tp & result.matches.ignored).any()
    assert (result.matches.iou[result.matches.tp] >= 0.5).all()


def test_matches_are_told_for_each_of_ten_overlaps():
    annotations = [truth(A, number=1), truth((20, 0, 20, 10), number=2, crowd=1)]
    # 0.7 of the object; 0.8 of the second lies in the crowd; the third touches neither
    predictions = [found((0, 0, 10, 7), 0.9), found((18, 0, 10, 10), 0.8), found(C, 0.7)]
    matches = evaluate(annotations, predictions).matches
    np.testing.assert_allclose(THRESHOLDS, np.arange(50, 100, 5) / 100)
    assert matches.tp_at.tolist() == [[True] * 5 + [False] * 5, [False] * 10, [False] * 10]
    assert matches.ignored_at.tolist() == [[False] * 10, [True] * 7 + [False] * 3, [False] * 10]


def test_the_first_of_ten_overlaps_is_that_of_the_plain_columns():
    annotations, predictions = scene(np.random.default_rng(0), images=4, sides=(2, 12))
    matches = evaluate(annotations, predictions, count=4).matches
    assert matches.tp.any()
    assert matches.ignored.any()
    np.testing.assert_array_equal(matches.tp, matches.tp_at[:, 0])
    np.testing.assert_array_equal(matches.ignored, matches.ignored_at[:, 0])


def test_another_object_may_be_matched_where_more_overlap_is_asked():
    annotations = [truth((0, 0, 10, 10), number=1), truth((0, 7, 10, 10), number=2)]
    predictions = [found((0, 2, 10, 10), 0.9), found((0, 0, 10, 10), 0.8)]
    matches = evaluate(annotations, predictions).matches
    # 80 of 120 px shared with the first object, 50 of 150 with the second
    assert matches.tp_at[0].tolist() == [True] * 4 + [False] * 6
    # so the exact detection finds its object taken up to 0.65, and free from 0.7
    assert matches.tp_at[1].tolist() == [False] * 4 + [True] * 6
    assert matches.truth_id.tolist() == [1, -1]  # at 0.5


def scene(rng, *, images, sides, categories=(100,), area=True):
    """Objects, one in seven a crowd, and detections that lie a pixel or two off."""
    annotations, predictions = [], []
    for number in range(1, images * 12 + 1):
        box = [*rng.integers(0, SIZE - 8, 2).tolist(), *rng.integers(*sides, 2).tolist()]
        image, category = int(rng.integers(1, images + 1)), int(rng.choice(categories))
        kinds = {"image": image, "category": category}
        if rng.random() < 0.8:
            annotations.append(truth(box, number=number, crowd=int(number % 7 == 0), **kinds))
            inside = coco_mask.area(annotations[-1]["segmentation"])
            annotations[-1]["area"] = (
                int(inside) if area else int(rng.choice([50, 500, 5000, 50_000]))
            )
        if rng.random() < 0.8:
            moved = np.maximum(np.add(box, rng.integers(-1, 2, 4)), [0, 0, 1, 1]).tolist()
            predictions.append(found(moved, round(float(rng.random()), 1), **kinds))
    return annotations, predictions


def plain_coco(images, annotations, categories, predictions):
    """Run COCOeval as its authors do, for our size bins too. It marks what has no truth with -1.

    A detection with a bbox would get the area of that box, so it is left out.
    """
    results = [{k: v for k, v in result.items() if k != "bbox"} for result in predictions]
    dataset = {"images": images, "annotations": annotations, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(dataset)
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), "segm")
        assert evaluator.params.areaRngLbl == ["all", "small", "medium", "large"]
        assert evaluator.params.maxDets == [1, 10, 100]
        evaluator.params.areaRng += [list(area) for area in CHALLENGE_AREAS.values()]
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = (evaluator.eval[key][..., 2] for key in ("precision", "recall"))
    arrays = {"ap": precision, "ar": recall}
    expected = {"ap75": precision[5, ..., 0]}
    for metric, values in arrays.items():
        expected |= {metric: values[..., 0], f"{metric}50": values[0, ..., 0]}
        for place, size in enumerate(("small", "medium", "large"), start=1):
            expected[f"{metric}_coco_{size}"] = values[..., place]
        for place, size in enumerate(CHALLENGE_AREAS, start=4):
            expected[f"{metric}50_{size}"] = values[0, ..., place]
    return {
        key: values[values > -1].mean() for key, values in expected.items() if values.max() > -1
    }


def assert_equals_plain_coco(images, annotations, categories, predictions):
    expected = plain_coco(images, annotations, categories, predictions)
    metrics = evaluate_detections(images, annotations, categories, predictions, 100).metrics
    assert len(metrics) == 15
    defined = {key: value for key, value in metrics.items() if value is not None}
    assert defined == pytest.approx(expected, abs=1e-15, rel=0)
    return metrics


@pytest.mark.parametrize("seed", range(6))
def test_every_metric_is_that_of_plain_coco_on_random_scenes(seed):
    rng = np.random.default_rng(seed)
    categories = [{"id": i, "name": str(i)} for i in (3, 5)][: 1 + seed % 2]
    annotations, predictions = scene(
        rng,
        images=5,
        sides=(6, 22),
        categories=[category["id"] for category in categories],
        area=seed % 3 > 0,  # areas that are not those of the masks fall into all of the bins
    )
    metrics = assert_equals_plain_coco(images(6), annotations, categories, predictions)
    assert 0.2 < metrics["ap50"] < 1
    assert metrics["ap50_small"] != metrics["ap50_large"]
    assert (metrics["ap_coco_large"] is None) == (seed % 3 > 0)  # 40 x 40 px are less than 96 x 96


@pytest.mark.parametrize("seed", range(3))
def test_every_metric_is_that_of_plain_coco_where_it_is_hard(seed):
    """Many equal scores, overlaps of 1/2 and 1, an id of 0, more than 100 detections of an image,
    images with nothing, with detections alone, with objects alone, with crowds alone."""
    rng = np.random.default_rng(seed)
    annotations, predictions = [], []
    counts = [(60, 260), (0, 9), (7, 0), (0, 0), (9, 30)]
    for image, (objects, detections) in enumerate(counts, start=1):
        corners, sides = rng.integers(0, 28, (objects, 2)), rng.choice([4, 8], (objects, 2))
        boxes = np.concatenate([corners, sides], axis=1).tolist()
        for box in boxes:
            number, crowd = len(annotations), int(rng.random() < 0.1)
            annotations.append(truth(box, number=number, image=image, crowd=crowd))
        for _ in range(detections):
            top, left, *sides = boxes[rng.integers(objects)] if objects else A
            moved = top + int(rng.integers(0, 3)), left + int(rng.integers(0, 3)), *sides
            predictions.append(found(moved, int(rng.integers(1, 5)) / 4, image=image))
    annotations += [truth(A, number=len(annotations), image=7, crowd=1)]
    annotations = [annotations[place] for place in rng.permutation(len(annotations))]
    predictions = [predictions[place] for place in rng.permutation(len(predictions))]
    shown = [one for one in annotations if one["id"] > 0]  # COCO counts id 0 as never matched
    metrics = assert_equals_plain_coco(images(8), shown, CATEGORIES, predictions)
    assert 0.1 < metrics["ap50"] < 0.9
    renumbered = [one | {"id": one["id"] - 1} for one in shown]
    assert evaluate(renumbered, predictions, count=8).metrics == metrics
    assert any(one["id"] == 0 for one in renumbered)


@pytest.mark.parametrize("side", [31, 32, 33, 95, 96, 97])
def test_cocos_size_bins_share_their_bounds(side):
    size = [100, 100]
    mask = np.zeros(size, np.uint8, order="F")
    mask[:side, :side] = 1
    segmentation = coco_mask.encode(mask)
    record = {"image_id": 1, "category_id": 100, "segmentation": segmentation, "bbox": [0, 0, 9, 9]}
    annotation = record | {"id": 1, "iscrowd": 0, "area": side**2}
    image = {"id": 1, "height": 100, "width": 100}
    result = evaluate_detections([image], [annotation], CATEGORIES, [record | {"score": 1}], 100)
    bins = [
        name
        for name in ("small", "medium", "large")
        if result.metrics[f"ap_coco_{name}"] is not None
    ]
    assert bins == {
        31: ["small"],
        32: ["small", "medium"],
        96: ["medium", "large"],
        97: ["large"],
    }.get(side, ["medium"])


@pytest.mark.skipif(not COCO_EVAL.is_dir(), reason="COCO's example data is not beside the project")
def test_equals_the_published_figures_of_100_coco_images():
    coco = json.loads((COCO_EVAL / "instances_val2014_100.json").read_text())
    index = COCO()
    index.dataset = coco
    index.createIndex()
    for annotation in coco["annotations"]:  # from polygons, and from lists of run lengths
        annotation["segmentation"] = index.annToRLE(annotation)
    results = json.loads((COCO_EVAL / "instances_val2014_fakesegm100_results.json").read_text())
    assert check_predictions(results, coco["images"], coco["categories"], "results") is results
    assert len({r["image_id"] for r in results}) == 99  # one image has no detections
    metrics = assert_equals_plain_coco(
        coco["images"], coco["annotations"], coco["categories"], results
    )
    assert metrics["ap"] == pytest.approx(0.3195452758576433, abs=1e-9)
    assert metrics["ap50"] == pytest.approx(0.5622883972521636, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 9}, "results.json: prediction 1: image_id 9 is not among the 1 judged"),
        ({"category_id": 3}, r"category_id 3 is not in the truth \(\[100\]\)"),
        ({"segmentation": [[0, 0, 1, 1, 0, 1]]}, "no compressed RLE"),
        ({"segmentation": {"size": [40, 40], "counts": [1600]}}, "no compressed RLE"),
        ({"segmentation": {"size": [30, 40], "counts": "0"}}, r"mask of \[30, 40\] for an image"),
        ({"score": float("nan")}, "score nan is not a finite number"),
        ({"score": "0.5"}, "score '0.5' is not"),
        ({"accepted": 1}, "prediction 1: accepted is 1; write true or false, or leave it out"),
    ],
)
def test_predictions_that_cannot_be_judged_are_refused(change, words):
    predictions = [found(A, 0.5), found(A, 0.5) | change]
    with pytest.raises(InputError, match=words):
        check_predictions(predictions, images(), CATEGORIES, "results.json")


@pytest.mark.parametrize(
    ("predictions", "words"),
    [({"a": 1}, "not a list"), ([{"image_id": 1}], "not all of image_id"), ([3], "not all of")],
)
def test_what_is_no_list_of_predictions_is_refused(predictions, words):
    with pytest.raises(InputError, match=words):
        check_predictions(predictions, images(), CATEGORIES, "results.json")


def test_what_is_not_accepted_by_score_is_refused():
    better, worse = found(A, 0.75) | {"accepted": False}, found(B, 0.5) | {"accepted": True}
    with pytest.raises(
        InputError, match=r"prediction 0: accepted with score 0.5 where one of 0.75"
    ):
        check_predictions([worse, better], images(), CATEGORIES, "results.json")
    with pytest.raises(InputError, match="prediction 1: accepted with score 0.5"):
        check_predictions([better, found(B, 0.5)], images(), CATEGORIES, "results.json")
    elsewhere = [better, worse | {"image_id": 2}, found(B, 0.75)]  # equal ones may differ
    assert check_predictions(elsewhere, images(2), CATEGORIES, "results.json") is elsewhere


def test_predictions_that_can_be_judged_come_back():
    predictions = [found(A, 0.5), found(A, 1)]
    assert check_predictions(predictions, images(), CATEGORIES, "results.json") is predictions


def test_nothing_to_judge_is_a_programming_mistake():
    with pytest.raises(ValueError, match="nothing to judge: 0 images"):
        evaluate([], [], count=0)
    with pytest.raises(ValueError, match="0 detections"):
        evaluate([truth(A)], [], max_detections=0)
