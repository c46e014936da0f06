import cv2
import numpy as np
import pytest

from src.objects.hulls import hull_unsure
from tests.plain_postprocess import plain

RULE = {"hull_low": 0.1, "hull_high": 0.8, "hull_threshold": 0.3}


def picture(rows):
    """# is certain, + is faint and uncertain, - is uncertain and fainter, . is nothing."""
    values = {"#": 250, "+": 128, "-": 40, ".": 3}
    return np.array([[values[c] for c in row] for row in rows], np.uint8)


def changed(image, **changes):
    return hull_unsure(image, plain(**RULE | changes))


def filled(image):
    """Pixels that the rule made certain, as rows and columns."""
    return np.argwhere(changed(image) != image).tolist()


CUP = ["......", ".+--+.", ".+--+.", ".++++.", "......", "......"]


def test_the_hull_of_what_is_seen_faintly_in_the_uncertain_region_becomes_certain():
    wanted = picture(CUP)
    wanted[1:4, 1:5] = 255
    np.testing.assert_array_equal(changed(picture(CUP)), wanted)


def test_an_uncertain_region_without_anything_above_the_threshold_stays():
    """A broad faint veil off the object is no object; its own hull would fill 12 pixels."""
    veil = picture(["......", ".----.", ".----.", ".----.", "......"])
    np.testing.assert_array_equal(changed(veil), veil)
    assert (changed(veil, hull_threshold=0.15)[1:4, 1:5] == 255).all()


def test_the_picture_given_is_left_as_it_is():
    given = picture(CUP)
    changed(given)
    np.testing.assert_array_equal(given, picture(CUP))


def test_both_limits_lie_outside_of_what_is_uncertain():
    for value, fills in ((76, False), (77, True), (203, True), (204, False)):
        image = np.full((3, 3), value, np.uint8)
        image[1, 1] = 0  # as it is surrounded the hull fills it
        found = changed(image, hull_low=0.3, hull_high=0.8, hull_threshold=0.2)  # 76.5 and 204
        assert (found == 255).all() == fills


def test_only_the_largest_region_and_in_it_the_largest_foreground_count():
    two = picture(["++.+++", "++.+++", "...+++"])
    wanted = two.copy()
    wanted[:, 3:] = 255
    np.testing.assert_array_equal(changed(two), wanted)
    apart = picture(["++---", "++---", "---++", "+++++", "+++++"])  # joined at no side or corner
    apart[2] = 40
    wanted = apart.copy()
    wanted[3:] = 255  # one below the other 2 x 2 and 2 x 5
    np.testing.assert_array_equal(changed(apart), wanted)


def test_the_region_is_looked_for_in_the_upper_rows_and_filled_below_them_too():
    image = picture(["------", "-++++-", "-++++-", "##..##", "######"])
    assert filled(image) == [[row, column] for row in (1, 2) for column in range(1, 5)]
    wider = changed(image, hull_margin=2)
    assert (wider[3, 2:4] == 255).all()  # between the legs
    assert (changed(image, hull_margin=2, hull_rows=0.6) == wider).all()
    assert (changed(image, hull_margin=2, hull_rows=0.2) == image).all()  # one row has no area
    assert (changed(image, hull_rows=0.0) == image).all()


def test_the_region_must_be_larger_than_the_least_area():
    block = np.full((4, 5), 128, np.uint8)  # (4 - 1) * (5 - 1) = 12 between the pixels' centres
    assert (changed(block, hull_min_area=11.9) == 255).all()
    assert (changed(block, hull_min_area=12) == 128).all()


@pytest.mark.parametrize("rows", [1, 4])
def test_erosion_is_that_of_the_released_call(rows):
    """`cv2.erode(x, (55, 55), iterations=n)` is no square: n uncertain pixels above are asked."""
    random = np.random.default_rng(0)
    for _ in range(20):
        image = np.where(random.random((30, 12)) < 0.9, 128, 0).astype(np.uint8)
        eroded = cv2.erode((image > 0).astype(np.uint8), (55, 55), iterations=rows)
        contours, _ = cv2.findContours(eroded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        area = max(map(cv2.contourArea, contours), default=0)
        below, at = (changed(image, hull_erode=rows, hull_min_area=a) for a in (area - 0.1, area))
        assert (below != image).any() == (area > 0)
        assert (at == image).all()


def test_erosion_asks_for_uncertain_pixels_above():
    band = picture(["....", "++++", "++++", "++++", "++++", "...."])
    bands = {rows: changed(band, hull_erode=rows) for rows in (0, 1, 2, 3)}
    assert (bands[0][1:5] == 255).all()
    assert (bands[1][2:5] == 255).all()  # the region, and so its box, begins a row lower
    assert (bands[1][1] == 128).all()
    assert (bands[2][3:5] == 255).all()
    assert (bands[3] == band).all()  # one row is left


def test_an_image_of_certainty_or_without_foreground_near_stays():
    for certain in (picture(["##..", ".##."]), np.full((4, 4), 40, np.uint8)):
        np.testing.assert_array_equal(changed(certain), certain)
