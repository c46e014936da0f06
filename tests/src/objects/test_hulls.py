import numpy as np

from src.objects.hulls import hull_uncertain

RULE = {"low": 0.2, "high": 0.8, "rows": 1.0, "min_area": 0}


def picture(rows):
    """# is certain, + is uncertain, . is nothing."""
    values = {"#": 250, "+": 128, ".": 3}
    return np.array([[values[c] for c in row] for row in rows], np.uint8)


CUP = ["......", ".+..+.", ".+..+.", ".++++.", "......", "......"]


def test_the_convex_hull_of_an_uncertain_region_becomes_certain():
    changed = hull_uncertain(picture(CUP), **RULE)
    wanted = picture(CUP)
    wanted[1:4, 1:5] = 255
    np.testing.assert_array_equal(changed, wanted)


def test_the_picture_given_is_left_as_it_is():
    given = picture(CUP)
    hull_uncertain(given, **RULE)
    np.testing.assert_array_equal(given, picture(CUP))


def test_both_limits_belong_to_the_uncertain_pixels():
    row = np.array([[50, 51, 128, 204, 205]], np.uint8)  # 51 and 204 are 0.2 and 0.8
    assert hull_uncertain(row, **RULE).tolist() == [[50, 255, 255, 255, 205]]


def test_only_the_upper_rows_are_looked_at_and_changed():
    changed = hull_uncertain(picture(CUP), **RULE | {"rows": 0.5})
    wanted = picture(CUP)
    wanted[1:3, [1, 4]] = 255  # the two sides of the cup, each a hull of its own
    np.testing.assert_array_equal(changed, wanted)


def test_regions_below_the_least_area_stay():
    tall = picture(CUP)  # its contour goes round 1.5 px of the bottom's corners at most
    assert (hull_uncertain(tall, **RULE | {"min_area": 20}) == tall).all()
    block = np.full((4, 5), 128, np.uint8)  # (4 - 1) * (5 - 1) = 12 between the pixels' centres
    assert (hull_uncertain(block, **RULE | {"min_area": 12}) == 255).all()
    assert (hull_uncertain(block, **RULE | {"min_area": 12.5}) == 128).all()


def test_a_hole_in_a_ring_is_filled_by_its_hull():
    ring = picture(["+++", "+#+", "+++"])
    assert (hull_uncertain(ring, **RULE) == 255).all()


def test_nothing_uncertain_or_no_rows_changes_nothing():
    certain = picture(["##..", ".##."])
    np.testing.assert_array_equal(hull_uncertain(certain, **RULE), certain)
    np.testing.assert_array_equal(
        hull_uncertain(picture(CUP), **RULE | {"rows": 0.0}), picture(CUP)
    )
    np.testing.assert_array_equal(hull_uncertain(picture(CUP), **RULE | {"low": 0.9}), picture(CUP))
