import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.archive import write_archive
from src.errors import InputError
from src.rle import decode
from stages import postprocess

PARAMS = {
    "threshold": 0.5,
    "connectivity": 4,
    "max_hole": 0,
    "min_area": 3,
    "dilate": 0,
    "hull_low": 0.1,
    "hull_high": 0.0,
    "hull_rows": 1.0,
    "hull_min_area": 1.0,
}


def run(root, maps, **changes):
    for split in ("oof", "val", "test"):
        write_archive(root / f"in/{split}.zip", maps if split == "val" else [])
    YAML().dump({"postprocess": PARAMS | changes}, root / "params.yaml")
    params = ["--params", str(root / "params.yaml")]
    postprocess.main([str(root / "in"), str(root / "out"), *params])
    return {s: pd.read_parquet(root / f"out/{s}.parquet") for s in ("oof", "val", "test")}


@pytest.fixture
def probability():
    picture = np.zeros((6, 8), np.uint8)
    picture[1:3, 1:4] = 204
    picture[1, 1] = 255
    picture[5, 5] = 255  # too small
    picture[4:6, 7] = 153
    picture[3, 7] = 128
    return picture


def test_each_object_is_a_row_with_its_mask_and_measures(tmp_path, probability):
    table = run(tmp_path, [("val/a", probability)])["val"]
    assert table["name"].tolist() == ["val/a"] * 2
    assert table["area"].tolist() == [6, 3]
    boxes = table[["bbox_x", "bbox_y", "bbox_width", "bbox_height"]]
    assert boxes.to_numpy().tolist() == [[1, 1, 3, 2], [7, 3, 1, 3]]
    np.testing.assert_allclose(
        table["mean_probability"], [(5 * 204 + 255) / 6 / 255, (153 * 2 + 128) / 3 / 255]
    )
    np.testing.assert_allclose(table["max_probability"], [1, 0.6])
    first = table.iloc[0]
    mask = decode({"size": [first["height"], first["width"]], "counts": first["counts"]})
    expected = np.zeros((6, 8), bool)
    expected[1:3, 1:4] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("knob", "areas"),
    [
        ({"threshold": 0.55}, [6]),
        ({"min_area": 0}, [6, 3, 1]),
        ({"min_area": 4}, [6]),
        ({"dilate": 1}, [16, 7]),
        ({"threshold": 0.9, "min_area": 1}, [1, 1]),
    ],
)
def test_every_knob_does_what_it_says(tmp_path, probability, knob, areas):
    table = run(tmp_path, [("val/a", probability)], **knob)["val"]
    assert table["area"].tolist() == areas


def cup():
    """An uncertain U below the threshold, 5 px wide and 4 px high, in the upper half."""
    picture = np.zeros((10, 9), np.uint8)
    picture[1:5, [2, 6]] = picture[4, 2:7] = 100
    return picture


@pytest.mark.parametrize(
    ("knob", "areas"),
    [
        ({}, []),
        ({"hull_high": 0.5}, [20]),
        ({"hull_high": 0.5, "hull_rows": 0.5}, [20]),
        ({"hull_high": 0.5, "hull_rows": 0.1}, []),
        ({"hull_high": 0.5, "hull_min_area": 12.0}, []),
        ({"hull_high": 0.5, "hull_low": 0.4}, []),
        ({"hull_high": 0.3}, []),
    ],
)
def test_the_hull_of_an_uncertain_region_is_an_object_if_asked_for(tmp_path, knob, areas):
    assert run(tmp_path, [("val/a", cup())], **knob)["val"]["area"].tolist() == areas


def test_hulls_do_not_change_the_probabilities(tmp_path):
    table = run(tmp_path, [("val/a", cup())], hull_high=0.5)["val"]
    np.testing.assert_allclose(table["mean_probability"], 11 * 100 / 20 / 255)
    np.testing.assert_allclose(table["max_probability"], 100 / 255)


def test_a_range_of_hulls_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="hull_low 0.6 is above postprocess.hull_high 0.5; give"):
        run(tmp_path, [("val/a", cup())], hull_low=0.6, hull_high=0.5)
    assert len(run(tmp_path, [("val/a", cup())], hull_low=0.6)["val"]) == 0  # switched off


def test_images_and_splits_without_objects_give_no_rows_of_the_right_type(tmp_path):
    tables = run(tmp_path, [("val/a", np.zeros((3, 3), np.uint8))])
    for table in tables.values():
        assert len(table) == 0
        assert table.dtypes.astype(str).to_dict()["area"] == "int64"
        assert table.dtypes.astype(str).to_dict()["mean_probability"] == "float64"


def test_a_missing_archive_leaves_nothing_half_written(tmp_path, probability):
    run(tmp_path, [("val/a", probability)])
    (tmp_path / "out").rename(tmp_path / "former")
    (tmp_path / "in/test.zip").unlink()
    arguments = ["in", "out", "--params", "params.yaml"]
    arguments = [a if a.startswith("--") else str(tmp_path / a) for a in arguments]
    with pytest.raises(InputError, match="test.zip: no such archive"):
        postprocess.main(arguments)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.partial"))
