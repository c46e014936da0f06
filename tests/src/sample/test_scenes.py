import numpy as np
import pytest

from src.sample.buildings import Building, rectangle
from src.sample.footprints import polygon_area, rasterise
from src.sample.layout import Patch, Plan, Tree
from src.sample.scenes import draw_plan, draw_scene, footprints_of, photograph

BLACK_GROUND = Patch(rectangle(-9, -9, 73, 73), (0.0, 0.0, 0.0), "plain", 0, 0.0)


def white_house(centre=(30.0, 34.0), hole=None):
    return Building(
        centre=centre,
        angle=0.4,
        outline=rectangle(-13, -9, 13, 9),
        hole=hole,
        wings=[(-13, -9, 13, 9, 0)],
        roof="hip",
        cover="tiles",
        colour=(0.9, 0.9, 0.9),
        height=5.0,
    )


def scene(kind="dense", seed=0):
    return draw_scene(np.random.default_rng(seed), kind, 128, 64)


def test_the_footprint_is_what_the_roof_covers():
    plan = Plan([BLACK_GROUND], [white_house()], [])
    image = draw_plan(plan, 64, np.random.default_rng(0))
    footprint = footprints_of(plan, 64)[0]
    mask = rasterise(footprint, 64, 64)
    drawn = image.min(axis=2) > 0.15
    assert polygon_area(footprint.parts[0]) == pytest.approx(26 * 18)
    assert mask.sum() == pytest.approx(26 * 18, rel=0.02)
    assert (mask & drawn).sum() / (mask | drawn).sum() > 0.94
    np.testing.assert_allclose(np.argwhere(drawn).mean(axis=0), (33.5, 29.5), atol=0.15)
    np.testing.assert_allclose(np.argwhere(mask).mean(axis=0), (33.5, 29.5), atol=0.15)


def test_trees_hide_the_roof_but_not_its_footprint():
    bare = Plan([BLACK_GROUND], [white_house()], [])
    shaded = bare._replace(trees=[Tree((20.0, 34.0), 8.0, (0.2, 0.3, 0.15))])
    footprint = footprints_of(shaded, 64)[0]
    np.testing.assert_array_equal(footprint.parts[0], footprints_of(bare, 64)[0].parts[0])
    image = draw_plan(shaded, 64, np.random.default_rng(0))
    hidden = rasterise(footprint, 64, 64) & (image[..., 2] < 0.25)
    assert hidden.sum() > 60


def test_a_building_beyond_the_image_has_no_footprint():
    plan = Plan([], [white_house(), white_house((100.0, 34.0)), white_house((70.0, 34.0))], [])
    assert len(footprints_of(plan, 64)) == 2  # the last reaches in


def test_a_courtyard_is_a_hole():
    plan = Plan([], [white_house(hole=rectangle(-4, -3, 4, 3))], [])
    footprint = footprints_of(plan, 64)[0]
    assert rasterise(footprint, 64, 64).sum() == pytest.approx(26 * 18 - 8 * 6, rel=0.02)


def test_a_shadow_darkens_the_ground_beside_a_building():
    ground = BLACK_GROUND._replace(colour=(0.6, 0.6, 0.6))
    rng = np.random.default_rng(0)
    lit, shaded = (
        draw_plan(Plan([ground], houses, []), 64, np.random.default_rng(0))
        for houses in ([], [white_house()])
    )
    outside = ~rasterise(footprints_of(Plan([], [white_house()], []), 64)[0], 64, 64)
    darker = outside & ((shaded < 0.6 * lit).all(axis=2))
    assert 60 < darker.sum() < 300
    assert np.nonzero(darker)[0].mean() < 30  # the sun stands low in the picture
    assert photograph(shaded, rng).dtype == np.uint8


def test_the_same_generator_draws_the_same_scene():
    first, again, other = scene(seed=3), scene(seed=3), scene(seed=4)
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    for a, b in zip(first.footprints, again.footprints, strict=True):
        np.testing.assert_array_equal(a.parts[0], b.parts[0])


def test_a_camera_changes_every_picture_in_its_own_way():
    image = np.full((32, 32, 3), 0.5, np.float32)
    photos = [photograph(image, np.random.default_rng(seed)) for seed in range(6)]
    casts = {tuple(photo.mean(axis=(0, 1)).round()) for photo in photos}
    assert len(casts) == 6
    assert all(photo.std(axis=(0, 1)).min() > 0.5 for photo in photos)
