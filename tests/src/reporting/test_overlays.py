import numpy as np
import pytest

from src.reporting.overlays import (
    COLOURS,
    Shown,
    draw_outcomes,
    in_window,
    list_error,
    window_around,
)

GREY = np.full((12, 14, 3), 100, np.uint8)
ANNOTATIONS = {n: {"segmentation": f"object {n}"} for n in (7, 8, 9)}
PREDICTIONS = [{"segmentation": f"detection {n}"} for n in range(4)]


def block(outcome, top, left, height, width):
    return Shown(outcome, np.ones((height, width), bool), left, top)


def test_outline_shade_and_photo_lie_where_they_should():
    picture = draw_outcomes(GREY, [block("tp", 1, 2, 9, 10)], scale=1)
    row = picture[5]
    assert (row[:2] == 100).all()  # outside
    assert (row[2:5] == COLOURS["tp"]).all()  # three pixels of outline, inside the mask
    assert (row[5] == 40).all()  # the shaded rim
    assert (row[6:8] == 100).all()  # a right object keeps its photo
    assert (row[9:12] == COLOURS["tp"]).all()
    assert (row[12:] == 100).all()


@pytest.mark.parametrize("outcome", ["fp", "fn", "ignored"])
def test_what_is_not_right_is_tinted_with_its_colour(outcome):
    picture = draw_outcomes(GREY, [block(outcome, 0, 0, 12, 14)], scale=1)
    assert (picture[0, 0] == COLOURS[outcome]).all()  # the outline closes at the image edge
    expected = np.rint(0.7 * 100 + 0.3 * np.array(COLOURS[outcome]))
    np.testing.assert_array_equal(picture[6, 6], expected)


def test_outlines_are_drawn_on_the_enlarged_picture():
    picture = draw_outcomes(GREY, [block("fp", 4, 4, 6, 6)], scale=3)
    assert picture.shape == (36, 42, 3)
    assert (picture[12:15, 12:30] == COLOURS["fp"]).all()
    assert (picture[11] == 100).all()


def test_the_last_outcome_is_on_top():
    outcomes = [block("fn", 0, 0, 12, 14), block("tp", 0, 0, 12, 14)]
    assert (draw_outcomes(GREY, outcomes, scale=1)[0, 0] == COLOURS["tp"]).all()


def test_the_photo_itself_is_left_as_it_is():
    photo = GREY.copy()
    draw_outcomes(photo, [block("fp", 0, 0, 12, 14)], scale=1)
    np.testing.assert_array_equal(photo, GREY)


def test_an_object_as_thin_as_its_outline_is_shown():
    picture = draw_outcomes(GREY, [block("fn", 3, 3, 1, 1)], scale=1)
    assert (picture[3, 3] == COLOURS["fn"]).all()
    assert (picture == COLOURS["fn"]).all(axis=2).sum() == 1


def test_unknown_outcomes_and_foreign_masks_are_refused():
    with pytest.raises(ValueError, match="'maybe' is unknown; known: tp, fp, fn, ignored"):
        draw_outcomes(GREY, [block("maybe", 0, 0, 1, 1)], scale=1)
    with pytest.raises(ValueError, match="mask of bool"):
        draw_outcomes(GREY, [block("tp", 10, 0, 3, 3)], scale=1)
    with pytest.raises(ValueError, match=r"at \(-1, 0\) on a photo"):
        draw_outcomes(GREY, [block("tp", 0, -1, 3, 3)], scale=1)


@pytest.mark.parametrize(("side", "scale"), [(40, 3), (1500, 2), (2500, 2)])
def test_an_object_is_drawn_in_its_box_as_in_the_whole_picture(side, scale):
    rng = np.random.default_rng(side)
    photo = rng.integers(0, 256, (side, side - 7, 3)).astype(np.uint8)
    blob = rng.random((30, 21)) < 0.9
    for x, y in ((0, 0), (5, 7), (side - 28, side - 30)):
        whole = np.zeros(photo.shape[:2], bool)
        whole[y : y + 30, x : x + 21] = blob
        parted = draw_outcomes(photo, [Shown("fp", blob, x, y)], scale)
        np.testing.assert_array_equal(
            parted, draw_outcomes(photo, [Shown("fp", whole, 0, 0)], scale)
        )


def test_what_of_an_object_lies_in_a_window_is_placed_in_it():
    one, window = block("tp", 3, 4, 5, 6), (slice(5, 20), slice(0, 7))
    outcome, mask, x, y = in_window(one, window)
    assert (outcome, mask.shape, x, y) == ("tp", (3, 3), 4, 0)
    assert in_window(one, (slice(8, 20), slice(0, 20))) is None
    assert in_window(one, (slice(0, 20), slice(0, 4))) is None


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
    shown = block("fn", top, left, height, width)
    assert window_around(shown, (80, 100, 3), side) == (slice(*rows), slice(*columns))
