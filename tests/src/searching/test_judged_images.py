import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.judging.coco_evaluation import evaluate_detections
from src.judging.object_metrics import score_images, score_together
from src.objects.map_objects import find_objects
from src.objects.rle import encode_instances
from src.searching.combinations import combinations_of, metric_values
from src.searching.judged_images import judge_image
from src.searching.params import METRICS
from tests.plain_postprocess import plain

SETTINGS = plain(seeds="border", seed_area=2, empty_threshold=0.5)
GRID = {"threshold": [0.4, 0.6], "min_area": [0, 9], "max_hole": [0, 8], "dilate": [0, 1]}


def combined(params=SETTINGS, grid=GRID):
    return [params.model_copy(update=one) for one in combinations_of(grid)]


def record(mask, crowd=0):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"segmentation": rle | {"counts": rle["counts"].decode()}, "iscrowd": crowd}


def scene(seed):
    """A noisy map, its truth (some objects overlap, some are crowd), both in few grey values."""
    random = np.random.default_rng(seed)
    mask, truth = np.zeros((48, 56), np.uint8), []
    for _ in range(random.integers(0, 7)):
        y, x, h, w = random.integers([2, 2, 4, 4], [36, 44, 12, 12])
        mask[y : y + h, x : x + w] = random.choice([128, 160, 200, 255])
        if random.random() < 0.3:
            mask[y + 1 : y + 3, x + 1 : x + 3] = 0
        dy, dx = random.integers(0, 3, 2)
        if random.random() < 0.8:
            drawn = np.zeros(mask.shape, bool)
            drawn[y + dy : y + dy + h, x + dx : x + dx + w] = True
            truth.append(record(drawn, int(random.random() < 0.2)))
    if seed % 3 == 1:  # hundreds of detections, all of which count
        mask[::2, ::3] = np.maximum(mask[::2, ::3], 110)
    return mask, truth


def blank_or_not(seed):
    return 0.9 if seed == 5 else 0.1


def reference(scenes, params):
    """Judge with the evaluation itself; detections scored by mean probability."""
    images, annotations, predictions = [], [], []
    for seed, (mask, truth) in scenes.items():
        size = {"height": mask.shape[0], "width": mask.shape[1]}
        images.append({"id": seed, "name": f"{seed:02}"} | size)
        for one in truth:
            area = int(coco_mask.area(one["segmentation"]))
            keys = {"image_id": seed, "id": len(annotations) + 1, "category_id": 1, "area": area}
            annotations.append(one | keys)
        instances = find_objects({"mask": mask}, blank_or_not(seed), params)
        for label, rle in enumerate(encode_instances(instances).rles, start=1):
            score = mask[instances == label].sum(dtype=float) / (instances == label).sum() / 255
            keys = {"image_id": seed, "category_id": 1, "score": score}
            predictions.append({"segmentation": rle} | keys)
    result = evaluate_detections(images, annotations, [{"id": 1}], predictions, 10_000)
    rows = score_images(images, annotations, predictions, result.matches)
    return result.metrics | score_together(rows)


@pytest.fixture(scope="module")
def scenes():
    return {seed: scene(seed) for seed in range(12)}


@pytest.fixture(scope="module")
def references(scenes):
    """All metrics of all images and of the even ones, for every combination."""
    even = {seed: one for seed, one in scenes.items() if seed % 2 == 0}
    return {
        key: [reference(s, one) for one in combined()] for key, s in [("all", scenes), ("0", even)]
    }


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_that_of_the_evaluation(scenes, references, metric):
    judged = [
        judge_image({"mask": mask}, blank_or_not(seed), truth, combined(), metric)
        for seed, (mask, truth) in scenes.items()
    ]
    subsets = {"all": np.ones(12, bool), "0": np.arange(12) % 2 == 0}
    values = metric_values(judged, subsets, metric)
    assert list(values) == ["all", "0"]
    for key, expected in references.items():
        expected = [one[metric] for one in expected]
        assert len(set(expected)) > 4  # the combinations do differ
        np.testing.assert_allclose(values[key], expected, rtol=0, atol=1e-12)


def value(mask, truth, metric, **maps):
    maps = {key: np.array(one, np.uint8) for key, one in ({"mask": mask} | maps).items()}
    judged = judge_image(maps, 0.0, truth, [SETTINGS], metric)
    return metric_values([judged], {"all": np.ones(1, bool)}, metric)["all"][0]


@pytest.mark.parametrize("metric", METRICS)
def test_one_object_found_exactly_is_worth_1(metric):
    assert value([[0, 255]], [record([[0, 1]])], metric) == pytest.approx(1)
    assert value([[255]], [record([[1]])], metric) == pytest.approx(1)


@pytest.mark.parametrize("metric", METRICS)
def test_an_object_missed_or_invented_is_worth_0(metric):
    assert value([[0, 0]], [record([[0, 1]])], metric) == 0
    if metric != "ap50":
        assert value([[0, 255]], [], metric) == 0


def test_nothing_to_find_and_nothing_found_is_worth_1_but_has_no_precision():
    for metric in ("f1_50", "detection_accuracy", "dice_mean"):
        assert value([[0, 0]], [], metric) == 1
    assert np.isnan(value([[0, 0]], [], "ap50"))


def test_metrics_by_hand():
    # Of 4 px 2 are found (IoU 0.5), another object is invented, one is missed.
    mask = [[200, 200, 0, 0, 0, 255, 0, 0]]
    truth = [record([[1, 1, 1, 1, 0, 0, 0, 0]]), record([[0, 0, 0, 0, 0, 0, 0, 1]])]
    assert value(mask, truth, "f1_50") == 0.5
    assert value(mask, truth, "detection_accuracy") == pytest.approx(1 / 3 / 10)
    assert value(mask, truth, "dice_mean") == 0.5  # 2 * 2 / (3 + 5)
    # Up to recall 0.5 (51 of 101 points) precision 0.5: the invented one has the higher score.
    assert value(mask, truth, "ap50") == pytest.approx(51 / 101 / 2)


def test_crowd_is_neither_right_nor_wrong():
    mask, everywhere = [[255, 0, 255]], record([[1, 0, 0]], crowd=1)
    for metric in METRICS:
        assert value(mask, [everywhere, record([[0, 0, 1]])], metric) == pytest.approx(1)


def test_a_crowd_region_takes_any_number_of_detections_but_none_from_an_object():
    crowd = record([[1, 1, 1, 0, 0, 0, 0]], crowd=1)
    for metric in METRICS[:3]:
        mask = [[255, 0, 255, 0, 200, 200, 200]]
        both = [crowd, record([[0, 0, 0, 0, 1, 1, 1]])]
        assert value(mask, both, metric) == pytest.approx(1)
    # All of the detection lies in the crowd region (1.0) but the object is what it is (0.6).
    mask, inside = [[255, 255, 255, 0, 0, 0, 0]], record([[1, 1, 1, 1, 1, 0, 0]])
    assert value(mask, [crowd, inside], "f1_50") == 1
    assert value(mask, [crowd, inside], "detection_accuracy") == pytest.approx(0.3)


def test_watershed_and_embedding_are_searched_too():
    mask = np.full((1, 6), 255, np.uint8)
    border = np.array([[0, 0, 200, 200, 0, 0]], np.uint8)
    affinity = np.zeros((1, 6, 3), np.uint8)
    affinity[0, :, 0] = [255, 255, 0, 255, 255, 0]
    maps = {"mask": mask, "border": border, "embedding": affinity}
    halves = [record([[1, 1, 1, 0, 0, 0]]), record([[0, 0, 0, 1, 1, 1]])]
    for method, expected in (("threshold", 0.05), ("watershed", 1), ("embedding", 1)):
        params = SETTINGS.model_copy(update={"method": method})
        both = combined(params, {"threshold": [0.4, 0.6]})
        judged = judge_image(maps, 0.0, halves, both, "detection_accuracy")
        assert judged.values.tolist() == [expected, expected]


def test_combinations_keep_their_places_in_whatever_order_they_are_given():
    mask, truth = scene(3)
    forth = judge_image({"mask": mask}, 0.0, truth, combined(), "dice_mean").values
    back = judge_image({"mask": mask}, 0.0, truth, combined()[::-1], "dice_mean").values
    assert len(set(forth)) > 3
    np.testing.assert_array_equal(forth, back[::-1])


def test_of_equal_scores_the_first_images_come_first():
    maps, both = {"mask": np.full((2, 2), 255, np.uint8)}, {"all": np.ones(2, bool)}
    found = judge_image(maps, 0.0, [record(np.ones((2, 2)))], [SETTINGS], "ap50")
    wrong = judge_image(maps, 0.0, [], [SETTINGS], "ap50")
    assert metric_values([found, wrong], both, "ap50")["all"] == pytest.approx([1])
    assert metric_values([wrong, found], both, "ap50")["all"] == pytest.approx([0.5])


def test_a_map_of_too_many_objects_is_refused():
    checkers = np.tile(255 * np.eye(2, dtype=np.uint8), (256, 256))  # 2 objects in 4 px
    with pytest.raises(InputError, match="leaves 131072 objects"):
        judge_image({"mask": checkers}, 0.0, [], [SETTINGS], "dice_mean")


def test_another_metric_is_refused():
    with pytest.raises(ValueError, match="metric 'ap' is unknown; known: ap50, f1_50"):
        value([[0]], [], "ap")
