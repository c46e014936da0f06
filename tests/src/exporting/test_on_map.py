import numpy as np

from src.exporting.on_map import on_map
from src.mosaics.runs import mask_runs
from src.outlines.object_outline import object_outline
from tests.src.exporting.objects import box

EXACT = {"simplify": 0.0, "right_angles": False}


def test_rings_on_a_map_turn_as_they_should_whichever_way_it_lies():
    outline = np.array([object_outline(mask_runs(box(2, 12, 4, 24)), 40, **EXACT)])
    for yr in (-0.5, 0.5):
        [moved] = on_map(outline, (100.0, 0.5, 0.0, 200.0, 0.0, yr, "EPSG:32630"))
        assert moved.geoms[0].exterior.is_ccw
        assert moved.area == 50
