import numpy as np
import pytest

from src.sample.buildings import Building, courtyards_of, outline_of, place, rectangle, wing_plan
from src.sample.footprints import Footprint, rasterise

ROOFS = ("hip", "gable", "flat")
CORNERS = {"rect": 4, "ell": 6, "u": 8, "ring": 4}


def test_a_quarter_turn_takes_x_to_y_before_the_move():
    np.testing.assert_allclose(place([(1, 0), (0, 2)], (10, 20), np.pi / 2), [(10, 21), (8, 20)])


def test_a_building_stands_where_it_is_placed():
    building = Building(
        centre=(10.0, 20.0),
        angle=np.pi / 2,
        outline=rectangle(-4, -3, 4, 3),
        hole=rectangle(-1, -1, 2, 1),
        wings=[],
        roof="hip",
        cover="tiles",
        colour=(0.5, 0.5, 0.5),
        height=5.0,
    )
    np.testing.assert_allclose(outline_of(building), [(13, 16), (13, 24), (7, 24), (7, 16)])
    np.testing.assert_allclose(courtyards_of(building)[0], [(11, 19), (11, 22), (9, 22), (9, 19)])
    assert courtyards_of(building._replace(hole=None)) == []


@pytest.mark.parametrize("shape", CORNERS)
@pytest.mark.parametrize("roof", ROOFS)
@pytest.mark.parametrize("seed", range(6))
def test_the_wings_together_are_the_outline_without_the_courtyard(shape, roof, seed):
    outline, hole, wings = wing_plan(np.random.default_rng(seed), shape, 40, 32, roof)
    assert len(outline) == CORNERS[shape]
    assert (hole is not None) == (shape == "ring")
    x, y = np.meshgrid(np.arange(-25, 25, 0.1) + 0.05, np.arange(-25, 25, 0.1) + 0.05)
    covered = np.zeros(x.shape, bool)
    for left, top, right, low, _ in wings:
        covered |= (x > left) & (x < right) & (y > top) & (y < low)
    holes = [] if hole is None else [hole]
    scaled = Footprint([(outline + 25) * 10], [(h + 25) * 10 for h in holes])
    drawn = rasterise(scaled, *x.shape)
    assert (covered != drawn).sum() < 0.01 * covered.sum()  # cells on the outline


def test_a_plan_too_small_for_wings_is_a_rectangle():
    outline, hole, wings = wing_plan(np.random.default_rng(0), "ring", 12, 10, "hip")
    np.testing.assert_array_equal(outline, rectangle(-6, -5, 6, 5))
    assert hole is None
    assert wings == [(-6, -5, 6, 5, 0)]


def test_the_ridge_runs_along_the_longer_side():
    rng = np.random.default_rng(0)
    assert wing_plan(rng, "rect", 20, 10, "gable")[2][0][4] == 0
    assert wing_plan(rng, "rect", 10, 20, "gable")[2][0][4] == 1
