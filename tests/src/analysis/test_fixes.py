import numpy as np
import pytest

from src.analysis.fixes import FIXES, average_precision_50, fix_each_kind
from src.judging.coco_evaluation import evaluate_detections
from tests.blocks import HEIGHT, WIDTH, block, rle


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_cocos(seed):
    """Many equal scores, crowd regions, several images, ids out of order."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(6).tolist()
    images = [{"id": n, "height": HEIGHT, "width": WIDTH} for n in numbers]
    annotations, predictions = [], []
    for image in numbers:
        for column in range(5):
            box = (column * 12, 10, 8, int(rng.integers(6, 12)))
            crowd = int(rng.random() < 0.1)
            record = {"image_id": image, "category_id": 1, "segmentation": rle(block(*box))}
            record |= {"id": len(annotations), "area": box[2] * box[3], "iscrowd": crowd}
            annotations.append(record)
            for _ in range(rng.integers(0, 3)):
                moved = (box[0] + int(rng.integers(0, 4)), *box[1:])
                mask = rle(block(*moved))
                score = float(rng.integers(1, 5)) / 4
                predictions.append(
                    {"image_id": image, "category_id": 1, "segmentation": mask, "score": score}
                )
    predictions = [predictions[place] for place in rng.permutation(len(predictions))]
    result = evaluate_detections(images, annotations, [{"id": 1}], predictions, 100)
    matches = result.matches
    order = np.lexsort((matches.detection, matches.image_id))
    order = order[~matches.ignored[order]]
    objects = sum(not annotation["iscrowd"] for annotation in annotations)
    ap50 = average_precision_50(matches.score[order], matches.tp[order], objects)
    assert 0.2 < ap50 < 0.9
    assert ap50 == pytest.approx(result.metrics["ap50"], abs=1e-12)


def test_average_precision_without_objects_or_detections():
    assert average_precision_50(np.array([0.5]), np.array([False]), 0) is None
    assert average_precision_50(np.empty(0), np.empty(0, bool), 3) == 0


def columns(outcome, blamed, kind, score):
    objects = {"outcome": np.array(outcome), "detection": np.array(blamed)}
    detections = {"kind": np.array(kind), "score": np.array(score)}
    return objects, detections | {"detection": np.arange(len(kind))}


def fixes(*table):
    rows = {row["kind"]: row for row in fix_each_kind(*columns(*table))}
    assert list(rows) == ["none", *FIXES]
    return rows


def test_what_each_fix_regains_worked_out_by_hand():
    """Five objects; with one found, recall 0.2 reaches 21 of the 101 points."""
    rows = fixes(
        ["found", "missed", "merged", "merged", "poor_outline"],
        [1, -1, 2, 2, 3],
        ["spurious", "right", "merged", "poor_outline", "duplicate"],
        [0.9, 0.8, 0.7, 0.6, 0.5],
    )
    base = 21 / 2 / 101
    expected = {
        "none": (0, base),
        "missed": (1, (21 + 20 * 2 / 3) / 101),  # right, wrong, right
        "merged": (2, (61 * 3 / 4) / 101),  # wrong, right, right, right: envelope 3/4
        "split": (0, base),
        "poor_outline": (1, (41 / 2) / 101),  # wrong, right, wrong, right: envelope 1/2
        "duplicate": (1, base),
        "spurious": (1, 21 / 101),
        "score_order": (4, 21 / 101),
    }
    for kind, (count, ap50) in expected.items():
        assert rows[kind]["count"] == count, kind
        assert rows[kind]["ap50_if_fixed"] == pytest.approx(ap50), kind
        assert rows[kind]["regained"] == pytest.approx((ap50 - base) / (1 - base)), kind


def test_joined_parts_find_their_object_with_the_score_of_the_best():
    table = ["split", "found"], [1, 2], ["split_part", "split_part", "right"], [0.1, 0.9, 0.5]
    assert fixes(*table)["split"]["ap50_if_fixed"] == 1
    table = ["split", "found"], [1, 3], ["split_part"] * 2 + ["spurious", "right"], [1, 1, 2, 3]
    assert fixes(*table)["split"]["ap50_if_fixed"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_duplicate_gone_lets_the_right_ones_after_it_count_more():
    rows = fixes(["found", "found"], [0, 2], ["right", "duplicate", "right"], [0.9, 0.8, 0.7])
    assert rows["none"]["ap50_if_fixed"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (rows["duplicate"]["ap50_if_fixed"], rows["duplicate"]["regained"]) == (1, 1)


def test_a_perfect_result_and_an_empty_truth_have_no_loss_to_share():
    perfect = fixes(["found"], [0], ["right"], [0.5])
    assert {(row["ap50_if_fixed"], row["regained"]) for row in perfect.values()} == {(1, None)}
    empty = fixes([], [], ["spurious"], [0.5])
    assert {(row["ap50_if_fixed"], row["regained"]) for row in empty.values()} == {(None, None)}
