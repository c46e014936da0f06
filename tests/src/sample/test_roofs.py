import numpy as np
import pytest

from src.sample.buildings import Building, rectangle
from src.sample.roofs import AMBIENT, Sun, cast_shadow, draw_roof, face_light, roof_faces

RIGHT, LEFT, LOW, TOP = range(4)
SOUTH = Sun(np.array([0.0, 1.0]), np.pi / 4)


def house(roof="hip", hole=None, angle=0.0, centre=(20.0, 20.0), wings=((-8, -5, 8, 5, 0),)):
    return Building(
        centre=centre,
        angle=angle,
        outline=rectangle(-8, -5, 8, 5),
        hole=hole,
        wings=list(wings),
        roof=roof,
        cover="tiles",
        colour=(0.5, 0.5, 0.5),
        height=5.0,
    )


def at(roof, x, y, **changes):
    faces = roof_faces(house(roof, **changes), np.array([[x]], float), np.array([[y]], float))
    return bool(faces.covered[0, 0]), int(faces.face[0, 0]), float(faces.rise[0, 0])


def test_a_hip_roof_falls_to_all_four_sides():
    assert at("hip", 7, 0) == (True, RIGHT, 1)
    assert at("hip", -6, 1) == (True, LEFT, 2)
    assert at("hip", 0, 3) == (True, LOW, 2)
    assert at("hip", 0, -1) == (True, TOP, 4)


def test_a_gable_roof_falls_to_the_two_sides_along_its_ridge():
    assert at("gable", 7, 1) == (True, LOW, 4)
    assert at("gable", 7, -1) == (True, TOP, 4)
    assert at("gable", 7, 1, wings=[(-8, -5, 8, 5, 1)]) == (True, RIGHT, 1)


def test_a_pent_roof_has_one_slope():
    assert {at("pent", x, y)[1] for x in (-7, 0, 7) for y in (-4, 4)} == {LOW}


def test_nothing_beyond_the_wall_is_covered():
    assert not at("hip", 8.1, 0)[0]
    assert not at("gable", 0, -5.1)[0]


def test_where_wings_overlap_the_higher_roof_is_seen():
    wings = [(-8, -5, 8, 5, 0), (-8, -5, 0, 20, 0)]
    assert at("hip", -4, 4, wings=wings) == (True, RIGHT, 4)  # 1 on the other wing
    assert at("hip", -4, 4, wings=wings[::-1]) == (True, RIGHT, 4)


def test_light_depends_on_the_way_a_slope_looks():
    light = face_light(house(), SOUTH, 0.5)
    assert light[LOW] > 1 > light[RIGHT] > light[TOP]
    assert light[RIGHT] == pytest.approx(light[LEFT])


def test_level_ground_has_light_one():
    np.testing.assert_allclose(face_light(house(), SOUTH, 0.0), 1)


def test_a_slope_square_to_the_sun_has_all_of_its_light():
    full = AMBIENT + (1 - AMBIENT) / np.sin(SOUTH.elevation)
    assert face_light(house(), SOUTH, np.pi / 2 - SOUTH.elevation)[LOW] == pytest.approx(full)


def test_a_turned_house_turns_another_side_to_the_sun():
    quarter = face_light(house(angle=np.pi / 2), SOUTH, 0.5)  # its right side looks down now
    assert quarter[RIGHT] == pytest.approx(face_light(house(), SOUTH, 0.5)[LOW])


def test_a_shadow_is_as_long_as_the_wall_is_high_at_45_degrees():
    shadow = np.zeros((40, 40), np.uint8)
    cast_shadow(shadow, house(), SOUTH, scale=1)
    rows, columns = np.nonzero(shadow)
    assert abs(rows.min() - (20 - 5 - 5)) <= 1  # 5 px above the upper wall
    assert abs(columns.min() - 12) <= 1
    assert abs(columns.max() - 27) <= 1
    assert shadow[10:24, 13:27].all()


def test_a_courtyard_is_shaded_by_its_sunny_wall_only():
    shadow = np.zeros((80, 80), np.uint8)
    wide = house(hole=rectangle(-10, -10, 10, 10), centre=(40.0, 40.0))
    wide = wide._replace(outline=rectangle(-20, -20, 20, 20))
    cast_shadow(shadow, wide, SOUTH, scale=1)
    assert shadow[46:49, 32:48].all()  # beside the lower wall, 5 px of shade
    assert not shadow[31:44, 32:48].any()


@pytest.mark.parametrize("roof", ["hip", "gable", "pent", "flat"])
def test_a_roof_is_drawn_on_its_outline_and_nowhere_else(roof):
    canvas = np.zeros((80, 80, 3), np.float32)
    grain = {name: np.zeros((80, 80), np.float32) for name in ("fine", "middle", "coarse")}
    draw_roof(canvas, house(roof), SOUTH, grain, 2, np.random.default_rng(0))
    expected = np.zeros((80, 80), bool)
    expected[30:50, 24:56] = True
    np.testing.assert_array_equal(canvas.min(axis=2) > 0, expected)


def test_the_sunny_slope_is_drawn_brighter():
    canvas = np.zeros((80, 80, 3), np.float32)
    grain = {name: np.zeros((80, 80), np.float32) for name in ("fine", "middle", "coarse")}
    draw_roof(canvas, house("gable"), SOUTH, grain, 2, np.random.default_rng(0))
    assert canvas[42:48, 26:54].mean() > 1.3 * canvas[32:38, 26:54].mean()


def test_a_roof_beyond_the_canvas_is_left_out():
    canvas = np.zeros((20, 20, 3), np.float32)
    grain = {name: np.zeros((20, 20), np.float32) for name in ("fine", "middle", "coarse")}
    draw_roof(canvas, house(centre=(100.0, 100.0)), SOUTH, grain, 1, np.random.default_rng(0))
    assert not canvas.any()
