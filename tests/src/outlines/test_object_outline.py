import numpy as np
import pytest
import shapely

from src.mosaics.runs import mask_runs
from src.outlines import object_outline as outlines
from src.outlines.object_outline import object_outline
from tests.src.exporting.objects import box, ragged

EXACT = {"simplify": 0.0, "right_angles": False}


def test_an_outline_lies_where_the_object_does():
    outline = object_outline(mask_runs(box(2, 12, 4, 24)), 40, **EXACT)
    assert outline.equals(shapely.box(4, 2, 24, 12))


@pytest.mark.parametrize("slope", [0.2, 0.35, 1.0, 2.3])
def test_slanting_edges_become_lines(slope):
    """Half a pixel does, whatever the slope; no point is a pixel away from where it was."""
    rows, columns = np.mgrid[:80, :120]
    mask = (rows + 0.5 > 5 + slope * (columns - 5)) & (rows < 75) & (columns >= 5)
    stairs, lines = (
        object_outline(mask_runs(mask), 80, simplify=s, right_angles=False) for s in (0.0, 0.5)
    )
    [part] = lines.geoms
    assert len(part.exterior.coords) <= 8
    assert len(stairs.geoms[0].exterior.coords) > 25
    assert shapely.hausdorff_distance(stairs, lines) < 1
    assert lines.area == pytest.approx(stairs.area, rel=0.02)


def test_upright_corners_stay_where_they_are():
    mask = box(2, 12, 4, 24)
    mask[2:7, 4:10] = False
    exact, simplified = (
        object_outline(mask_runs(mask), 40, simplify=s, right_angles=False) for s in (0.0, 0.5)
    )
    assert simplified.equals(exact)
    assert len(simplified.geoms[0].exterior.coords) == 7


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 2)])
def test_the_smallest_objects_have_an_outline(size):
    mask = np.zeros((20, 20), bool)
    mask[5 : 5 + size[0], 6 : 6 + size[1]] = True
    outline = object_outline(mask_runs(mask), 20, simplify=0.5, right_angles=False)
    assert outline.is_valid
    assert outline.area == mask.sum()


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
