import cv2
import numpy as np
import pytest

from src.outlines.polygons import (
    fill_polygons,
    is_valid,
    signed_area,
    simplify_polygon,
    trace_polygons,
)


def mask_of(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def rings_of(mask):
    return [[ring.tolist() for ring in rings] for rings in trace_polygons(mask)]


def blob(seed, side=64):
    """A random smooth mask with bays, holes and separate parts."""
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return cv2.GaussianBlur(noise, (0, 0), 2.5) > 0


def test_one_pixel_is_a_square_between_its_corners():
    assert rings_of(mask_of("...", "..#")) == [[[[2, 1], [3, 1], [3, 2], [2, 2]]]]


def test_the_whole_image_is_one_rectangle():
    assert rings_of(np.ones((3, 5), bool)) == [[[[0, 0], [5, 0], [5, 3], [0, 3]]]]


def test_an_empty_mask_has_no_polygon():
    assert trace_polygons(np.zeros((3, 5), bool)) == []
    assert trace_polygons(np.zeros((0, 0), bool)) == []
    assert not fill_polygons([], 3, 5).any()
    assert fill_polygons([], 3, 5).shape == (3, 5)


def test_straight_edges_have_no_points_between():
    corners = [[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]]
    assert rings_of(mask_of("###", "#..", "#..")) == [[corners]]


def test_a_hole_runs_the_other_way_round():
    [[outer, hole]] = trace_polygons(mask_of("###", "#.#", "###"))
    assert signed_area(outer) == 9
    assert signed_area(hole) == -1
    assert sorted(hole.tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_diagonal_neighbours_are_two_parts():
    assert rings_of(mask_of("#.", ".#")) == [
        [[[0, 0], [1, 0], [1, 1], [0, 1]]],
        [[[1, 1], [2, 1], [2, 2], [1, 2]]],
    ]
    assert [rings[0].min(axis=0).tolist() for rings in trace_polygons(mask_of(".#", "#."))] == [
        [1, 0],
        [0, 1],
    ]


def test_diagonal_holes_are_two_rings():
    [[outer, *holes]] = trace_polygons(mask_of("####", "#.##", "##.#", "####"))
    assert signed_area(outer) == 16
    assert [signed_area(hole) for hole in holes] == [-1, -1]


def test_a_bay_closed_by_a_corner_alone_is_a_hole():
    [[outer, hole]] = trace_polygons(mask_of("###", "#.#", "##."))
    assert signed_area(outer) == 8
    assert signed_area(hole) == -1


@pytest.mark.parametrize("seed", range(100))
def test_filling_gives_back_every_small_mask(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 9, 2)) < rng.uniform(0.2, 0.9)
    polygons = trace_polygons(mask)
    assert np.array_equal(fill_polygons(polygons, *mask.shape), mask)
    assert len(polygons) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
    assert all(is_valid(rings) for rings in polygons)
    for ring in (ring for rings in polygons for ring in rings):
        assert len(set(map(tuple, ring.tolist()))) == len(ring)
        moves = np.roll(ring, -1, axis=0) != ring  # along x, along y
        assert np.array_equal(moves[:, 0], ~moves[:, 1])
        assert np.array_equal(moves, ~np.roll(moves, 1, axis=0))  # a turn at every point


def test_a_mask_in_any_memory_order_is_traced():
    mask = blob(0)
    assert np.array_equal(fill_polygons(trace_polygons(np.asfortranarray(mask)), 64, 64), mask)
    part = mask[3:40:1, 5:50]
    assert np.array_equal(fill_polygons(trace_polygons(part), *part.shape), part)


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), bool)])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match="2-D bool"):
        trace_polygons(mask)


# fill_polygons


def test_a_pixel_counts_by_its_centre():
    triangle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    expected = mask_of("###.", "##..", "#...", "....")  # centres on the hypotenuse do not count
    assert np.array_equal(fill_polygons([[triangle]], 4, 4), expected)


def test_a_polygon_over_the_edge_of_the_image_is_cut():
    square = np.array([[-3, -2], [2, -2], [2, 9], [-3, 9]])
    assert np.array_equal(fill_polygons([[square]], 3, 4), mask_of("##..", "##..", "##.."))
    assert fill_polygons([[square - 20], [square + 20]], 3, 4).sum() == 0


@pytest.mark.parametrize("seed", range(5))
def test_filling_agrees_with_asking_for_every_centre(seed):
    star = np.random.default_rng(seed).uniform(-3, 23, (7, 2)).astype(np.float32)  # crosses itself
    rows = np.arange(20) + 0.5
    sides = np.array([[_inside(star.astype(float), x, y) for x in rows] for y in rows])
    assert np.array_equal(fill_polygons([[star]], 20, 20), sides)


def _inside(ring, x, y):
    inside = False
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 < y) != (y1 < y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x:
            inside = not inside
    return inside


# simplify_polygon


def test_steps_below_the_tolerance_go():
    mask = mask_of("####....", "########", "########", "########")
    [[ring]] = [simplify_polygon(rings, 1.0) for rings in trace_polygons(mask)]
    assert ring.tolist() == [[0, 0], [8, 1], [8, 4], [0, 4]]
    [[ring]] = [simplify_polygon(rings, 0.4) for rings in trace_polygons(mask)]
    assert len(ring) == 6


def test_without_tolerance_a_polygon_stays_as_it_is():
    [rings] = trace_polygons(mask_of("##.", "#.."))
    assert simplify_polygon(rings, 0.0) is rings


def test_a_ring_that_would_vanish_stays():
    [rings] = trace_polygons(mask_of(*["#" * 9] * 4, "####.####", *["#" * 9] * 4))
    outer, hole = simplify_polygon(rings, 3.0)
    assert len(outer) == 4
    assert sorted(hole.tolist()) == [[4, 4], [4, 5], [5, 4], [5, 5]]
    [[pixel]] = [simplify_polygon(rings, 9.0) for rings in trace_polygons(mask_of("#"))]
    assert len(pixel) == 4


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0, 8.0])  # at the last some rings would cross
def test_a_simplified_polygon_is_valid_smaller_and_near(seed, tolerance):
    before = after = 0
    for rings in trace_polygons(blob(seed)):
        simplified = simplify_polygon(rings, tolerance)
        assert is_valid(simplified)
        assert len(simplified) == len(rings)
        for ring, short in zip(rings, simplified, strict=True):
            line = short.astype(np.float32)
            away = [-cv2.pointPolygonTest(line, p, True) for p in ring.tolist()]
            assert np.abs(away).max() <= tolerance + 1e-5
            before, after = before + len(ring), after + len(short)
    assert after < before * (0.95 if tolerance < 1 else 0.6)


# is_valid

SQUARE = np.array([[0, 0], [9, 0], [9, 9], [0, 9]])
HOLE = np.array([[2, 2], [2, 4], [4, 4], [4, 2]])


@pytest.mark.parametrize(
    ("rings", "valid"),
    [
        ([SQUARE, HOLE], True),
        ([SQUARE[::-1]], False),
        ([SQUARE, HOLE[::-1]], False),
        ([SQUARE, HOLE + 20], False),  # outside
        ([SQUARE, HOLE + [6, 0]], False),  # crosses
        ([SQUARE, HOLE + [5, 0]], False),  # lies against the edge
        ([SQUARE, HOLE, HOLE + 2], True),  # touch at a corner
        ([SQUARE, HOLE, HOLE], False),  # one on the other
        ([SQUARE, (SQUARE[::-1] - 4.5) / 2 + 4.5, HOLE / 4 + 4], False),  # a hole in a hole
        ([np.array([[0, 0], [9, 9], [9, 0], [0, 4]])], False),  # crosses itself
        ([np.array([[0, 0], [9, 0], [9, 9], [9, 12], [9, 9], [0, 9]])], False),  # a spike
        ([np.array([[0, 0], [4, 0], [9, 0], [9, 9]])], True),  # a point on a straight edge
        ([np.array([[0, 0], [9, 0], [9, 9], [4, 0]])], False),  # touches an edge
    ],
)
def test_a_valid_polygon_is_told_from_others(rings, valid):
    assert is_valid(rings) is valid
