import numpy as np
import pytest

from src.duplicates.ground import find_overlaps

UPRIGHT = (1, 0, 0, -1)


def overlaps(placed, share):
    """Compare images of 10 x 20 px (H, W), each (x0, y0, crs, xc, xr, yc, yr) or None."""
    names = [f"train/{i}" for i in range(len(placed))]
    places = {}
    for name, place in zip(names, placed, strict=True):
        if place is not None:
            x, y, crs, *rest = place
            xc, xr, yc, yr = rest or UPRIGHT
            places[name] = (x, xc, xr, y, yc, yr, crs)
    places["train/rejected"] = (0, 1, 0, 0, 0, -1, "")
    return find_overlaps(names, np.tile([10, 20], (len(names), 1)), places, share).tolist()


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.6, []),
        (0.3, [[0, 2]]),  # 20 x 5 of 200
        (0.25, [[0, 2]]),
        (0.2, [[0, 1], [0, 2]]),  # 5 x 10 of 200
        (0.1, [[0, 1], [0, 2], [1, 2]]),  # 5 x 5 of 200
    ],
)
def test_images_that_share_more_than_the_share_are_paired(share, expected):
    assert overlaps([(0, 0, ""), (15, 0, ""), (0, 5, "")], share) == expected


def test_touching_images_share_no_ground():
    placed = [(0, 0, ""), (20, 0, ""), (0, -10, ""), (20, -10, "")]
    assert overlaps(placed, 0.001) == []


def test_the_share_is_of_the_smaller_image():
    assert overlaps([(0, 0, ""), (2, -2, "", 0.1, 0, 0, -0.1)], 0.99) == [[0, 1]]


def test_turned_images_are_compared_by_their_true_outlines():
    # a quarter turn: 10 wide, 20 high, from the same corner; 10 x 10 of 200 are shared
    placed = [(0, 0, ""), (10, 0, "", 0, -1, -1, 0)]
    assert overlaps(placed, 0.49) == [[0, 1]]
    assert overlaps(placed, 0.51) == []


def test_only_images_of_one_crs_are_compared():
    placed = [(0, 0, "EPSG:32736"), (0, 0, "EPSG:32636"), (0, 0, "EPSG:32736"), (0, 0, "")]
    assert overlaps(placed, 0.5) == [[0, 2]]


def test_images_without_a_place_are_passed_over():
    assert overlaps([None, (0, 0, ""), None, (1, 0, "")], 0.5) == [[1, 3]]
    assert overlaps([None, None], 0.5) == []
    assert overlaps([], 0.5) == []


@pytest.mark.parametrize("seed", range(5))
def test_upright_images_agree_with_a_comparison_of_all_pairs(seed):
    starts = np.random.default_rng(seed).integers(0, 60, (40, 2)).tolist()
    expected = []
    for i, (x, y) in enumerate(starts):
        for j, (u, v) in list(enumerate(starts))[i + 1 :]:
            shared = max(20 - abs(x - u), 0) * max(10 - abs(y - v), 0)
            if i % 2 == j % 2 and shared > 0.3 * 200:
                expected.append([i, j])
    assert expected
    assert overlaps([(x, y, str(i % 2)) for i, (x, y) in enumerate(starts)], 0.3) == expected
