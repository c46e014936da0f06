import json

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from src.base.errors import InputError
from src.exporting.delivery import COLUMNS
from src.exporting.plain_files import write_coco, write_measurements
from tests.src.exporting.objects import box, delivery


def test_measurements(tmp_path):
    images = [
        delivery(tmp_path, [box(2, 12, 4, 24), box(0, 1, 0, 1)], simplify=0),
        delivery(tmp_path, [box(5, 7, 5, 8)], name='b, "c"', place=None, first=3, simplify=0),
    ]
    write_measurements(tmp_path / "a.csv", images)
    table = pd.read_csv(tmp_path / "a.csv")
    assert tuple(table.columns) == COLUMNS
    first, _, last = table.to_dict("records")
    assert first == {
        "id": 1, "image": "scene", "score": 0.9, "area_px": 200, "perimeter_px": 60.0, "x_px": 14.0,
        "y_px": 7.0, "mean_red": 10.0, "mean_green": 20.5, "mean_blue": 30.12, "area_m2": 50.0,
        "perimeter_m": 30.0, "x_map": 400_007.0, "y_map": 599_996.5, "crs": "EPSG:32630",
    }  # fmt: skip
    assert (last["id"], last["image"], last["area_px"]) == (3, 'b, "c"', 6)
    assert all(np.isnan(last[name]) for name in ("area_m2", "perimeter_m", "x_map", "y_map"))


def test_feet_become_metres(tmp_path):
    place = (980_000.0, 2.0, 0.0, 200_000.0, 0.0, -2.0, "EPSG:2263")  # US survey feet
    write_measurements(tmp_path / "a.csv", [delivery(tmp_path, [box(0, 10, 0, 10)], place=place)])
    [row] = pd.read_csv(tmp_path / "a.csv").to_dict("records")
    assert row["area_m2"] == pytest.approx(400 * 0.3048006**2, abs=1e-4)
    assert row["perimeter_m"] == pytest.approx(80 * 0.3048006, abs=1e-3)


def test_coco_results_are_read_by_pycocotools(tmp_path, capsys):
    masks = [box(2, 12, 4, 24), box(30, 40, 50, 60)]
    images = [delivery(tmp_path, masks), delivery(tmp_path, [box(5, 7, 5, 8)], name="b", first=3)]
    write_coco(tmp_path, images, [{"id": 100, "name": "building"}])
    coco = COCO(tmp_path / "coco_images.json")
    results = coco.loadRes(str(tmp_path / "coco_results.json"))
    found = results.loadAnns(results.getAnnIds(imgIds=[1]))
    for one, mask in zip(found, masks, strict=True):
        assert np.array_equal(results.annToMask(one), mask)
    assert [one["bbox"] for one in found] == [[4, 2, 20, 10], [50, 30, 10, 10]]
    assert {one["category_id"] for one in found} == {100}
    assert [image["file_name"] for image in coco.dataset["images"]] == ["scene", "b"]


def test_no_objects(tmp_path):
    write_coco(tmp_path, [delivery(tmp_path, [])], [{"id": 1, "name": "a"}])
    assert json.loads((tmp_path / "coco_results.json").read_text()) == []
    write_measurements(tmp_path / "a.csv", [delivery(tmp_path, [])])
    assert len(pd.read_csv(tmp_path / "a.csv")) == 0


def test_a_scene_too_large_for_coco(tmp_path):
    one = delivery(tmp_path, [])._replace(height=70_000, width=70_000)
    with pytest.raises(InputError, match="scene: 70000x70000 px are more than COCO's run lengths"):
        write_coco(tmp_path, [one], [{"id": 1, "name": "a"}])
    assert not (tmp_path / "coco_images.json").exists()
