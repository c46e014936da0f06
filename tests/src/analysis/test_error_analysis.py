import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.analysis.error_analysis import (
    FIXES,
    analyse_image,
    average_precision_50,
    fix_each_kind,
    nearest_neighbours,
    precision_by_bin,
    recall_by_bin,
    worst_images,
)
from src.judging.coco_evaluation import evaluate_detections

HEIGHT, WIDTH = 40, 60


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def block(x, y, width, height):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def analyse(objects, detections, iou_poor=0.1):
    """objects: boxes; detections: (box, score, number of the object it finds or None)."""
    truth = [
        {"id": 10 + n, "segmentation": rle(block(*box)), "area": box[2] * box[3]}
        for n, box in enumerate(objects)
    ]
    found = [
        {
            "detection": 100 + place,
            "score": score,
            "tp": finds is not None,
            "truth_id": -1 if finds is None else 10 + finds,
            "segmentation": rle(block(*box)),
        }
        for place, (box, score, finds) in enumerate(detections)
    ]
    return analyse_image(truth, found, HEIGHT, WIDTH, iou_poor)


def outcomes(errors):
    return errors.objects["outcome"].tolist(), errors.detections["kind"].tolist()


A, B = (10, 10, 10, 10), (22, 10, 10, 10)  # two columns between them


def test_what_is_found_and_what_is_not():
    errors = analyse([A, B], [(A, 0.9, 0), ((45, 30, 5, 5), 0.4, None)])
    assert outcomes(errors) == (["found", "missed"], ["right", "spurious"])
    assert errors.objects["found"].tolist() == [True, False]
    assert errors.objects["detection"].tolist() == [100, -1]
    assert errors.objects["best_iou"].tolist() == [1, 0]
    assert errors.detections["truth_id"].tolist() == [10, -1]


def test_two_objects_under_one_wrong_detection_are_merged():
    errors = analyse([A, B], [((10, 10, 22, 10), 0.5, None)])
    assert outcomes(errors) == (["merged", "merged"], ["merged"])
    assert errors.objects["detection"].tolist() == [100, 100]
    assert errors.detections["iou"].tolist() == [100 / 220]


def test_a_small_object_swallowed_by_the_detection_of_its_neighbour_is_merged():
    small = (21, 10, 3, 3)
    errors = analyse([A, small], [((10, 10, 14, 10), 0.5, 0)])
    assert outcomes(errors) == (["found", "merged"], ["right"])
    assert errors.objects["detection"].tolist() == [100, 100]


def test_covering_just_half_of_the_second_object_does_not_merge():
    half, more = (10, 10, 17, 10), (10, 10, 18, 10)  # 5 and 6 of the second object's columns
    assert outcomes(analyse([A, B], [(half, 0.5, 0)]))[0] == ["found", "missed"]
    assert outcomes(analyse([A, B], [(more, 0.5, 0)]))[0] == ["found", "merged"]


def test_the_best_scored_of_several_is_blamed_for_merging():
    whole = (10, 10, 22, 10)
    detections = [(whole, 0.3, None), (whole, 0.7, None), (whole, 0.7, None)]
    assert analyse([A, B], detections).objects["detection"].tolist() == [101, 101]


def test_a_second_object_that_fits_the_same_detection_is_merged():
    ring = (10, 10, 10, 6)  # lies on A: IoU 0.6 with it
    twice = (10, 10, 20, 10)  # A is half of it: IoU 0.5, just not covered by more than half
    for other in (ring, twice):
        assert outcomes(analyse([A, other], [(A, 0.9, 0)]))[0] == ["found", "merged"]


def test_an_object_in_several_pieces_is_split():
    parts = [((10, 10, 4, 10), 0.3, None), ((16, 10, 4, 10), 0.6, None)]
    errors = analyse([A], parts)
    assert outcomes(errors) == (["split"], ["split_part", "split_part"])
    assert errors.objects["detection"].tolist() == [101]  # the better scored part


def test_pieces_must_cover_more_than_half_and_lie_mostly_inside():
    small = [((10, 10, 2, 10), 0.3, None), ((16, 10, 3, 10), 0.6, None)]
    assert outcomes(analyse([A], small)) == (["poor_outline"], ["poor_outline"] * 2)
    outside = [((10, 10, 4, 10), 0.3, None), ((16, 10, 8, 10), 0.6, None)]  # half of it outside
    assert outcomes(analyse([A], outside)) == (["poor_outline"], ["poor_outline"] * 2)
    twice = [((10, 10, 4, 10), score, None) for score in (0.3, 0.6)]
    assert outcomes(analyse([A], twice))[0] == ["poor_outline"]  # together no more than one
    one = ((14, 10, 10, 10), 0.5, None)  # most of it inside, most of the object covered
    assert outcomes(analyse([A], [one])) == (["poor_outline"], ["poor_outline"])


def test_a_detection_that_is_right_is_no_part():
    """A found object lies on a larger one, of which another detection covers a quarter."""
    whole, part = (10, 10, 20, 20), (10, 10, 9, 20)
    errors = analyse([whole, part], [(part, 0.9, 1), ((20, 10, 5, 20), 0.5, None)])
    assert outcomes(errors) == (["poor_outline", "found"], ["right", "poor_outline"])


def test_parts_of_an_object_that_is_merged_are_no_parts():
    parts = [((10, 10, 4, 10), 0.3, None), ((16, 10, 4, 10), 0.6, None)]
    errors = analyse([A, B], [((10, 10, 22, 10), 0.5, None), *parts])
    assert outcomes(errors) == (["merged"] * 2, ["merged", "poor_outline", "poor_outline"])
    assert errors.objects["detection"].tolist() == [100, 100]


def test_a_second_detection_of_a_found_object_is_a_duplicate():
    wide = (10, 10, 20, 10)  # IoU exactly 0.5
    errors = analyse([A], [(A, 0.9, 0), (wide, 0.95, None)])
    assert outcomes(errors) == (["found"], ["right", "duplicate"])
    assert errors.detections["truth_id"].tolist() == [10, 10]


@pytest.mark.parametrize(("iou_poor", "name"), [(0.25, "poor_outline"), (0.26, "spurious")])
def test_overlap_from_iou_poor_is_a_poor_outline_and_not_spurious(iou_poor, name):
    errors = analyse([A], [((14, 10, 10, 10), 0.5, None)], iou_poor=0.25)
    assert errors.detections["iou"].tolist() == [60 / 140]
    quarter = analyse([A], [((10, 10, 5, 5), 0.5, None)], iou_poor)
    assert outcomes(quarter)[1] == [name]
    assert quarter.objects["outcome"].tolist() == [name.replace("spurious", "missed")]


def test_a_poor_outline_belongs_to_the_object_it_overlaps_most():
    shifted = (16, 10, 10, 10)  # shares 4 columns with each of A and B ...
    errors = analyse([A, B], [(shifted, 0.5, None)])
    assert errors.detections["truth_id"].tolist() == [10]  # ... and the first one counts
    assert outcomes(errors) == (["poor_outline", "missed"], ["poor_outline"])
    found = analyse([A, B], [(A, 0.9, 0), (shifted, 0.5, None)])
    assert outcomes(found) == (["found", "missed"], ["right", "poor_outline"])


def test_the_edge_of_the_image_is_two_pixels_wide():
    boxes = [(1, 20, 4, 4), (2, 20, 4, 4), (20, 1, 4, 4), (20, 2, 4, 4)]
    boxes += [(55, 20, 4, 4), (54, 20, 4, 4), (20, 35, 4, 4), (20, 34, 4, 4)]
    errors = analyse(boxes, [(box, 0.5, None) for box in boxes])
    expected = [True, False] * 4
    assert errors.objects["at_edge"].tolist() == expected
    assert errors.detections["at_edge"].tolist() == expected


def test_images_without_objects_or_without_detections():
    assert outcomes(analyse([], [(A, 0.5, None)])) == ([], ["spurious"])
    errors = analyse([A], [])
    assert outcomes(errors) == (["missed"], [])
    assert np.isnan(errors.objects["neighbour_distance"]).all()
    assert outcomes(analyse([], [])) == ([], [])
    assert len(analyse([], []).objects["x"]) == 0


def test_a_match_with_a_foreign_object_or_a_foreign_limit_is_refused():
    with pytest.raises(ValueError, match="has found object 15, which is not in the image"):
        analyse([A], [(A, 0.5, 5)])
    with pytest.raises(ValueError, match="must lie in"):
        analyse([A], [], iou_poor=0.5)


def slow_distance(first, second):
    one, other = np.argwhere(first), np.argwhere(second)
    return np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2).min())


def test_neighbours_are_the_nearest_of_all_pixels():
    rng = np.random.default_rng(3)
    masks = []
    for _ in range(12):
        x, y = rng.integers(0, WIDTH - 12), rng.integers(0, HEIGHT - 10)
        masks.append(block(x, y, *rng.integers(2, 10, 2)) & (rng.random((HEIGHT, WIDTH)) < 0.8))
    distance, neighbour = nearest_neighbours([rle(mask) for mask in masks])
    for place, mask in enumerate(masks):
        others = [slow_distance(mask, m) if m is not mask else np.inf for m in masks]
        assert distance[place] == pytest.approx(min(others))
        assert others[neighbour[place]] == min(others)


def test_distances_worked_out_by_hand():
    masks = [block(0, 0, 10, 10), block(10, 3, 4, 4), block(17, 10, 2, 2), block(3, 3, 2, 2)]
    distance, neighbour = nearest_neighbours([rle(mask) for mask in masks])
    # the last lies on the first; the second is beside it, the third 4 columns and rows away
    assert distance.tolist() == [0, 1, np.hypot(4, 4), 0]
    assert neighbour.tolist() == [3, 0, 1, 0]


def test_an_object_alone_and_an_empty_mask_have_no_neighbour():
    empty = rle(np.zeros((HEIGHT, WIDTH), bool))
    for masks in ([rle(block(*A))], [rle(block(*A)), empty]):
        distance, neighbour = nearest_neighbours(masks)
        assert np.isnan(distance).all()
        assert (neighbour == -1).all()


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


def rates(rows, question):
    """Return the bins that hold something."""
    told = {row["bin"]: tuple(row.values())[2:] for row in rows if row["question"] == question}
    return {label: numbers for label, numbers in told.items() if numbers != (0, 0, None)}


def test_recall_is_told_bin_by_bin():
    objects = {
        "area": np.array([48, 49, 196, 9216, 195]),
        "neighbour_distance": np.array([1, 8, 8.5, np.nan, 8]),
        "neighbour_area": np.array([49, 48, 400, np.nan, 196]),
        "at_edge": np.array([True, False, False, False, True]),
        "found": np.array([False, True, True, True, False]),
        "group": np.array(["a", "a", "b", "c", "b"]),
    }
    rows = recall_by_bin(objects, groups=["a", "b"])
    assert rates(rows, "size") == {
        "below 7 px": (1, 0, 0),
        "7 to 14 px": (2, 1, 1 / 2),
        "14 to 20 px": (1, 1, 1),
        "from 96 px": (1, 1, 1),
    }
    assert rates(rows, "neighbour_distance") == {
        "below 2 px": (1, 0, 0),
        "8 to 16 px": (3, 2, 2 / 3),
        "none": (1, 1, 1),
    }
    assert rates(rows, "neighbour_size") == {
        "below 7 px": (1, 1, 1),
        "7 to 14 px": (1, 0, 0),
        "14 to 20 px": (1, 0, 0),
        "20 to 32 px": (1, 1, 1),
        "none": (1, 1, 1),
    }
    assert rates(rows, "at_edge") == {"no": (3, 3, 1), "yes": (2, 0, 0)}
    assert rates(rows, "small_object") == {  # the last one's neighbour is larger by a pixel
        "none such": (1, 1, 1),
        "a larger neighbour within 8 px": (2, 0, 0),
    }
    assert rates(rows, "group") == {"a": (2, 1, 0.5), "b": (2, 1, 0.5)}


def test_precision_is_told_bin_by_bin():
    detections = {
        "area": np.array([10, 10, 200]),
        "at_edge": np.array([False, False, True]),
        "kind": np.array(["right", "spurious", "right"]),
        "group": np.array(["a", "b", "c"]),
    }
    rows = precision_by_bin(detections, groups=["b"])
    assert rates(rows, "size") == {"below 7 px": (2, 1, 0.5), "14 to 20 px": (1, 1, 1)}
    assert rates(rows, "at_edge") == {"no": (2, 1, 0.5), "yes": (1, 1, 1)}
    assert rates(rows, "group") == {"b": (1, 0, 0)}


def test_bins_stand_in_their_order_whether_or_not_they_hold_something():
    nothing = analyse([], [])
    rows = precision_by_bin(nothing.detections | {"group": np.empty(0, object)}, groups=["a"])
    sizes = [row["bin"] for row in rows if row["question"] == "size"]
    assert sizes[:3] == ["below 7 px", "7 to 14 px", "14 to 20 px"]
    assert sizes[-1] == "from 96 px"
    assert {row["precision"] for row in rows} == {None}


def test_the_worst_images_hold_the_most_errors():
    objects = {
        "name": np.array(["b", "b", "a", "c", "d"]),
        "found": np.array([False, False, False, False, True]),
        "outcome": np.array(["missed", "merged", "missed", "split", "found"]),
    }
    detections = {"name": np.array(["a", "d"]), "kind": np.array(["spurious", "right"])}
    rows = worst_images(objects, detections, count=2)
    told = [tuple(row.values()) for row in rows]
    assert told == [
        ("all", 1, "a", 2, 0.4),  # as many as b: ordered by name
        ("all", 2, "b", 2, 0.4),
        ("missed", 1, "a", 1, 0.5),
        ("missed", 2, "b", 1, 0.5),
        ("merged", 1, "b", 1, 1),
        ("split", 1, "c", 1, 1),
        ("spurious", 1, "a", 1, 1),
    ]
