import numpy as np
import pytest

from src.reporting.overlays import COLOURS, draw_outcomes, list_error, window_around

GREY = np.full((12, 14, 3), 100, np.uint8)
ANNOTATIONS = {n: {"segmentation": f"object {n}"} for n in (7, 8, 9)}
PREDICTIONS = [{"segmentation": f"detection {n}"} for n in range(4)]


def block(top, left, height, width):
    mask = np.zeros((12, 14), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_outline_shade_and_photo_lie_where_they_should():
    picture = draw_outcomes(GREY, [("tp", block(1, 2, 9, 10))], scale=1)
    row = picture[5]
    assert (row[:2] == 100).all()  # outside
    assert (row[2:5] == COLOURS["tp"]).all()  # three pixels of outline, inside the mask
    assert (row[5] == 40).all()  # the shaded rim
    assert (row[6:8] == 100).all()  # a right object keeps its photo
    assert (row[9:12] == COLOURS["tp"]).all()
    assert (row[12:] == 100).all()


@pytest.mark.parametrize("outcome", ["fp", "fn", "ignored"])
def test_what_is_not_right_is_tinted_with_its_colour(outcome):
    picture = draw_outcomes(GREY, [(outcome, block(0, 0, 12, 14))], scale=1)
    assert (picture[0, 0] == COLOURS[outcome]).all()  # the outline closes at the image edge
    expected = np.rint(0.7 * 100 + 0.3 * np.array(COLOURS[outcome]))
    np.testing.assert_array_equal(picture[6, 6], expected)


def test_outlines_are_drawn_on_the_enlarged_picture():
    picture = draw_outcomes(GREY, [("fp", block(4, 4, 6, 6))], scale=3)
    assert picture.shape == (36, 42, 3)
    assert (picture[12:15, 12:30] == COLOURS["fp"]).all()
    assert (picture[11] == 100).all()


def test_the_last_outcome_is_on_top():
    outcomes = [("fn", block(0, 0, 12, 14)), ("tp", block(0, 0, 12, 14))]
    assert (draw_outcomes(GREY, outcomes, scale=1)[0, 0] == COLOURS["tp"]).all()


def test_the_photo_itself_is_left_as_it_is():
    photo = GREY.copy()
    draw_outcomes(photo, [("fp", block(0, 0, 12, 14))], scale=1)
    np.testing.assert_array_equal(photo, GREY)


def test_an_object_as_thin_as_its_outline_is_shown():
    picture = draw_outcomes(GREY, [("fn", block(3, 3, 1, 1))], scale=1)
    assert (picture[3, 3] == COLOURS["fn"]).all()
    assert (picture == COLOURS["fn"]).all(axis=2).sum() == 1


def test_unknown_outcomes_and_foreign_masks_are_refused():
    with pytest.raises(ValueError, match="'maybe' is unknown; known: tp, fp, fn, ignored"):
        draw_outcomes(GREY, [("maybe", block(0, 0, 1, 1))], scale=1)
    with pytest.raises(ValueError, match="mask of bool"):
        draw_outcomes(GREY, [("tp", np.ones((3, 3), bool))], scale=1)


def listed(kind, objects, detections):
    rows = [dict(zip(("truth_id", "outcome", "detection"), row, strict=True)) for row in objects]
    wrong = [dict(zip(("detection", "kind", "truth_id"), row, strict=True)) for row in detections]
    return list_error(kind, rows, wrong, ANNOTATIONS, PREDICTIONS)


def test_only_objects_and_detections_of_the_kind_are_shown():
    objects = [(7, "merged", 2), (8, "missed", -1), (9, "found", 2)]
    detections = [(0, "merged", 7), (1, "spurious", -1)]
    assert listed("merged", objects, detections) == [
        ("fp", "detection 0"),
        ("fp", "detection 2"),  # it is right, and swallows its neighbour
        ("fn", "object 7"),
    ]
    assert listed("missed", objects, detections) == [("fn", "object 8")]
    assert listed("spurious", objects, detections) == [("fp", "detection 1")]


def test_parts_are_shown_with_the_object_they_split():
    parts = [(0, "split_part", 7), (3, "split_part", 7), (1, "poor_outline", 8)]
    assert listed("split", [(7, "split", 3), (8, "poor_outline", 1)], parts) == [
        ("fp", "detection 0"),
        ("fp", "detection 3"),
        ("fn", "object 7"),
    ]


def test_a_duplicate_is_shown_with_the_object_that_is_found():
    assert listed("duplicate", [(7, "found", 0)], [(1, "duplicate", 7)]) == [
        ("fp", "detection 1"),
        ("tp", "object 7"),
    ]


@pytest.mark.parametrize(
    ("box", "side", "rows", "columns"),
    [
        ((40, 50, 4, 6), 20, (32, 52), (43, 63)),  # in the middle
        ((0, 97, 4, 3), 20, (0, 20), (80, 100)),  # in a corner
        ((40, 10, 4, 60), 20, (32, 52), (5, 75)),  # too wide for the side: 10 px around it
        ((40, 50, 4, 6), 300, (0, 80), (0, 100)),  # more than the image has
    ],
)
def test_the_window_holds_the_mask_and_stays_in_the_image(box, side, rows, columns):
    top, left, height, width = box
    mask = np.zeros((80, 100), bool)
    mask[top : top + height, left : left + width] = True
    assert window_around(mask, side) == (slice(*rows), slice(*columns))
