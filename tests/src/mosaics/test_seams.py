import numpy as np
import pytest

from src.mosaics.image_objects import SceneObject
from src.mosaics.runs import Area, mask_runs, runs_mask
from src.mosaics.seams import join_at_seams

HEIGHT, WIDTH = 40, 60
WHOLE = Area(0, HEIGHT, 0, WIDTH)
LEFT, RIGHT = Area(0, HEIGHT, 0, 30), Area(0, HEIGHT, 30, WIDTH)  # that only touch
WEST, EAST = Area(0, HEIGHT, 0, 40), Area(0, HEIGHT, 20, WIDTH)  # that overlap


def seen(area, *boxes):
    """Objects of one image, (top, bottom, left, right, score) each, cut where it ends."""
    objects = []
    for top, bottom, left, right, score in boxes:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        rows = slice(max(top, area.top), min(bottom, area.bottom))
        mask[rows, max(left, area.left) : min(right, area.right)] = True
        if mask.any():
            objects.append(SceneObject(mask_runs(mask), score, (score * 100, 0.0, 0.0)))
    return objects


def joined(areas, *images):
    """Rows and columns, and the score, of what is left."""
    found = join_at_seams(
        [seen(area, *boxes) for area, boxes in zip(areas, images, strict=True)],
        areas, HEIGHT, WIDTH,
    )  # fmt: skip
    left = []
    for one in found:
        rows, columns = np.nonzero(runs_mask(one.runs, HEIGHT, WHOLE))
        box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        assert len(rows) == (box[1] - box[0]) * (box[3] - box[2])
        left.append((*map(int, box), one.score))
    return left


@pytest.mark.parametrize("turned", [False, True])
def test_what_a_seam_cuts_is_joined_with_means_by_area(turned):
    areas = [RIGHT, LEFT] if turned else [LEFT, RIGHT]
    boxes = [(5, 15, 20, 40, 0.8)], [(5, 15, 20, 40, 0.4)]
    found = joined(areas, *boxes)
    assert found == [(5, 15, 20, 40, pytest.approx(0.6))]
    unequal = joined([LEFT, RIGHT], [(5, 15, 15, 40, 0.8)], [(5, 15, 15, 40, 0.3)])
    assert unequal == [(5, 15, 15, 40, pytest.approx(0.8 * 0.6 + 0.3 * 0.4))]  # 150 px and 100 px


def test_images_one_above_the_other():
    areas = [Area(0, 20, 0, WIDTH), Area(20, HEIGHT, 0, WIDTH)]
    box = (12, 28, 10, 20, 0.5)
    assert joined(areas, [box], [box]) == [box]
    assert joined(areas[::-1], [box], [box]) == [box]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("falling", [False, True])
def test_images_that_touch_at_a_corner_alone_have_no_seam(turned, falling):
    left, right = (0, 30), (30, WIDTH)
    upper, lower = (
        Area(0, 20, *(left if falling else right)),
        Area(20, HEIGHT, *(right if falling else left)),
    )
    above = (10, 20, 20, 30, 0.5) if falling else (10, 20, 30, 40, 0.5)
    below = (20, 30, 30, 40, 0.4) if falling else (20, 30, 20, 30, 0.4)
    both = [(upper, above), (lower, below)]
    areas, boxes = zip(*(both[::-1] if turned else both), strict=True)
    assert sorted(joined(list(areas), *([box] for box in boxes))) == sorted([above, below])


def test_ends_that_meet_over_less_than_half_of_the_shorter_stay_apart():
    apart = [(0, 10, 20, 30, 0.5)], [(6, 16, 30, 40, 0.5)]  # 4 of 10 rows
    assert len(joined([LEFT, RIGHT], *apart)) == 2
    half = [(0, 10, 20, 30, 0.5)], [(5, 15, 30, 40, 0.5)]
    found = join_at_seams(
        [seen(LEFT, *half[0]), seen(RIGHT, *half[1])], [LEFT, RIGHT], HEIGHT, WIDTH
    )
    assert len(found) == 1


def test_what_ends_a_pixel_before_the_seam_is_another_object():
    assert len(joined([LEFT, RIGHT], [(0, 10, 20, 29, 0.5)], [(0, 10, 30, 40, 0.5)])) == 2


def test_the_image_that_sees_most_around_an_object_decides():
    # 22 to 38 lies in both; 8 px from the west's edge, 4 px from the east's, where it is cut short
    found = joined([WEST, EAST], [(5, 15, 24, 32, 0.3)], [(5, 15, 24, 34, 0.9)])
    assert found == [(5, 15, 24, 32, 0.3)]


def test_the_image_that_an_object_is_cut_in_does_not_decide():
    box = (5, 15, 15, 35, 0.5)  # the east sees 20 to 35 of it
    assert joined([WEST, EAST], [box], [(5, 15, 15, 35, 0.9)]) == [box]
    assert joined([EAST, WEST], [(5, 15, 15, 35, 0.9)], [box]) == [box]


def test_two_houses_that_the_other_image_sees_as_one():
    two = [(5, 15, 22, 28, 0.6), (5, 15, 29, 34, 0.5)]
    one = [(5, 15, 15, 34, 0.9)]  # cut by its left edge
    assert joined([WEST, EAST], two, one) == two


def test_what_no_image_sees_whole_is_joined_over_three():
    areas = [Area(0, HEIGHT, 0, 20), Area(0, HEIGHT, 20, 40), Area(0, HEIGHT, 40, WIDTH)]
    box = (5, 15, 10, 50, 0.5)
    assert joined(areas, [box], [box], [box]) == [box]


def test_objects_of_one_image_are_never_joined():
    boxes = [(5, 15, 5, 20, 0.9), (5, 15, 8, 20, 0.5)]
    assert joined([WEST, EAST], boxes, []) == boxes
    cut = [(5, 15, 25, 40, 0.9), (5, 15, 28, 40, 0.5)]
    assert joined([WEST, EAST], cut, []) == cut


def test_an_image_that_has_found_a_small_part_does_not_decide():
    found = joined([WEST, EAST], [(5, 25, 10, 40, 0.6)], [(5, 15, 30, 40, 0.6)])
    assert found == [(5, 25, 10, 40, pytest.approx(0.6))]


def test_the_best_score_comes_first():
    boxes = [(5, 15, 1, 9, 0.2)], [(5, 15, 41, 50, 0.9)]
    assert [one[-1] for one in joined([WEST, EAST], *boxes)] == [0.9, 0.2]


def test_no_images_and_no_objects():
    assert join_at_seams([], [], HEIGHT, WIDTH) == []
    assert join_at_seams([[], []], [WEST, EAST], HEIGHT, WIDTH) == []
