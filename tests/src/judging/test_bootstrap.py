import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from src.judging.bootstrap import (
    MEANS,
    METRICS,
    PERCENTS,
    RATIOS,
    average_precisions,
    metric_rows,
    metric_samples,
    resample,
)
from src.judging.coco_evaluation import accepted_alone, evaluate_detections
from src.judging.group_draws import Sampled, group_weights
from src.judging.object_metrics import IMAGE_COLUMNS, score_images, score_together
from src.matching.average_precision import average_precision

SIDE = 24


def rectangle(row, column, height, width):
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[row : row + height, column : column + width] = 1
    return coco_mask.encode(mask)


def scene(seed, *, levels):
    """Random images, truth (some of it crowd) and detections; few score levels make many ties."""
    rng = np.random.default_rng(seed)
    images = [
        {"id": i, "name": f"{i:02}", "height": SIDE, "width": SIDE, "file_name": ""}
        for i in range(6)
    ]
    truth, found = [], []
    for image in images[:-1]:  # the last one is empty
        for _ in range(rng.integers(0, 5)):
            row, column = rng.integers(0, SIDE - 10, 2)
            common = {"image_id": image["id"], "category_id": 1}
            mask = rectangle(row, column, 9, 9)
            crowd = int(rng.random() < 0.15)
            number = len(truth) + 1
            truth.append(
                common | {"id": number, "iscrowd": crowd, "segmentation": mask, "area": 81}
            )
            for _ in range(rng.integers(0, 4)):
                moved = row + rng.integers(0, 6), column + rng.integers(0, 3)
                score = rng.integers(1, levels + 1) / levels
                found.append(common | {"segmentation": rectangle(*moved, 9, 9), "score": score})
    return images, truth, [found[place] for place in rng.permutation(len(found))]


def judged(images, truth, found, limit=100):
    """Tables of images and detections, as the stage makes them."""
    matches = evaluate_detections(images, truth, [{"id": 1}], found, limit).matches
    rows = score_images(images, truth, found, accepted_alone(matches))
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    detections = {"image_id": matches.image_id, "score": matches.score, "ranked": matches.ranked}
    for place, percent in enumerate(PERCENTS):
        detections[f"tp_{percent}"] = matches.tp_at[:, place]
        detections[f"ignored_{percent}"] = matches.ignored_at[:, place]
    return rows, table, detections


def coco_precisions(images, truth, found):
    """AP of COCOeval itself at its ten thresholds, NaN without truth."""
    categories = [{"id": 1}]
    with redirect_stdout(io.StringIO()):
        indexes = []
        for records in (truth, [d | {"area": 81, "iscrowd": 0} for d in found]):
            records = [record | {"id": n} for n, record in enumerate(records, start=1)]
            index = COCO()
            index.dataset = {"images": images, "annotations": records, "categories": categories}
            index.createIndex()
            indexes.append(index)
        evaluator = COCOeval(*indexes, "segm")
        evaluator.evaluate()
        evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, 0, 0, -1].mean(axis=1)
    return np.where(precision < 0, np.nan, precision)


def repeated(images, records, times):
    """Each image `times` often, copies one after the other, with new ids."""
    ids, new_images = {image["id"]: [] for image in images}, []
    for image, count in zip(images, times, strict=True):
        for _ in range(count):
            ids[image["id"]].append(len(new_images))
            new_images.append(image | {"id": len(new_images)})
    copies = [record | {"image_id": new} for record in records for new in ids[record["image_id"]]]
    return new_images, copies


@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_cocos_on_images_that_are_really_repeated(seed, levels):
    images, truth, found = scene(seed, levels=levels)
    _, table, detections = judged(images, truth, found)
    groups = np.array([0, 1, 0, 2, 3, 3])
    weights = np.concatenate([group_weights(groups, 6, seed), [[1, 1, 1, 1], [0, 0, 0, 4]]])
    samples = metric_samples(table, detections, groups, weights, ["ap", "ap50", "ap75"])
    for row, weight in enumerate(weights):
        new_images, new_truth = repeated(images, truth, weight[groups])
        precisions = coco_precisions(
            new_images, new_truth, repeated(images, found, weight[groups])[1]
        )
        expected = {"ap": precisions.mean(), "ap50": precisions[0], "ap75": precisions[5]}
        for name, value in expected.items():
            assert samples[name][row] == pytest.approx(value, abs=1e-12, nan_ok=True), (row, name)


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_the_shared_one_of_detections_written_out(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 8, 60)
    tp, ignored = rng.random((2, 60, 1)) < [[[0.5]], [[0.2]]]
    tp &= ~ignored
    scores, objects = rng.integers(0, 20, 60) / 20, rng.integers(0, 12, 8)
    groups = np.arange(8)
    weights = group_weights(groups, 5, seed)
    found = average_precisions(
        scores=scores,
        tp=tp,
        ignored=ignored,
        detection_image=image,
        detection_group=image,
        objects_per_group=objects,
        weights=weights,
    )[:, 0]
    for precision, weight in zip(found, weights, strict=True):
        times = np.repeat(np.arange(8), weight)
        rows = np.concatenate([np.flatnonzero(image == one) for one in times])
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        hits = tp[rows, 0][~ignored[rows, 0]]
        expected = average_precision(hits, int(objects[times].sum()))
        assert precision == pytest.approx(expected, abs=1e-14)


def test_average_precision_worked_out_by_hand():
    precisions = average_precisions(
        scores=np.array([0.5, 0.9, 0.7]),
        tp=np.array([[True], [True], [False]]),
        ignored=np.zeros((3, 1), bool),
        detection_image=np.array([0, 0, 1]),
        detection_group=np.array([0, 0, 1]),
        objects_per_group=np.array([2, 0]),
        weights=np.array([[1, 1], [1, 0], [1, 2], [0, 2]]),
    )[:, 0]
    # precision 1 up to recall 0.5, then 2 of 3, of 2 and of 4; the last draw has no object
    expected = [(51 + 50 * last) / 101 for last in (2 / 3, 1, 1 / 2)]
    assert precisions[:3] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(precisions[3])


def test_objects_without_any_detection_give_zero():
    nothing = np.zeros((0, 1), bool)
    none = np.zeros(0, int)
    precisions = average_precisions(
        scores=np.zeros(0),
        tp=nothing,
        ignored=nothing,
        detection_image=none,
        detection_group=none,
        objects_per_group=np.array([3]),
        weights=np.array([[1], [2]]),
    )
    assert precisions.tolist() == [[0], [0]]


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_means_are_those_of_rows_that_are_really_repeated(seed):
    rng = np.random.default_rng(seed)
    counts = [key for key in IMAGE_COLUMNS if key.startswith(("tp", "fp"))]
    rows = []
    for _ in range(6):  # every column its own, some rows all 0
        row = dict.fromkeys(IMAGE_COLUMNS, 0) | {"objects": int(rng.integers(3, 5))}
        row |= {key: int(rng.integers(0, 4)) for key in counts} | {"sum_iou": rng.random()}
        row |= {key: rng.random() for key in MEANS.values()}
        row["fn"] = row["objects"] - row["tp"]
        rows.append(row if rng.random() < 0.7 else dict.fromkeys(IMAGE_COLUMNS, 0))
    table = {key: np.array([row[key] for row in rows]) for key in IMAGE_COLUMNS}
    groups = np.array([0, 1, 0, 2, 3, 3])
    weights = np.concatenate([group_weights(groups, 8, seed), [[1, 1, 1, 1]]])
    names = [*RATIOS, *MEANS]
    samples = metric_samples(table, {}, groups, weights, names)
    for place, weight in enumerate(weights):
        repeats = zip(rows, weight[groups], strict=True)
        scores = score_together([row for row, count in repeats for _ in range(count)])
        for name in names:
            expected = np.nan if scores[name] is None else scores[name]
            assert samples[name][place] == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize(("accept_from", "limit"), [(0, 100), (0.5, 100), (0.5, 2)])
def test_all_metrics_of_the_images_as_they_are_equal_those_of_the_evaluation(accept_from, limit):
    images, truth, found = scene(2, levels=3)
    found = [one | {"accepted": bool(one["score"] >= accept_from)} for one in found]
    rows, table, detections = judged(images, truth, found, limit)
    metrics = evaluate_detections(images, truth, [{"id": 1}], found, limit).metrics
    metrics |= score_together(rows)
    assert (metrics["ar50"] == metrics["recall_50"]) == (accept_from == 0)
    sampled = resample(
        table | {"group": table["name"]}, detections, metrics=METRICS, resamples=1, seed=0
    )
    for name in METRICS:
        assert sampled[name].value == pytest.approx(metrics[name], abs=1e-12), name


def test_the_recall_of_the_ranking_is_that_of_images_that_are_really_repeated():
    images, truth, found = scene(3, levels=5)
    found = [one | {"accepted": bool(one["score"] > 0.7)} for one in found]
    _, table, detections = judged(images, truth, found, 3)
    groups = np.array([0, 1, 0, 2, 3, 3])
    weights = np.concatenate([group_weights(groups, 6, 3), [[0, 0, 0, 4]]])
    samples = metric_samples(table, detections, groups, weights, ["ar50"])["ar50"]
    for row, weight in enumerate(weights):
        new_images, new_truth = repeated(images, truth, weight[groups])
        _, new_found = repeated(images, found, weight[groups])
        new_truth = [one | {"id": number} for number, one in enumerate(new_truth, start=1)]
        metrics = evaluate_detections(new_images, new_truth, [{"id": 1}], new_found, 3).metrics
        assert samples[row] == pytest.approx(metrics["ar50"], abs=1e-12)


def test_an_image_without_truth_and_detection_decides_what_is_one_and_what_undefined():
    rows, table, detections = judged(
        [{"id": 1, "name": "a", "height": SIDE, "width": SIDE, "file_name": ""}], [], []
    )
    weights, names = np.ones((1, 1), int), [*RATIOS, *MEANS]
    samples = metric_samples(table, detections, np.zeros(1, int), weights, names)
    scores = score_together(rows)
    for name in names:
        assert np.isnan(samples[name][0]) == (scores[name] is None), name
        assert scores[name] in (None, 1), name


def images_with(dice, groups):
    return {"group": groups, "image_id": np.arange(len(dice)), "dice": np.array(dice, float)}


def test_rows_hold_counts_whole_and_what_is_undefined_empty():
    sampled = {"dice_mean": Sampled(0.5, np.linspace(0.4, 0.6, 41), 3)}
    values = {"dice_mean": 0.500000001, "images": np.int64(3), "ece": None, "ap50": float("nan")}
    rows = metric_rows(values, sampled)
    assert [tuple(row.values()) for row in rows] == [
        ("dice_mean", 0.5, 0.244579, 0.755421),  # 0.405 and 0.595, wider for 3 groups
        ("images", 3, None, None),
        ("ece", None, None, None),
        ("ap50", None, None, None),
    ]


def test_an_unknown_metric_is_refused():
    dice = images_with([1], ["a"])
    with pytest.raises(ValueError, match="unknown metric 'ap51'; known: ap50, ap75"):
        resample(dice, {}, metrics=["ap51"], resamples=1, seed=0)
