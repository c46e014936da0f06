import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.judging.coco_evaluation import evaluate_detections
from src.judging.group_draws import group_weights
from src.judging.object_metrics import score_images, score_together
from src.scoring import operating_points
from src.scoring.operating_points import choose_point
from src.scoring.outcomes import Outcomes, detection_outcomes

METRICS = ("f1_50", "pq", "detection_accuracy")


def record(mask, **keys):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"segmentation": rle | {"counts": rle["counts"].decode()}} | keys


def scene(seed, images=5):
    """Detections of a few images with tied scores, of objects that overlap and crowds too."""
    rng = np.random.default_rng(seed)
    truth, rows = {}, []
    for number in range(images):
        name, objects = f"{number}", []
        for _ in range(rng.integers(0, 5)):
            y, x, h, w = rng.integers([0, 0, 3, 3], [12, 12, 9, 9])
            mask = np.zeros((24, 24), bool)
            mask[y : y + h, x : x + w] = True
            objects.append(record(mask, iscrowd=int(rng.random() < 0.3)))
            for _ in range(rng.integers(0, 4)):
                dy, dx = rng.integers(0, 3, 2)
                found = np.zeros((24, 24), bool)
                found[y + dy : y + h + dy, x + dx : x + w] = True
                rows += [(name, record(found)["segmentation"], rng.integers(1, 9) / 9)]
        truth[name] = objects
    order = rng.permutation(len(rows))
    names, rles, scores = zip(*(rows[row] for row in order), strict=True)
    return np.array(names), list(rles), np.round(np.array(scores), 8), truth


def judged(names, rles, scores, truth, metric, images):
    """Match anew and judge as `evaluate` does; images may be listed more than once."""
    records, annotations, predictions = [], [], []
    for number, name in enumerate(images):
        records.append({"id": number, "name": f"{number:03}", "height": 24, "width": 24})
        keys = {"image_id": number, "category_id": 1}
        for one in truth[name]:
            area = int(coco_mask.area(one["segmentation"]))
            annotations.append(one | keys | {"id": len(annotations) + 1, "area": area})
        for row in np.flatnonzero(names == name):
            predictions.append(keys | {"segmentation": rles[row], "score": scores[row]})
    categories = [{"id": 1, "name": "thing"}]
    if not predictions and not annotations:
        return 1.0
    result = evaluate_detections(records, annotations, categories, predictions, 10**6)
    rows = score_images(records, annotations, predictions, result.matches)
    value = score_together(rows)[metric]
    return 1.0 if value is None else value


def slow_cuts(names, rles, scores, truth, metric, images):
    """Value of the metric by the score cut at, of all detections and of none too."""
    values = {}
    for cut in [*np.unique(scores)[::-1], np.inf]:
        kept = np.flatnonzero(scores >= cut)
        left = [rles[row] for row in kept]
        values[cut] = judged(names[kept], left, scores[kept], truth, metric, images)
    return values


def slow_point(names, rles, scores, truth, metric, images):
    """The highest of the best cuts, and below it the first score of a detection that counts."""
    values = slow_cuts(names, rles, scores, truth, metric, images)
    best = max(round(value, 12) for value in values.values())
    lowest = max(cut for cut, value in values.items() if round(value, 12) == best)
    outcomes = detection_outcomes(names, rles, scores, truth, list(truth), metric)
    counts = ((outcomes.gain > 0) | outcomes.wrong).any(axis=1) & np.isin(names, images)
    return lowest, max(scores[counts & (scores < lowest)], default=0.0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(6))
def test_the_cut_is_the_best_of_all_when_each_is_matched_anew(metric, seed):
    names, rles, scores, truth = scene(seed)
    outcomes = detection_outcomes(names, rles, scores, truth, list(truth), metric)
    point = choose_point(outcomes, metric, np.array(["all"] * len(truth)), seed=0)
    lowest, refused = slow_point(names, rles, scores, truth, metric, list(truth))
    assert np.isfinite(lowest)
    assert refused < point.score <= lowest
    assert point.score == pytest.approx((refused + lowest) / 2, abs=0.005)


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_is_of_the_points_of_groups_drawn_anew(metric, monkeypatch):
    monkeypatch.setattr(operating_points, "RESAMPLES", 8)
    names, rles, scores, truth = scene(8)
    groups = np.array(["a", "b", "b", "a", "c"])
    outcomes = detection_outcomes(names, rles, scores, truth, list(truth), metric)
    point = choose_point(outcomes, metric, groups, seed=7)
    drawn = []
    for weights in group_weights(np.array([0, 1, 1, 0, 2]), 8, 7):
        times = dict(zip("abc", weights, strict=True))
        images = [n for n, g in zip(truth, groups, strict=True) for _ in range(times[g])]
        lowest, refused = slow_point(names, rles, scores, truth, metric, images)
        none = scores.max() + 1e-8
        drawn.append((refused + lowest) / 2 if np.isfinite(lowest) else none)
    assert len(set(drawn)) > 1
    np.testing.assert_allclose(point[1:], np.percentile(drawn, (2.5, 97.5)), atol=0.005)
    assert point.score == pytest.approx(
        sorted(drawn)[4], abs=0.005
    )  # the upper of two in the middle


def outcomes_of(scores, right, crowd=(), objects=3):
    """One image of which each detection is right (1), wrong (0) or of a crowd."""
    right = np.array(right, float)[:, None]
    wrong = (right == 0) & ~np.isin(np.arange(len(scores)), crowd)[:, None]
    image = np.zeros(len(scores), np.int64)
    return Outcomes(np.array(scores, float), image, right, wrong, np.array([objects]))


def chosen(*arguments, metric="f1_50", **keys):
    point = choose_point(outcomes_of(*arguments, **keys), metric, np.array(["a"]), seed=0)
    assert point[1:] == (None, None)  # a single group tells nothing
    return point.score


@pytest.mark.parametrize("metric", METRICS)
def test_the_score_is_the_round_middle_of_what_is_accepted_and_what_is_not(metric):
    assert chosen([0.9, 0.81, 0.3], [1, 1, 0], metric=metric) == 0.56  # of 0.555
    assert chosen([0.9, 0.4322, 0.4311], [1, 1, 0], metric=metric) == 0.432  # of 0.43165
    assert chosen([0.9, 0.4, 0.4 - 1e-8], [1, 1, 0], metric=metric) == pytest.approx(0.4, abs=1e-8)
    assert chosen([120.0, 80.0, 10.0], [1, 1, 0], metric=metric) == 45  # no probabilities
    assert chosen([0.3, 0.9, 0.7], [0, 1, 1], metric=metric) == 0.5  # in any order


def test_of_equally_good_cuts_the_highest_is_taken():
    # 2 / 3 with the first alone, 3 wrong ones and a right one later 4 / 6
    scores = [0.9, 0.8, 0.7, 0.6]
    assert chosen(scores[:1], [1], objects=2) == 0.45
    assert chosen(scores, [1, 0, 0, 1], objects=2) == 0.85


def test_equal_scores_are_accepted_together():
    assert chosen([0.8, 0.8, 0.5, 0.5], [1, 0, 1, 0], objects=2) == 0.25
    assert chosen([0.8, 0.5, 0.5, 0.5], [1, 1, 0, 0], objects=2) == 0.65


def test_a_detection_of_a_crowd_is_no_bound():
    assert chosen([0.9, 0.8, 0.5, 0.1], [1, 0, 0, 0], crowd=[1, 2], objects=1) == 0.5
    assert chosen([0.9, 0.8, 0.5, 0.1], [1, 0, 0, 0], crowd=[1], objects=1) == 0.7


@pytest.mark.parametrize("metric", METRICS)
def test_the_ends_of_the_range(metric):
    assert chosen([], np.zeros(0), metric=metric) == 0  # nothing speaks against any
    for objects in (0, 3):  # none is to be accepted
        assert chosen([0.9, 0.2], [0, 0], metric=metric, objects=objects) == 0.90000001
    assert chosen([1, 1, 1], [1, 1, 1], metric=metric) == 0.5  # all are
    assert chosen([0, 0, 0], [1, 1, 1], metric=metric) == 0


def worth(outcomes, metric, cut):
    """The metric of what scores at least `cut`, from the outcomes, image by image."""
    kept = outcomes.scores >= cut
    right, wrong, accuracies = 0.0, 0, []
    for image, objects in enumerate(outcomes.objects):
        rows = kept & (outcomes.image == image)
        gain, bad = outcomes.gain[rows], outcomes.wrong[rows]
        right, wrong = right + gain[:, 0].sum(), wrong + (bad | (gain > 0))[:, 0].sum()
        counted = objects + bad.sum(axis=0)
        accuracies += [np.where(counted, gain.sum(axis=0) / np.maximum(counted, 1), 1).mean()]
    if metric == "detection_accuracy":
        return np.mean(accuracies)
    total = outcomes.objects.sum() + wrong
    return 2 * right / total if total else 1.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_outcomes_are_worth_at_every_cut_what_matching_anew_says(metric, seed):
    names, rles, scores, truth = scene(seed)
    outcomes = detection_outcomes(names, rles, scores, truth, list(truth), metric)
    slow = slow_cuts(names, rles, scores, truth, metric, list(truth))
    assert {cut: worth(outcomes, metric, cut) for cut in slow} == pytest.approx(slow, abs=1e-12)
