import numpy as np
import pytest

from src.base.errors import InputError
from src.objects.objects import clean_foreground, connected_labels, sized_objects

CLEAN = {"connectivity": 4, "white_speckle": 0, "black_speckle": 0, "max_hole": 0, "erode": 0}
SIZES = {"min_area": 0, "max_area": 0, "dilate": 0}
PLAIN = {"threshold": 0.5} | CLEAN | SIZES


def label_objects(probability, *, threshold, **options):
    """Threshold, clean, label, drop by size, grow."""
    cleaning, sizes = ({key: options[key] for key in keys} for keys in (CLEAN, SIZES))
    foreground = clean_foreground(probability >= threshold * 255, **cleaning)
    return sized_objects(connected_labels(foreground, options["connectivity"]), **sizes)


def objects(rows, **changes):
    """Label a picture in which # is certain, . is nothing."""
    probability = np.array([[255 * (c == "#") for c in row] for row in rows], np.uint8)
    return label_objects(probability, **PLAIN | changes)


def test_objects_are_numbered_in_reading_order():
    np.testing.assert_array_equal(objects([".#.#", "#..#"]), [[0, 1, 0, 2], [3, 0, 0, 2]])


def flooded(foreground, connectivity):
    """Label by walking from pixel to pixel, in reading order."""
    labels = np.zeros(foreground.shape, int)
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if connectivity == 8 else []
    for start in zip(*np.nonzero(foreground), strict=True):
        todo = [] if labels[start] else [start]
        label = labels.max() + 1
        while todo:
            y, x = todo.pop()
            inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
            if inside and foreground[y, x] and not labels[y, x]:
                labels[y, x] = label
                todo += [(y + dy, x + dx) for dy, dx in steps]
    return labels


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (24, 31)])
def test_random_objects_are_those_of_a_walk_from_pixel_to_pixel(connectivity, shape):
    random = np.random.default_rng(0)
    for share in (0.1, 0.4, 0.6, 0.9):
        probability = (255 * (random.random(shape) < share)).astype(np.uint8)
        labels = label_objects(probability, **PLAIN | {"connectivity": connectivity})
        np.testing.assert_array_equal(labels, flooded(probability > 0, connectivity))


def test_diagonal_neighbours_are_one_object_only_with_eight():
    assert objects(["#.", ".#"]).max() == 2
    assert objects(["#.", ".#"], connectivity=8).max() == 1


def test_the_threshold_itself_is_foreground():
    probability = np.array([[101, 102, 103]], np.uint8)  # 102 / 255 = 0.4
    assert label_objects(probability, **PLAIN | {"threshold": 0.4}).tolist() == [[0, 1, 1]]


def test_small_objects_are_dropped_and_numbers_stay_contiguous():
    np.testing.assert_array_equal(objects(["#.##"], min_area=2), [[0, 0, 1, 1]])


RING = ["#####", "#...#", "#####"]


def test_a_hole_is_filled_up_to_its_area():
    assert objects(RING, max_hole=2).tolist() == objects(RING).tolist()
    assert objects(RING, max_hole=3).all()


def test_background_at_the_edge_is_no_hole():
    assert objects([".#", "##"], max_hole=9)[0, 0] == 0


def test_a_diagonal_leak_closes_a_hole_only_if_objects_join_diagonally():
    leaky = [".###.", "#..##", "#####", "####."]
    assert objects(leaky, max_hole=2, connectivity=8)[1, 1] == 1
    assert objects(leaky, max_hole=2, connectivity=4)[1, 1] == 0


def test_objects_grow_into_background_without_overlap():
    np.testing.assert_array_equal(objects(["#....#"], dilate=1), [[1, 1, 0, 0, 2, 2]])
    grown = objects(["#...#"], dilate=9)[0]
    assert grown[1] == 1
    assert grown[3] == 2
    assert grown.all()


def test_growing_goes_to_the_nearest_object_wherever_it_is():
    random = np.random.default_rng(1)
    labels = (random.random((20, 23)) < 0.02).cumsum().reshape(20, 23) * (
        random.random((20, 23)) < 0.02
    )
    labels = sized_objects(labels, **SIZES)
    pixels, ys, xs = labels[labels > 0], *np.nonzero(labels)
    for dilate in (1, 2, 5):
        grown = sized_objects(labels, **SIZES | {"dilate": dilate})
        for place in np.ndindex(grown.shape):
            away = (ys - place[0]) ** 2 + (xs - place[1]) ** 2
            nearest = set(pixels[away == away.min()].tolist())
            expected = nearest if away.min() <= dilate**2 else {0}
            assert grown[place] in expected


def test_minimum_area_is_counted_before_growing():
    assert not objects(["#..."], min_area=2, dilate=1).any()


def cleaned(rows, **changes):
    """Clean a picture of # and . and draw it again."""
    foreground = np.array([[c == "#" for c in row] for row in rows])
    result = clean_foreground(foreground, **CLEAN | changes)
    assert result.dtype == bool
    return ["".join(".#"[int(pixel)] for pixel in row) for row in result]


SPECKLES = ["#..###", "...#.#", "...###", "##...."]


@pytest.mark.parametrize(
    ("knob", "rows"),
    [
        ({}, SPECKLES),
        ({"white_speckle": 1}, ["...###", "...#.#", "...###", "##...."]),
        ({"white_speckle": 2}, ["...###", "...#.#", "...###", "......"]),
        ({"white_speckle": 8}, ["......"] * 4),
        ({"black_speckle": 1}, ["#..###", "...###", "...###", "##...."]),
        ({"black_speckle": 11}, ["#..###", "...###", "...###", "##...."]),
        ({"black_speckle": 12}, ["######"] * 4),  # 12 px at the edge
        ({"max_hole": 99}, ["#..###", "...###", "...###", "##...."]),
    ],
)
def test_speckles_of_either_kind_by_hand(knob, rows):
    assert cleaned(SPECKLES, **knob) == rows


def test_specks_that_touch_at_a_corner_are_one():
    assert cleaned(["#...", ".#.."], white_speckle=1) == ["#...", ".#.."]
    assert cleaned([".###", "#.##"], black_speckle=1) == [".###", "#.##"]
    assert cleaned([".###", "#.##"], black_speckle=2) == ["####", "####"]


def test_white_speckles_go_before_black_ones_are_filled():
    assert cleaned(["####", "#..#", "####", "...."], white_speckle=10, black_speckle=4) == [
        "....",
        "....",
        "....",
        "....",
    ]


def test_a_small_background_is_filled_only_around_something():
    assert cleaned(["...", "..."], black_speckle=99) == ["...", "..."]
    assert cleaned(["...", "#.."], black_speckle=5) == ["###", "###"]


def test_erosion_takes_a_disc_off_but_nothing_at_the_image_edge():
    block = [".......", ".#####.", ".#####.", ".#####.", "......."]
    assert cleaned(block, erode=1) == [".......", ".......", "..###..", ".......", "......."]
    assert cleaned(block, erode=2) == ["......."] * 5
    assert cleaned(["##.", "##."], erode=1) == ["#..", "#.."]
    assert cleaned(["##", "##"], erode=9) == ["##", "##"]
    corner = ["###", "###", "##."]  # sqrt(2) away stays with 1, not with 2
    assert cleaned(corner, erode=1)[1] == "##."
    assert cleaned(corner, erode=2) == ["##.", "#..", "..."]


def test_holes_are_filled_before_eroding():
    assert cleaned(RING, max_hole=3, erode=1) == ["#####"] * 3


def test_cleaning_leaves_what_it_was_given_as_it_was():
    foreground = np.array([[True, False, False]])
    clean_foreground(foreground, **CLEAN | {"white_speckle": 1})
    assert foreground[0, 0]


@pytest.mark.parametrize(
    ("knob", "left"),
    [
        ({}, [[1, 0, 2, 2, 0, 3, 3, 3]]),
        ({"min_area": 1}, [[1, 0, 2, 2, 0, 3, 3, 3]]),
        ({"min_area": 2}, [[0, 0, 1, 1, 0, 2, 2, 2]]),
        ({"max_area": 2}, [[1, 0, 2, 2, 0, 0, 0, 0]]),
        ({"min_area": 2, "max_area": 2}, [[0, 0, 1, 1, 0, 0, 0, 0]]),
        ({"min_area": 4}, [[0] * 8]),
        ({"min_area": 2, "max_area": 2, "dilate": 1}, [[0, 1, 1, 1, 1, 0, 0, 0]]),
    ],
)
def test_sizes_decide_which_objects_stay(knob, left):
    labels = np.array([[7, 0, 9, 9, 0, 4, 4, 4]], np.int32)  # neither contiguous nor in order
    result = sized_objects(labels, **SIZES | knob)
    assert result.dtype == np.uint16
    assert result.tolist() == left


def test_objects_that_touch_stay_apart():
    labels = np.array([[2, 2, 1, 1]], np.int32)
    assert sized_objects(labels, **SIZES | {"dilate": 3}).tolist() == [[1, 1, 2, 2]]


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_and_everything(value):
    labels = label_objects(np.full((3, 4), value, np.uint8), **PLAIN | {"max_hole": 5, "dilate": 2})
    assert (labels == value // 255).all()


def test_a_single_pixel_image():
    assert label_objects(np.full((1, 1), 255, np.uint8), **PLAIN).tolist() == [[1]]


def test_many_objects_fit_until_the_labels_run_out():
    checkers = np.zeros((512, 512), np.uint8)
    checkers[::2, ::2] = 255
    assert label_objects(checkers[:510], **PLAIN).max() == 255 * 256
    with pytest.raises(InputError, match="postprocess.min_area 1: leaves 65536 objects in one"):
        label_objects(checkers, **PLAIN | {"min_area": 1})


def test_another_connectivity_is_refused():
    with pytest.raises(ValueError, match="4 or 8, got 6"):
        objects(["#"], connectivity=6)
