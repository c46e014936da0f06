import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from src.preparing.instances import IGNORE, draw_instances
from src.preparing.params import PrepareMasksParams
from src.reading.regions import Region

KEEP = PrepareMasksParams(
    edge_objects="keep",
    edge_width=0,
    erode=0,
    dilate=0,
    small_area=0,
    duplicate_objects="drop",
    reject=[],
    max_rejected=0,
)


def region(mask):
    """Region of a mask, written out run by run."""
    mask = np.asarray(mask, bool)
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return Region(np.empty((0, 2), np.int64), 0, (0, 0, 0, 0))
    x, y = int(columns.min()), int(rows.min())
    bbox = (x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1)
    return Region(edges.reshape(-1, 2), int(mask.sum()), bbox)


def box(height, width, top, left, h, w):
    mask = np.zeros((height, width), bool)
    mask[top : top + h, left : left + w] = True
    return mask


def draw(masks, crowd=None, **options):
    masks = [np.asarray(mask, bool) for mask in masks]
    crowd = crowd or [False] * len(masks)
    regions = [region(mask) for mask in masks]
    return draw_instances(regions, crowd, *masks[0].shape, KEEP.model_copy(update=options))


def test_labels_follow_the_order_of_the_regions_whatever_their_area():
    drawn = draw([[[0, 0, 1, 0, 0, 0]], [[0, 0, 0, 0, 1, 1]], [[1, 0, 0, 0, 0, 0]]])
    np.testing.assert_array_equal(drawn.instances, [[3, 0, 1, 0, 2, 2]])
    assert drawn.instances.dtype == np.uint16
    assert drawn[1:] == (3, 0, 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_smaller_object_lies_on_top_whichever_comes_first(order):
    masks = [[[1, 1, 1, 0]], [[0, 0, 1, 1]]]
    drawn = draw([masks[i] for i in order])
    big, small = order.index(0) + 1, order.index(1) + 1
    np.testing.assert_array_equal(drawn.instances, [[big, big, small, small]])


def test_of_equal_objects_the_later_lies_on_top():
    drawn = draw([[[1, 1, 0]], [[0, 1, 1]]])
    np.testing.assert_array_equal(drawn.instances, [[1, 2, 2]])


def test_a_hidden_object_leaves_no_gap_in_the_labels():
    drawn = draw([[[1, 0, 0]], [[1, 1, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    np.testing.assert_array_equal(drawn.instances, [[1, 2, 3]])
    assert (drawn.objects, drawn.hidden) == (3, 1)


def test_a_crowd_is_ignored_and_lies_below_every_object():
    drawn = draw([[[0, 1, 1, 1]], [[1, 1, 1, 0]]], crowd=[False, True])
    np.testing.assert_array_equal(drawn.instances, [[IGNORE, 1, 1, 1]])
    assert (drawn.objects, drawn.ignored) == (1, 1)


def test_a_region_without_pixels_leaves_no_trace():
    drawn = draw([[[0, 0]], [[0, 1]], [[0, 0]]], crowd=[False, False, True])
    np.testing.assert_array_equal(drawn.instances, [[0, 1]])
    assert drawn[1:] == (1, 0, 0)


def test_an_image_without_regions_is_background():
    drawn = draw_instances([], [], 2, 3, KEEP)
    np.testing.assert_array_equal(drawn.instances, np.zeros((2, 3)))
    assert drawn[1:] == (0, 0, 0)


FRAME = box(7, 7, 0, 0, 2, 7) | box(7, 7, 0, 0, 7, 2)  # its bounding box is the whole image
REACHES_IN = box(7, 7, 0, 4, 3, 1)  # one pixel inside the frame of 2


@pytest.mark.parametrize(
    ("mode", "values", "counts"),
    [("ignore", (IGNORE, 1), (1, 1)), ("drop", (0, 1), (1, 0)), ("keep", (1, 2), (2, 0))],
)
def test_an_object_within_the_frame_is_treated_as_the_mode_says(mode, values, counts):
    drawn = draw([FRAME, REACHES_IN], edge_objects=mode, edge_width=2)
    expected = np.where(REACHES_IN, values[1], np.where(FRAME, values[0], 0))
    np.testing.assert_array_equal(drawn.instances, expected)
    assert (drawn.objects, drawn.ignored) == counts


@pytest.mark.parametrize(
    ("place", "edge"), [((1, 3), True), ((2, 3), False), ((4, 3), False), ((5, 3), True)]
)
@pytest.mark.parametrize("transpose", [False, True])
def test_the_frame_is_as_wide_on_all_four_sides(place, edge, transpose):
    mask = box(7, 9, *place, 1, 1)
    drawn = draw([mask.T if transpose else mask], edge_objects="ignore", edge_width=2)
    assert (drawn.ignored == 1) == edge


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 9)])
def test_where_nothing_is_left_inside_the_frame_every_object_is_an_edge_object(shape):
    assert draw([np.ones(shape)], edge_objects="ignore", edge_width=2).ignored == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_without_a_frame_there_are_no_edge_objects(shape):
    drawn = draw([np.ones(shape)], edge_objects="ignore", edge_width=0)
    np.testing.assert_array_equal(drawn.instances, np.ones(shape))


def test_a_crowd_at_the_edge_is_ignored_in_every_mode():
    for mode in ("ignore", "drop", "keep"):
        drawn = draw([box(9, 9, 0, 0, 1, 1)], [True], edge_objects=mode, edge_width=2)
        assert drawn.instances[0, 0] == IGNORE


def test_erosion_takes_a_rim_off_objects_above_the_small_area_only():
    big, small = box(9, 15, 1, 1, 5, 5), box(9, 15, 1, 8, 3, 3)
    drawn = draw([big, small], erode=1, small_area=9)
    expected = box(9, 15, 2, 2, 3, 3) + 2 * small.astype(int)
    np.testing.assert_array_equal(drawn.instances, expected)


def test_an_object_that_erosion_would_make_vanish_stays_whole():
    thin = box(9, 9, 2, 1, 2, 7)
    np.testing.assert_array_equal(draw([thin], erode=1, small_area=4).instances, thin)


def test_the_image_edge_does_not_erode():
    mask = box(6, 6, 0, 0, 4, 6)
    np.testing.assert_array_equal(draw([mask], erode=2).instances, box(6, 6, 0, 0, 2, 6))


def test_ignored_objects_are_not_eroded():
    mask = box(9, 9, 0, 0, 9, 3)
    drawn = draw([mask], edge_objects="ignore", edge_width=3, erode=1)
    np.testing.assert_array_equal(drawn.instances == IGNORE, mask)


def test_dilation_grows_small_objects_by_a_disc():
    drawn = draw([box(7, 7, 3, 3, 1, 1)], dilate=2, small_area=1)
    disc = [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(drawn.instances, np.pad(disc, 1))


def test_dilation_leaves_objects_above_the_small_area():
    mask = box(5, 5, 2, 2, 1, 2)
    np.testing.assert_array_equal(draw([mask], dilate=2, small_area=1).instances, mask)


def test_dilation_takes_background_only():
    masks = [[[0, 0, 1, 0, 0, 0, 0]], [[0, 1, 0, 0, 0, 0, 0]], [[0, 0, 0, 0, 1, 0, 0]]]
    drawn = draw(masks, crowd=[False, False, True], dilate=2, small_area=1)
    np.testing.assert_array_equal(drawn.instances, [[1, 2, 1, 1, IGNORE, 0, 0]])


def test_what_is_hidden_does_not_grow():
    drawn = draw([[[0, 1, 1, 0, 0]], [[0, 1, 0, 0, 0]], [[0, 0, 1, 0, 0]]], dilate=1, small_area=2)
    np.testing.assert_array_equal(drawn.instances, [[1, 1, 2, 2, 0]])
    assert drawn.hidden == 1


def slow_draw(masks, crowd, mode, frame, erode, dilate, small_area):
    """The same rules on whole images, with exact distances for discs."""
    height, width = masks[0].shape
    inner = np.zeros((height, width), bool)
    inner[frame : max(height - frame, 0), frame : max(width - frame, 0)] = True
    target = np.zeros((height, width), int)
    for mask, flag in zip(masks, crowd, strict=True):
        if flag:
            target[mask] = -1
    order = sorted(range(len(masks)), key=lambda i: (-masks[i].sum(), i))
    grown = []
    for i in order:
        if crowd[i] or not masks[i].any():
            continue
        edge = mode != "keep" and not (masks[i] & inner).any()
        if edge and mode == "drop":
            continue
        mask = masks[i]
        if erode and not edge and mask.sum() > small_area and not mask.all():
            inside = distance_transform_edt(mask) > erode
            mask = inside if inside.any() else mask
        target[mask] = -1 if edge else i + 1
        if not edge and masks[i].sum() <= small_area:
            grown.append(i + 1)
    for label in grown if dilate else []:
        if (target == label).any():
            target[(distance_transform_edt(target != label) <= dilate) & (target == 0)] = label
    labels = np.unique(target[target > 0])
    result = np.where(target == -1, IGNORE, np.searchsorted(labels, target) + 1)
    return np.where(target == 0, 0, result)


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_same_rules_written_out_on_whole_images(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2)
    masks = []
    for _ in range(rng.integers(1, 12)):
        top, left = rng.integers(-3, height), rng.integers(-3, width)
        h, w = rng.integers(1, 15, 2)
        mask = np.zeros((height, width), bool)
        mask[max(top, 0) : max(top + h, 0), max(left, 0) : max(left + w, 0)] = True
        masks.append(mask & (rng.random((height, width)) < rng.choice([0.5, 0.95, 1])))
    crowd = [bool(flag) for flag in rng.random(len(masks)) < 0.15]
    mode, frame = rng.choice(["ignore", "drop", "keep"]), int(rng.integers(0, 5))
    erode, dilate, small = (int(n) for n in rng.integers(0, [4, 4, 40]))
    drawn = draw(
        masks, crowd, edge_objects=mode, edge_width=frame,
        erode=erode, dilate=dilate, small_area=small,
    )  # fmt: skip
    expected = slow_draw(masks, crowd, mode, frame, erode, dilate, small)
    np.testing.assert_array_equal(drawn.instances, expected)
    assert drawn.objects == len(np.unique(expected[(expected > 0) & (expected < IGNORE)]))


@pytest.mark.slow
def test_as_many_objects_as_labels_exist_can_be_drawn():
    pixels = np.arange(65534)
    regions = [Region(np.array([[i, i + 1]]), 1, (i // 256, i % 256, 1, 1)) for i in pixels]
    drawn = draw_instances(regions, [False] * len(regions), 256, 256, KEEP)
    expected = np.append(pixels + 1, [0, 0]).reshape(256, 256).T
    np.testing.assert_array_equal(drawn.instances, expected)
    assert drawn.objects == 65534
    with pytest.raises(ValueError, match="at most 65534"):
        draw_instances([*regions, regions[0]], [False] * 65535, 256, 256, KEEP)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crowd": [False, True]}, "1 regions, 2 flags"),
    ],
)
def test_a_programmers_mistake_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        draw([[[1]]], **options)
