import numpy as np
import pytest
import shapely

from src.delivering import outlines
from src.delivering.outlines import object_outline, on_map
from src.scenes.runs import mask_runs
from tests.src.delivering.objects import box, ragged

EXACT = {"simplify": 0.0, "right_angles": False}


def test_an_outline_lies_where_the_object_does():
    outline = object_outline(mask_runs(box(2, 12, 4, 24)), 40, **EXACT)
    assert outline.equals(shapely.box(4, 2, 24, 12))


def test_simplified_stairs_are_shorter_and_stay_near():
    mask = np.tri(40, 60, -1, bool)
    stairs, line = (
        object_outline(mask_runs(mask), 40, simplify=s, right_angles=False) for s in (0.0, 0.75)
    )
    assert shapely.length(stairs) > 1.15 * shapely.length(line)
    assert shapely.hausdorff_distance(stairs, line) <= 0.75
    assert shapely.get_num_coordinates(line) < shapely.get_num_coordinates(stairs) / 5


def test_right_angles():
    turned = [[x + y > 30 and x + y < 50 and abs(x - y) < 14 for x in range(60)] for y in range(40)]
    outline = object_outline(mask_runs(np.array(turned)), 40, simplify=0.5, right_angles=True)
    [part] = outline.geoms
    assert len(part.exterior.coords) == 5
    assert outline.is_valid


@pytest.mark.parametrize("seed", range(3))
def test_a_large_object_is_traced_in_strips(monkeypatch, seed):
    masks = ragged(seed)
    whole = [object_outline(mask_runs(mask), 200, **EXACT) for mask in masks]
    monkeypatch.setattr(outlines, "LARGEST", 900)
    parted = [object_outline(mask_runs(mask), 200, **EXACT) for mask in masks]
    for one, other, mask in zip(whole, parted, masks, strict=True):
        assert other.is_valid
        assert shapely.equals(one, other)
        assert other.area == mask.sum()


def test_rings_on_a_map_turn_as_they_should_whichever_way_it_lies():
    outline = np.array([object_outline(mask_runs(box(2, 12, 4, 24)), 40, **EXACT)])
    for yr in (-0.5, 0.5):
        [moved] = on_map(outline, (100.0, 0.5, 0.0, 200.0, 0.0, yr, "EPSG:32630"))
        assert moved.geoms[0].exterior.is_ccw
        assert moved.area == 50
