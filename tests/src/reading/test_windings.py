import cv2
import numpy as np
import pytest
import shapely
from pycocotools import mask as coco_mask

from src.reading import windings
from src.reading.windings import crosses_itself, is_simple, winding_runs

# pycocotools' own decoding asks numpy for something that numpy 2 will drop
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]  # clockwise as one sees it
BOW_TIE = [0, 0, 8, 8, 8, 0, 0, 8]
EIGHT = [0, 0, 4, 0, 4, 8, 8, 8, 8, 4, 0, 4]  # two squares, one above and left of the other
TWICE = SQUARE + SQUARE
CURL = [0, 0, 9, 0, 9, 9, 3, 9, 3, 3, 6, 3, 6, 6, 0, 6]  # goes round rows and columns 3..5 twice
STAR = [20, 2, 31, 36, 2, 15, 38, 15, 9, 36]
# Outlines that need no repair
SPIKE = [1, 1, 5, 1, 9, 1, 5, 1, 5, 5, 1, 5]
SLANTED_SPIKE = [1, 1, 5, 1, 8, 9, 5, 1, 5, 5, 1, 5]
REPEATED = [1, 1, 1, 1, 5, 1, 5, 5, 5, 5, 1, 5, 1, 1]
PINCHED = [0, 0, 4, 0, 4, 4, 8, 4, 8, 8, 4, 8, 4, 4, 0, 4]  # two squares that meet in a corner
KEYHOLE = [0, 0, 9, 0, 9, 9, 0, 9, 0, 3, 3, 3, 3, 6, 6, 6, 6, 3, 0, 3]  # hole 3..5, cut open
BRIDGED = [0, 0, 3, 0, 3, 2, 6, 2, 6, 0, 9, 0, 9, 4, 6, 4, 6, 2, 3, 2, 3, 4, 0, 4]
FLAT = [1, 1, 5, 5, 3, 3]
POINT = [2, 2, 2, 2, 2, 2]


def windings_of(polygon, height=40, width=40):
    """How often the outline goes around each pixel, (H, W)."""
    runs, turns = winding_runs(polygon, height, width)
    assert (runs[:, 0] < runs[:, 1]).all()
    assert (runs[1:, 0] >= runs[:-1, 1]).all()
    assert (turns != 0).all()
    flat = np.zeros(height * width, np.int64)
    for (start, stop), turn in zip(runs, turns, strict=True):
        flat[start:stop] = turn
    return flat.reshape(width, height).T


def crosses(polygon, height=40, width=40):
    return crosses_itself(*winding_runs(polygon, height, width))


@pytest.mark.parametrize("polygon", [SQUARE, [0, 0, 3, 0, 1, 5], CURL[:6] + [3, 9]])
def test_a_plain_outline_is_simple(polygon):
    assert is_simple(polygon)


@pytest.mark.parametrize(
    "polygon",
    [BOW_TIE, EIGHT, TWICE, CURL, STAR, SPIKE, SLANTED_SPIKE, PINCHED, KEYHOLE, BRIDGED, FLAT,
     POINT],
)  # fmt: skip
def test_an_outline_that_meets_itself_is_not_simple(polygon):
    assert not is_simple(polygon)


@pytest.mark.parametrize("polygon", [BOW_TIE, EIGHT, TWICE, CURL, STAR])
def test_what_crosses_itself_is_noticed(polygon):
    assert crosses(polygon)
    assert crosses(np.reshape(polygon, (-1, 2))[::-1].ravel().tolist())  # the other way round


@pytest.mark.parametrize(
    "polygon", [SQUARE, SPIKE, SLANTED_SPIKE, REPEATED, PINCHED, KEYHOLE, BRIDGED, FLAT, POINT]
)
def test_what_only_touches_itself_needs_no_repair(polygon):
    assert not crosses(polygon)
    assert not crosses(np.reshape(polygon, (-1, 2))[::-1].ravel().tolist())


def test_windings_are_counted_with_their_direction():
    expected = np.zeros((9, 9), int)
    expected[1:5, 1:5] = 1
    np.testing.assert_array_equal(windings_of(SQUARE, 9, 9), expected)
    np.testing.assert_array_equal(windings_of([1, 1, 1, 5, 5, 5, 5, 1], 9, 9), -expected)
    np.testing.assert_array_equal(windings_of(TWICE, 9, 9), 2 * expected)


def test_a_curl_goes_twice_around_what_it_surrounds_twice():
    expected = np.zeros((9, 9), int)
    expected[0:6, 0:9] = expected[0:9, 3:9] = 1
    expected[3:6, 3:6] = 2
    np.testing.assert_array_equal(windings_of(CURL, 9, 9), expected)


def test_the_two_ends_of_an_eight_go_in_opposite_directions():
    expected = np.zeros((8, 8), int)
    expected[0:4, 0:4], expected[4:8, 4:8] = 1, -1
    np.testing.assert_array_equal(windings_of(EIGHT, 8, 8), expected)


def test_a_keyhole_leaves_its_hole_open():
    expected = np.ones((9, 9), int)
    expected[3:6, 3:6] = 0
    np.testing.assert_array_equal(windings_of(KEYHOLE, 9, 9), expected)


def test_what_lies_outside_the_image_is_not_looked_at():
    left = np.zeros((8, 4), int)  # of the bow tie, all that lies left of where it crosses
    for column in range(4):
        left[column : 7 - column, column] = 1
    np.testing.assert_array_equal(windings_of(BOW_TIE, 8, 4), left)
    assert not crosses(BOW_TIE, 8, 4)
    assert winding_runs([50, 50, 60, 50, 60, 60], 9, 9)[0].shape == (0, 2)


def random_outline(seed):
    """Corners anywhere in and around the image: whole, in tenths, or far outside."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 80, 2))
    polygon = rng.random(2 * rng.integers(3, 14)) * 120 - 20
    if seed % 4 == 3:
        polygon *= rng.choice([1, 1, 40], polygon.size)
    return polygon.round([0, 1, 2, 2][seed % 4]).tolist(), height, width


SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] * (seed >= 16)) for seed in range(80)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("steps", [17, 2**20])
def test_odd_windings_are_to_the_pixel_what_the_official_tools_fill(seed, steps, monkeypatch):
    monkeypatch.setattr(windings, "STEPS", steps)
    polygon, height, width = random_outline(seed)
    official = coco_mask.decode(coco_mask.frPyObjects([polygon], height, width)[0])
    np.testing.assert_array_equal(windings_of(polygon, height, width) % 2, official)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_gone_around_is_the_area_that_shapely_finds(seed):
    polygon = (np.random.default_rng(seed).random((7, 2)) * 380 + 10).round(1)
    repaired = shapely.make_valid(shapely.polygons(polygon), method="structure")
    filled = np.count_nonzero(windings_of(polygon.ravel().tolist(), 400, 400))
    assert abs(filled - repaired.area) < 0.5 * repaired.length


@pytest.mark.parametrize("seed", range(10))
def test_outlines_traced_from_masks_need_no_repair(seed):
    blurred = cv2.GaussianBlur(np.random.default_rng(seed).random((80, 80)), (0, 0), 2)
    mask = (blurred > np.quantile(blurred, 0.55)).astype(np.uint8)
    outlines = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    polygons = [outline.ravel().tolist() for outline in outlines if len(outline) > 2]
    assert not all(is_simple(polygon) for polygon in polygons)  # they do touch themselves
    assert not any(crosses(polygon, 80, 80) for polygon in polygons)


def test_a_scribble_takes_as_long_as_it_is_not_as_often_as_it_crosses():
    scribble = (np.random.default_rng(0).random(1600) * 1000).tolist()  # crosses 100,000 times
    turns = windings_of(scribble, 1000, 1000)
    assert crosses(scribble, 1000, 1000)
    assert turns.max() > 2
