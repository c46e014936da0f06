import numpy as np
import pytest

from src.analysis import outcomes as analysis
from src.analysis.outcomes import analyse_image
from tests.blocks import HEIGHT, WIDTH, block, rle


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


@pytest.mark.parametrize("seed", range(8))
def test_a_crowded_image_is_judged_in_parts_with_the_same_result(monkeypatch, seed):
    rng = np.random.default_rng(seed)

    def boxes(count):
        corners = rng.integers(0, (WIDTH - 12, HEIGHT - 12), (count, 2))
        sizes = rng.integers(3, 12, (count, 2))
        return [(*corner, *size) for corner, size in zip(corners, sizes, strict=True)]

    objects = boxes(9)
    found = [(objects[n], 0.1 * n, n) for n in range(3)]
    found += [(box, 0.05 * n, None) for n, box in enumerate(boxes(12))]
    expected = analyse(objects, found)
    monkeypatch.setattr(analysis, "TABLE", 0)
    errors = analyse(objects, found)
    for part, other in zip(errors, expected, strict=True):
        for column, values in other.items():
            np.testing.assert_array_equal(part[column], values, err_msg=column)
            assert part[column].dtype.kind == values.dtype.kind
    for none in ([], found[3:]), (objects, []), ([], []):
        monkeypatch.setattr(analysis, "TABLE", -1)
        assert len(analyse(*none).objects["found"]) == len(none[0])
