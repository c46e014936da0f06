import numpy as np
import pytest

from src.analysis import neighbours
from src.analysis.neighbours import nearest_neighbours
from tests.blocks import HEIGHT, WIDTH, block, rle

A = (10, 10, 10, 10)


def slow_distance(first, second):
    one, other = np.argwhere(first), np.argwhere(second)
    return np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2).min())


@pytest.mark.parametrize("pairs", [0, 200, 1 << 16])
def test_neighbours_are_the_nearest_of_all_pixels(pairs, monkeypatch):
    monkeypatch.setattr(neighbours, "PAIRS", pairs)
    rng = np.random.default_rng(3)
    masks = []
    for _ in range(12):
        x, y = rng.integers(0, WIDTH - 12), rng.integers(0, HEIGHT - 10)
        masks.append(block(x, y, *rng.integers(2, 10, 2)) & (rng.random((HEIGHT, WIDTH)) < 0.8))
    distance, neighbour = nearest_neighbours([rle(mask) for mask in masks])
    for place, mask in enumerate(masks):
        others = [slow_distance(mask, m) if m is not mask else np.inf for m in masks]
        assert distance[place] == pytest.approx(min(others))
        assert others[neighbour[place]] == min(others)


def test_distances_worked_out_by_hand():
    masks = [block(0, 0, 10, 10), block(10, 3, 4, 4), block(17, 10, 2, 2), block(3, 3, 2, 2)]
    distance, neighbour = nearest_neighbours([rle(mask) for mask in masks])
    # the last lies on the first; the second is beside it, the third 4 columns and rows away
    assert distance.tolist() == [0, 1, np.hypot(4, 4), 0]
    assert neighbour.tolist() == [3, 0, 1, 0]


def test_an_object_alone_and_an_empty_mask_have_no_neighbour():
    empty = rle(np.zeros((HEIGHT, WIDTH), bool))
    for masks in ([rle(block(*A))], [rle(block(*A)), empty]):
        distance, neighbour = nearest_neighbours(masks)
        assert np.isnan(distance).all()
        assert (neighbour == -1).all()


def test_a_row_of_many_as_near_as_each_other():
    masks = [rle(block(4 * place, 1, 2, 2)) for place in range(14)]
    masks += [rle(block(4 * place, 9, 2, 2)) for place in range(14)]
    distance, neighbour = nearest_neighbours(masks)
    assert distance.tolist() == [3.0] * 28
    assert neighbour.tolist() == [1, *range(13), 15, *range(14, 27)]
