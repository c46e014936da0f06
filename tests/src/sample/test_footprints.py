import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.sample.footprints import (
    Footprint,
    annotate,
    cut_footprint,
    polygon_area,
    rasterise,
    turn_footprint,
    turn_image,
)


def box(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


U_SHAPE = np.array(
    [(2, 2), (4, 2), (4, 8), (7, 8), (7, 2), (9, 2), (9, 10), (2, 10)], float
)  # open to the top
RING = Footprint([box(2, 3, 10, 9)], [box(4, 5, 8, 7)])


def star(rng):
    """A simple polygon, far from convex."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 24))
    radii = rng.uniform(5, 40, 24)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) + (50, 50)


def decoded(annotation, height, width):
    shape = annotation["segmentation"]
    if isinstance(shape, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
    elif isinstance(shape["counts"], list):
        rle = coco_mask.frPyObjects(shape, height, width)
    else:
        rle = shape
    return coco_mask.decode(rle).astype(bool)


def test_area_of_a_triangle_either_way_round():
    triangle = np.array([(0, 0), (4, 0), (0, 3)], float)
    assert polygon_area(triangle) == polygon_area(triangle[::-1]) == 6


def test_a_building_over_the_edge_is_cut_at_the_edge():
    piece = cut_footprint(Footprint([box(-3, 2, 4, 6)], []), 0, 0, 10, min_area=0)
    corners = {tuple(point) for point in piece.parts[0]}
    assert corners == {(0, 2), (4, 2), (4, 6), (0, 6)}


def test_a_piece_is_in_the_coordinates_of_its_tile():
    piece = cut_footprint(Footprint([box(12, 25, 14, 28)], []), 10, 20, 10, min_area=0)
    np.testing.assert_array_equal(piece.parts[0], box(2, 5, 4, 8))


def test_a_u_cut_across_its_limbs_is_in_two_parts():
    piece = cut_footprint(Footprint([U_SHAPE], []), 0, -4, 10, min_area=0)
    areas = sorted(polygon_area(part) for part in piece.parts)
    assert areas == [8, 8]  # each limb 2 px wide, from y = 2 to 6
    assert all(part[:, 1].max() == 10 for part in piece.parts)


def test_small_parts_are_left_out_and_so_is_a_building_of_only_such():
    lopsided = U_SHAPE.copy()
    lopsided[[4, 5], 1] = 5  # the right limb is shorter: 1 px of it is inside
    piece = cut_footprint(Footprint([lopsided], []), 0, -4, 10, min_area=3)
    assert [polygon_area(part) for part in piece.parts] == [8]
    assert cut_footprint(Footprint([lopsided], []), 0, -4, 10, min_area=9) is None


def test_a_building_elsewhere_is_not_in_the_tile():
    assert cut_footprint(Footprint([box(20, 20, 30, 30)], []), 0, 0, 10, min_area=0) is None


def test_a_courtyard_is_cut_too():
    piece = cut_footprint(RING, 0, 0, 6, min_area=0)
    assert polygon_area(piece.parts[0]) == 12
    assert polygon_area(piece.holes[0]) == 2


@pytest.mark.parametrize("seed", range(20))
def test_what_is_cut_into_tiles_adds_up_to_the_whole(seed):
    outline = star(np.random.default_rng(seed))
    total = 0.0
    for left in range(0, 100, 25):
        for top in range(0, 100, 25):
            piece = cut_footprint(Footprint([outline], []), left, top, 25, min_area=0)
            for part in piece.parts if piece else []:
                assert part.min() >= 0
                assert part.max() <= 25
                total += polygon_area(part)
    assert total == pytest.approx(polygon_area(outline))


@pytest.mark.parametrize("seed", range(10))
def test_a_cut_polygon_covers_the_pixels_of_the_whole_one(seed):
    outline = star(np.random.default_rng(seed))
    whole = rasterise(Footprint([outline], []), 100, 100)
    piece = cut_footprint(Footprint([outline], []), 30, 40, 25, min_area=0)
    differ = rasterise(piece, 25, 25) != whole[40:65, 30:55]
    assert differ.sum() <= 10  # the filling rule rounds new corners to fifths of a pixel


def test_a_ring_covers_its_pixels_without_the_courtyard():
    expected = np.zeros((12, 12), bool)
    expected[3:9, 2:10] = True
    expected[5:7, 4:8] = False
    np.testing.assert_array_equal(rasterise(RING, 12, 12), expected)


@pytest.mark.parametrize("view", range(8))
def test_a_turned_footprint_lies_on_the_turned_image(view):
    footprint = Footprint([U_SHAPE, box(1, 11, 5, 12)], [box(3, 9, 5, 10)])
    turned = rasterise(turn_footprint(footprint, 12, view), 12, 12)
    np.testing.assert_array_equal(turned, turn_image(rasterise(footprint, 12, 12), view))


def test_the_eight_views_differ_and_the_first_is_the_image():
    image = np.arange(9).reshape(3, 3)
    views = [turn_image(image, view) for view in range(8)]
    assert len({view.tobytes() for view in views}) == 8
    np.testing.assert_array_equal(views[0], image)
    np.testing.assert_array_equal(views[1], [[2, 5, 8], [1, 4, 7], [0, 3, 6]])  # a quarter left


def test_polygons_are_written_with_area_and_box():
    footprint = Footprint([box(1, 2, 4, 4), box(6, 0, 7, 1.5)], [])
    assert annotate(footprint, 10, 10, "polygon") == {
        "segmentation": [[1, 2, 4, 2, 4, 4, 1, 4], [6, 0, 7, 0, 7, 1.5, 6, 1.5]],
        "area": 7.5,
        "bbox": [1, 0, 6, 4],
    }


def test_uncompressed_runs_go_down_the_columns_and_start_with_background():
    annotation = annotate(Footprint([box(1, 1, 3, 3)], []), 4, 3, "counts")
    assert annotation["segmentation"] == {"size": [4, 3], "counts": [5, 2, 2, 2, 1]}
    first = annotate(Footprint([box(0, 0, 1, 1)], []), 2, 2, "counts")
    assert first["segmentation"]["counts"] == [0, 1, 3]


@pytest.mark.parametrize("form", ["rle", "counts"])
def test_runs_hold_a_courtyard(form):
    annotation = annotate(RING, 12, 14, form)
    np.testing.assert_array_equal(decoded(annotation, 12, 14), rasterise(RING, 12, 14))
    assert annotation["area"] == 8 * 6 - 4 * 2
    assert annotation["bbox"] == [2, 3, 8, 6]


@pytest.mark.parametrize("seed", range(5))
def test_every_form_says_the_same(seed):
    outline = np.round(star(np.random.default_rng(seed)), 2)  # as polygons are written
    footprint = Footprint([outline], [])
    masks = [
        decoded(annotate(footprint, 100, 90, form), 100, 90)
        for form in ("polygon", "rle", "counts")
    ]
    np.testing.assert_array_equal(masks[1], masks[0])
    np.testing.assert_array_equal(masks[2], masks[0])


def test_polygons_cannot_hold_a_courtyard():
    with pytest.raises(ValueError, match="holes"):
        annotate(RING, 12, 12, "polygon")


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match=r"'bitmap'.*polygon, rle, counts"):
        annotate(RING, 12, 12, "bitmap")
