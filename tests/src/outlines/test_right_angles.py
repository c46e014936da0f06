import cv2
import numpy as np
import pytest
from scipy import ndimage

from src.outlines.polygons import fill_polygons, is_valid, simplify_polygon, trace_polygons
from src.outlines.right_angles import square_polygon

SHAPES = {
    "rectangle": [[-25, -12], [25, -12], [25, 12], [-25, 12]],
    "L": [[-25, -20], [25, -20], [25, 0], [0, 0], [0, 22], [-25, 22]],
    "T": [[-28, -20], [28, -20], [28, 0], [10, 0], [10, 24], [-10, 24], [-10, 0], [-28, 0]],
}


def draw(shape, degrees):
    """A building in an image of 80x80 px and its true corners."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array(SHAPES[shape]) @ turn + 40.3
    return fill_polygons([[corners]], 80, 80), corners


def fray(mask, seed):
    """Flip one of six pixels along the edge; keep the largest part, without holes."""
    edge = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
    mask = mask ^ (edge & (np.random.default_rng(seed).random(mask.shape) < 1 / 6))
    parts = ndimage.label(mask)[0]
    return ndimage.binary_fill_holes(parts == np.argmax(np.bincount(parts.flat)[1:]) + 1)


def square(mask, tolerance=0.0):
    [rings] = trace_polygons(mask)
    return square_polygon(rings, tolerance)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def angles(ring):
    """Angles at the corners, in degrees."""
    to, back = np.roll(ring, -1, axis=0) - ring, np.roll(ring, 1, axis=0) - ring
    cosine = (to * back).sum(axis=1) / np.linalg.norm(to, axis=1) / np.linalg.norm(back, axis=1)
    return np.degrees(np.arccos(cosine))


@pytest.mark.parametrize("degrees", [0, 7, 30, 45, 61.5, 88])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_frayed_building_gets_its_corners_back(shape, degrees):
    truth, corners = draw(shape, degrees)
    frayed = fray(truth, seed=int(degrees))
    [ring] = square(frayed)
    assert angles(ring) == pytest.approx(90, abs=1e-6)
    assert len(ring) == len(corners)
    nearest = np.linalg.norm(corners[:, None] - ring, axis=2).min(axis=1)
    assert nearest.max() < 2.5  # px
    found = fill_polygons([[ring]], 80, 80)
    assert iou(found, truth) > 0.95
    assert iou(found, truth) > iou(frayed, truth)


def test_an_upright_rectangle_is_kept_to_the_digit():
    mask = np.zeros((40, 40), bool)
    mask[5:17, 3:33] = True
    [ring] = square(mask)
    assert sorted(np.round(ring, 9).tolist()) == [[3, 5], [3, 17], [33, 5], [33, 17]]


def test_a_court_becomes_a_square_hole():
    mask, _ = draw("rectangle", 20)
    court = ndimage.binary_erosion(mask, iterations=6)
    outer, hole = square(mask & ~court)
    assert angles(outer) == pytest.approx(90, abs=1e-6)
    assert angles(hole) == pytest.approx(90, abs=1e-6)
    assert is_valid([outer, hole])
    assert iou(fill_polygons([[outer, hole]], 80, 80), mask & ~court) > 0.9


def test_walls_shorter_than_the_tolerance_go():
    mask = np.zeros((40, 60), bool)
    mask[10:35, 5:50] = True
    mask[4:10, 20:35] = True  # stands out by 6 px
    assert len(square(mask)[0]) == 8
    assert len(square(mask, tolerance=7.0)[0]) == 4


@pytest.mark.parametrize("tolerance", [0.0, 1.5])
def test_what_has_no_right_angles_is_simplified_alone(tolerance):
    y, x = np.mgrid[:80, :80]
    triangle = (y > 2 * x) & (y < 75) & (x > 2)
    [rings] = trace_polygons(triangle)
    fallback = simplify_polygon(rings, tolerance)
    squared = square_polygon(rings, tolerance)
    assert [ring.tolist() for ring in squared] == [ring.tolist() for ring in fallback]


@pytest.mark.parametrize("seed", range(25))
def test_any_mask_gives_a_polygon_near_to_it(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 25, 2)
    mask = rng.random(size) < rng.uniform(0.3, 1)
    mask = ndimage.binary_closing(np.pad(mask, 2), iterations=seed % 3 + 1)
    for rings in trace_polygons(mask):
        part = fill_polygons([rings], *mask.shape)
        squared = square_polygon(rings, 0.0)
        assert is_valid([np.round(ring, 9) for ring in squared])
        assert iou(fill_polygons([squared], *mask.shape), part) >= 0.8


@pytest.mark.parametrize("seed", [3, 7])  # at 7 a ring would cross itself
def test_a_shape_like_no_building_gives_a_valid_polygon(seed):
    noise = np.random.default_rng(seed).normal(size=(64, 64))
    for rings in trace_polygons(cv2.GaussianBlur(noise, (0, 0), 2.5) > 0):
        assert is_valid([np.round(ring, 9) for ring in square_polygon(rings, 0.0)])
