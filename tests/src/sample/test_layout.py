import numpy as np
import pytest

from src.sample.buildings import outline_of
from src.sample.footprints import Footprint, rasterise
from src.sample.layout import MIN_GAP, MIN_SLICE, plan_scene
from src.sample.zones import ZONES


def plan(kind, seed=0):
    return plan_scene(np.random.default_rng(seed), kind, 256, 128)


def gap(a, b):
    """Return the least distance of a corner of one polygon to the sides of the other, px."""

    def from_corners(points, ring):
        start, along = ring, np.roll(ring, -1, axis=0) - ring
        offset = points[:, None] - start
        share = ((offset * along).sum(axis=2) / (along**2).sum(axis=1)).clip(0, 1)
        return np.linalg.norm(offset - share[..., None] * along, axis=2).min()

    return min(from_corners(a, b), from_corners(b, a))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"'swamp'.*suburb"):
        plan("swamp")


@pytest.mark.parametrize("kind", ZONES)
def test_buildings_never_overlap(kind):
    cover = np.zeros((400 * 6,) * 2, np.uint8)
    for building in plan(kind).buildings:
        outline = (outline_of(building) + 70) * 6  # fine cells, of the ground around too
        x, y = np.floor(outline.min(axis=0)).astype(int)
        width, height = np.ceil(outline.max(axis=0)).astype(int) - (x, y)
        mask = rasterise(Footprint([outline - (x, y)], []), height, width)
        cover[y : y + height, x : x + width] += mask
    assert cover.any()
    assert (cover > 1).sum() < 1e-3 * cover.sum()  # cells on the shared wall of two that touch


@pytest.mark.parametrize("kind", ZONES)
@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2))])
def test_buildings_touch_or_keep_their_distance(kind, seed):
    outlines = [outline_of(building) for building in plan(kind, seed).buildings]
    gaps = [gap(a, b) for i, a in enumerate(outlines) for b in outlines[:i]]
    apart = [g for g in gaps if g > 1e-6]
    assert min(apart, default=MIN_GAP) > MIN_GAP - 0.5  # the map of taken ground has cells
    assert len(gaps) - len(apart) <= 0.1 * len(outlines)


def test_some_rows_of_houses_touch():
    outlines = [outline_of(b) for seed in range(6) for b in plan("rows", seed).buildings]
    assert any(gap(a, b) < 1e-6 for a, b in zip(outlines, outlines[1:], strict=False))


@pytest.mark.parametrize("kind", ZONES)
def test_no_tile_edge_shaves_a_building(kind):
    for building in plan(kind).buildings:
        outline = outline_of(building)
        for edge in (0, 128, 256):
            slices = np.minimum(edge - outline.min(axis=0), outline.max(axis=0) - edge)
            assert not ((slices > 0) & (slices < MIN_SLICE)).any()


def test_a_plan_depends_on_the_generator_alone():
    first, again, other = (plan("suburb", seed) for seed in (1, 1, 2))
    assert len(first.patches) == len(again.patches)
    for a, b in zip(first.buildings, again.buildings, strict=True):
        np.testing.assert_array_equal(outline_of(a), outline_of(b))
    assert not np.array_equal(outline_of(first.buildings[0]), outline_of(other.buildings[0]))


def test_streets_are_free_of_buildings():
    for seed in range(3):
        scene = plan("suburb", seed)
        streets = [p.points for p in scene.patches if p.texture == "asphalt"]
        if streets:
            way = rasterise(Footprint(streets, []), 256, 256)
            houses = rasterise(Footprint([outline_of(b) for b in scene.buildings], []), 256, 256)
            assert (way & houses).sum() < 0.01 * houses.sum()


def test_no_tree_stands_on_a_roof():
    scene = plan("suburb")
    roofs = rasterise(Footprint([outline_of(b) for b in scene.buildings], []), 256, 256)
    inside = [t.centre for t in scene.trees if min(t.centre) > 0 and max(t.centre) < 256]
    assert inside
    assert sum(roofs[int(y), int(x)] for x, y in inside) <= 0.05 * len(inside)
