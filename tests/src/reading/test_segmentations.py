import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.reading.segmentations import (
    compress,
    is_shrunk,
    leaves_image,
    read_segmentation,
    whole_parts,
)
from src.reading.windings import is_simple

# pycocotools' own decoding asks numpy for something that numpy 2 will drop
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SQUARE = [0, 0, 2, 0, 2, 2, 0, 2]  # covers pixels 0 and 1 of rows 0 and 1


def mask_of(region, height, width):
    flat = np.zeros(height * width, bool)
    for start, stop in region.runs:
        assert start < stop
        flat[start:stop] = True
    return flat.reshape(width, height).T


def check(region, mask):
    """Compare runs, area, bounding box and RLE with what numpy and pycocotools say of a mask."""
    height, width = mask.shape
    np.testing.assert_array_equal(mask_of(region, height, width), mask)
    assert (region.runs[1:, 0] > region.runs[:-1, 1]).all()
    assert region.area == mask.sum()
    rows, columns = np.nonzero(mask)
    if rows.size:
        x, y = columns.min(), rows.min()
        assert region.bbox == (x, y, columns.max() - x + 1, rows.max() - y + 1)
    else:
        assert region.bbox == (0, 0, 0, 0)
    official = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    expected = {"size": [height, width], "counts": official["counts"].decode()}
    assert compress(region, height, width) == expected


def test_a_square_covers_the_pixels_between_its_corners():
    region, _ = read_segmentation([SQUARE], 3, 4)
    check(region, np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool))
    assert region.runs.tolist() == [[0, 2], [3, 5]]


def test_a_polygon_in_two_parts_is_one_object():
    region, _ = read_segmentation([SQUARE, [3, 1, 4, 1, 4, 3, 3, 3]], 3, 4)
    check(region, np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 1]], bool))
    assert region.bbox == (0, 0, 4, 3)


def test_overlapping_parts_are_united():
    region, _ = read_segmentation([SQUARE, [1, 0, 3, 0, 3, 2, 1, 2]], 3, 4)
    check(region, np.array([[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]], bool))


def test_a_polygon_over_the_edge_is_cut_off_there():
    region, _ = read_segmentation([[-50, -50, 1, -50, 1, 50, -50, 50]], 3, 4)
    check(region, np.array([[1, 0, 0, 0]] * 3, bool))


def test_a_polygon_around_the_image_covers_it_all():
    around = [[-9, -9, 9, -9, 9, 9, -9, 9]]
    for height, width in ((1, 1), (1, 5), (5, 1), (2, 3)):
        check(read_segmentation(around, height, width)[0], np.ones((height, width), bool))


@pytest.mark.parametrize(
    "polygon", [[1, 1, 1, 1, 1, 1], [-9, -9, -5, -9, -5, -5], [0, 0, 2, 2, 1, 1]]
)
def test_a_valid_polygon_may_cover_no_pixel(polygon):
    check(read_segmentation([polygon], 3, 4)[0], np.zeros((3, 4), bool))


def test_uncompressed_rle_runs_down_the_columns_from_background():
    region, _ = read_segmentation({"size": [3, 4], "counts": [1, 3, 6, 2]}, 3, 4)
    check(region, np.array([[0, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1]], bool))


def test_compressed_rle_is_read():
    # 1, 3, 6 in one digit each, then 2 as its difference to 3, which is -1: all five bits set
    region, _ = read_segmentation({"size": [3, 4], "counts": "136O"}, 3, 4)
    check(region, np.array([[0, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1]], bool))


@pytest.mark.parametrize("counts", [[0, 2, 0, 1, 1, 0, 2], [0, 3, 1, 0, 0, 0, 2], [0, 3, 3, 0]])
def test_empty_runs_are_joined_away(counts):
    rle = {"size": [2, 3], "counts": counts}
    check(read_segmentation(rle, 2, 3)[0], np.array([[1, 1, 0], [1, 0, 0]], bool))


@pytest.mark.parametrize("counts", [[6], [6, 0], "6"])
def test_an_rle_may_be_all_background(counts):
    check(read_segmentation({"size": [2, 3], "counts": counts}, 2, 3)[0], np.zeros((2, 3), bool))


@pytest.mark.parametrize("seed", range(40))
def test_every_form_of_a_mask_gives_that_mask(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, [60, 300]))
    mask = rng.random((height, width)) < rng.choice([0.002, 0.5, 0.99, 1])
    compressed = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    for form in (compressed, [0, *counts] if flat[0] else counts):
        rle = {"size": [height, width], "counts": form}
        region, repaired = read_segmentation(rle, height, width)
        check(region, mask)
        assert not repaired


def official(parts, height, width):
    rle = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
    return coco_mask.decode(rle).astype(bool)


@pytest.mark.parametrize("seed", range(40))
def test_polygons_are_rasterised_as_the_official_tools_do(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 80, 2))
    parts = []
    for _ in range(rng.integers(1, 4)):
        angles = np.sort(rng.random(rng.integers(3, 30))) * 2 * np.pi
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        reach = rng.uniform(1, 50, (len(angles), 1))
        parts.append((rng.random(2) * 80 + reach * directions).round(2).ravel().tolist())
    region, repaired = read_segmentation(parts, height, width)
    check(region, official(parts, height, width))
    assert not repaired


@pytest.mark.parametrize("seed", range(10))
def test_outlines_traced_from_masks_stay_what_the_official_tools_make_of_them(seed):
    blurred = cv2.GaussianBlur(np.random.default_rng(seed).random((60, 70)), (0, 0), 2)
    mask = (blurred > np.quantile(blurred, 0.55)).astype(np.uint8)
    outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    parts = [outline.ravel().tolist() for outline in outlines if len(outline) > 2]
    assert not all(is_simple(part) for part in parts)  # they touch themselves
    region, repaired = read_segmentation(parts, 60, 70)
    check(region, official(parts, 60, 70))
    assert not repaired


def test_what_an_outline_goes_around_twice_is_no_hole():
    curl = [0, 0, 9, 0, 9, 9, 3, 9, 3, 3, 6, 3, 6, 6, 0, 6]
    expected = np.zeros((9, 10), bool)
    expected[0:6, 0:9] = expected[0:9, 3:9] = True
    assert not official([curl], 9, 10)[3:6, 3:6].any()
    for parts in ([curl], [[0, 0, 1, 0, 1, 1, 0, 1], curl], [curl, curl]):
        region, repaired = read_segmentation(parts, 9, 10)
        check(region, expected)
        assert repaired


def test_an_outline_drawn_twice_is_not_nothing():
    region, repaired = read_segmentation([SQUARE + SQUARE], 3, 4)
    check(region, np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool))
    assert repaired


def test_a_bow_tie_keeps_both_ends():
    bow_tie = [0, 0, 8, 8, 8, 0, 0, 8]
    region, repaired = read_segmentation([bow_tie], 8, 8)
    check(region, official([bow_tie], 8, 8))
    assert repaired
    assert region.area == 32  # half of the square


def test_parts_are_looked_at_one_by_one():
    curl = [10, 0, 19, 0, 19, 9, 13, 9, 13, 3, 16, 3, 16, 6, 10, 6]
    plain = [0, 0, 5, 0, 5, 5, 0, 5]
    region, repaired = read_segmentation([plain, curl, plain], 9, 20)
    assert repaired
    assert region.area == 25 + 72  # both filled, the first counted once


@pytest.mark.parametrize(
    ("segmentation", "outside"),
    [
        ([SQUARE], False),
        ([[-1, -1, 5, -1, 5, 4, -1, 4]], False),  # by a pixel
        ([[-1.5, 0, 2, 0, 2, 2]], True),
        ([SQUARE, [0, 0, 5.5, 0, 2, 2]], True),
        ([[0, 0, 2, 0, 2, 4.5]], True),
        ([[0, 0, 4.5, 0, 2, 2]], False),  # the image is wider than high
        ([[-9, -9, -5, -9, -5, -5]], True),
        ({"size": [3, 4], "counts": "136O"}, False),
    ],
)
def test_an_outline_that_leaves_the_image_is_noticed(segmentation, outside):
    assert leaves_image(segmentation, 3, 4) is outside


def test_runs_of_a_large_image_survive_compression():
    size = [12000, 14000]
    runs = [[5, 1000], [3000, 83000000], [167999999, 168000000]]
    counts = [5, 995, 2000, 82997000, 84999999, 1]
    region, _ = read_segmentation({"size": size, "counts": counts}, *size)
    assert region.runs.tolist() == runs
    assert read_segmentation(compress(region, *size), *size)[0].runs.tolist() == runs


POLYGON_FAULTS = [
    ([[1, 2, 3, 4, 5, 6, 7]], "polygon 1 has 7 coordinates, an odd number"),
    ([SQUARE, [1, 2, 3, 4]], "polygon 2 has 2 points, fewer than three"),
    ([[]], "polygon 1 has 0 points"),
    ([0, 0, 2, 0, 2, 2], "polygon 1 is 0, not a list"),
    ([{"x": 1}], "polygon 1 is {'x': 1}, not a list"),
    ([[0, 0, 2, 0, 2, "2"]], "holds '2', which is not a number"),
    ([[0, 0, 2, 0, 2, None]], "holds None, which is not a number"),
    ([[0, 0, 2, 0, 2, True]], "holds True, which is not a number"),
    ([[[0, 0], [2, 0], [2, 2]]], r"holds \[0, 0\], which is not a number"),
    ([[0, 0, 2, 0, 2, float("nan")]], "holds nan, which is not a number"),
    ([[0, 0, 2, 0, 2, float("inf")]], "holds inf, which is not a place"),
    ([[0, 0, 2, 0, 2, -1e9]], "holds -1000000000.0, which is not a place"),
    ([[0, 0, 2, 0, 2, 10**400]], "holds 10+, which is not a place"),
    ([[0, 0, 1e6, 0] * 3], "outline of 6000000 px, more than 4000000"),
]
RLE_FAULTS = [
    ({}, r"size is None, the image's \[3, 4\]"),
    ({"size": [4, 3], "counts": [12]}, r"size is \[4, 3\], the image's \[3, 4\]"),
    ({"size": [3, 4]}, "counts are None, neither a list nor a string"),
    ({"size": [3, 4], "counts": {"a": 1}}, "counts are {'a': 1}, neither"),
    ({"size": [3, 4], "counts": [5, 6]}, "add up to 11 pixels, the image has 12"),
    ({"size": [3, 4], "counts": []}, "add up to 0 pixels, the image has 12"),
    ({"size": [3, 4], "counts": [5, -1, 8]}, "hold -1, not a length"),
    ({"size": [3, 4], "counts": [5, 7.0]}, "hold 7.0, not a whole number"),
    ({"size": [3, 4], "counts": ["12"]}, "hold '12', not a whole number"),
    ({"size": [3, 4], "counts": [13]}, "hold 13, not a length"),
    ({"size": [3, 4], "counts": ""}, "add up to 0 pixels"),
    ({"size": [3, 4], "counts": "56"}, "add up to 11 pixels"),
    ({"size": [3, 4], "counts": "O"}, "a number that is no length"),
    ({"size": [3, 4], "counts": "="}, "a number that is no length"),
    ({"size": [3, 4], "counts": "11O2"}, "a number that is no length"),
    ({"size": [3, 4], "counts": "o" * 1000}, "a number that is no length"),
    ({"size": [3, 4], "counts": "<o"}, "break off within a number"),
    ({"size": [3, 4], "counts": "5 7"}, "a character that is none"),
    ({"size": [3, 4], "counts": "5p"}, "a character that is none"),
    ({"size": [3, 4], "counts": "5é"}, "a character that is none"),
    ({"size": [3, 4], "counts": "5\ud800"}, "a character that is none"),
    ({"size": [3, 4], "counts": "5\x00"}, "a character that is none"),
    ({"size": [3, 4], "counts": "5/7"}, "a character that is none"),
    ({"size": [3, 4], "counts": "5p7"}, "a character that is none"),
    ({"size": [3, 4], "counts": "O5p"}, "a number that is no length"),
    ({"size": [3, 4], "counts": "5pO"}, "a character that is none"),
    ({"size": [3, 4], "counts": "o" * 6}, "break off within a number"),
    ({"size": [3, 4], "counts": "o" * 7}, "a number that is no length"),
    ({"size": [3, 4], "counts": "P" * 7 + "0"}, "a number that is no length"),
]
OTHER_FAULTS = [(None, "of type NoneType, neither"), ("136O", "of type str"), (7, "of type int")]


@pytest.mark.parametrize(("segmentation", "words"), POLYGON_FAULTS + RLE_FAULTS + OTHER_FAULTS)
def test_what_cannot_be_read_is_refused_with_the_reason(segmentation, words):
    with pytest.raises(InputError, match=words):
        read_segmentation(segmentation, 3, 4)


def plain_counts(encoded, pixels):
    """Decode a compressed RLE digit by digit; return run lengths, or what is first wrong."""
    counts, value, place = [], 0, 0
    for code in encoded:
        digit = code - 48
        if not 0 <= digit < 64:
            return "a character that is none"
        value |= (digit & 31) << place
        place += 5
        if digit < 32:
            value -= (digit & 16) << (place - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, place = 0, 0
        if place == 35 or (counts and not 0 <= counts[-1] <= pixels):
            return "a number that is no length"
    return "break off" if place else counts


@pytest.mark.parametrize("seed", range(300))
def test_a_compressed_rle_is_read_as_digit_by_digit(seed):
    rng = np.random.default_rng(seed)
    pixels = int(rng.integers(1, 3000))
    counts = rng.multinomial(pixels, rng.dirichlet(np.ones(rng.integers(1, 60)))).tolist()
    rle = coco_mask.frPyObjects({"size": [pixels, 1], "counts": counts}, pixels, 1)
    text = bytearray(rle["counts"])
    if seed % 3:  # mangled
        for place in rng.integers(0, len(text), seed % 3):
            text[place] = rng.integers(40, 120)
    if seed % 7 == 1:
        text += b"o" * int(rng.integers(1, 10))
    expected = plain_counts(text, pixels)
    rle = {"size": [pixels, 1], "counts": text.decode()}
    if isinstance(expected, list) and sum(expected) != pixels:
        expected = "add up to"
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            read_segmentation(rle, pixels, 1)
    else:
        inside = np.repeat(np.arange(len(expected)) % 2, expected)
        region, _ = read_segmentation(rle, pixels, 1)
        np.testing.assert_array_equal(mask_of(region, pixels, 1)[:, 0], inside)


@pytest.mark.parametrize("seed", range(5))
def test_a_mangled_rle_is_refused_or_is_a_mask_of_the_image(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 50)) < 0.5
    counts = bytearray(coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"])
    refused = 0
    for _ in range(200):
        mangled = counts.copy()
        mangled[rng.integers(len(mangled))] = rng.integers(48, 112)
        rle = {"size": [40, 50], "counts": mangled.decode()}
        try:
            region, _ = read_segmentation(rle, 40, 50)
        except InputError:
            refused += 1
        else:
            check(region, coco_mask.decode(rle).astype(bool))
    assert refused > 100


def test_an_empty_list_covers_no_pixel():
    region, repaired = read_segmentation([], 5, 6)
    assert (region.area, len(region.runs), region.bbox, repaired) == (0, 0, (0, 0, 0, 0), False)


def test_parts_of_fewer_than_three_points_are_left_out():
    part, square = [1, 2, 3, 4], [0, 0, 2, 0, 2, 2, 0, 2]
    assert whole_parts([part, square, [1, 1], []]) == [square]
    assert whole_parts([part]) == []
    for kept in ([square], [[1, 2, 3]], [[1, 2, "x", 4]], {"size": [1, 1], "counts": [1]}, None):
        assert whole_parts(kept) is kept  # what is wrong otherwise is refused later


def contour(mask):
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [points.reshape(-1).tolist() for points in found]


def pixels_of(region, height, width):
    flat = np.zeros(height * width, bool)
    for start, stop in region.runs.tolist():
        flat[start:stop] = True
    return flat.reshape(width, height).T


@pytest.mark.parametrize("seed", range(1, 6))  # whose shapes have no holes
def test_contours_of_opencv_are_read_back_whole(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((19, 26), np.uint8)
    for _ in range(3):
        y, x = rng.integers(-2, 24, 2).tolist()
        cv2.ellipse(mask, (x, y), (4, 7), int(rng.integers(180)), 0, 360, 1, -1)
    parts = contour(mask)
    for part in parts:
        if len(part) <= 4:  # a line of pixels, which no tool writes as a polygon
            cv2.polylines(mask, [np.reshape(part, (-1, 1, 2)).astype(np.int32)], True, 0)
    region, repaired = read_segmentation([p for p in parts if len(p) > 4], 19, 26, centres=True)
    np.testing.assert_array_equal(pixels_of(region, 19, 26), mask > 0)
    assert (region.area, repaired) == (mask.sum(), False)
    assert (np.diff(region.runs.ravel()) > 0).all()


def test_an_outline_through_centres_is_cut_at_the_image_and_may_lie_outside():
    region, _ = read_segmentation([[-3, 1, 2, 1, 2, 9, -3, 9]], 5, 6, centres=True)
    expected = np.zeros((5, 6), bool)
    expected[1:, :3] = True
    np.testing.assert_array_equal(pixels_of(region, 5, 6), expected)
    assert read_segmentation([[8, 1, 9, 1, 9, 3]], 5, 6, centres=True)[0].area == 0


@pytest.mark.parametrize(
    ("polygon", "area", "shrunk"),
    [
        ([2, 2, 11, 2, 11, 7, 2, 7], 60, True),  # 10 x 6 pixels, of which COCO takes 9 x 5
        ([2, 2, 11, 2, 11, 7, 2, 7], 45, False),
        ([2, 2, 12, 2, 12, 8, 2, 8], 60, False),
        ([2.5, 2, 11, 2, 11, 7, 2, 7], 60, False),  # drawn by hand, with a careless area
        ([2, 2, 11, 2, 11, 7, 2, 7], 90, False),  # whatever it is, the rim is not
    ],
)
def test_an_object_that_lacks_its_rim_is_told_by_its_area(polygon, area, shrunk):
    region, _ = read_segmentation([polygon], 15, 20)
    assert is_shrunk([polygon], area, region, 15, 20) == shrunk
