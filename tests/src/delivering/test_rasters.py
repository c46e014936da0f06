import numpy as np
import pytest
import rasterio

from src.delivering import rasters
from src.delivering.rasters import write_labels, write_raster
from tests.src.exporting.objects import UTM, box, delivery

SHAPE = (1100, 700)


@pytest.mark.parametrize("painted", [1 << 22, 5000])
def test_labels_are_ids_and_the_better_score_has_the_pixel(tmp_path, monkeypatch, painted):
    monkeypatch.setattr(rasters, "PAINTED", painted)
    masks = [box(2, 900, 4, 24, SHAPE), box(300, 310, 10, 600, SHAPE), box(0, 3, 0, 5, SHAPE)]
    one = delivery(tmp_path, masks, first=70_000, scores=[0.5, 0.9, 0.5])
    write_labels(tmp_path / "out/a.tif", one, tmp_path / "scratch")
    wanted = np.zeros(SHAPE, np.uint32)
    for place in (2, 0, 1):
        wanted[masks[place]] = 70_000 + place
    with rasterio.open(tmp_path / "out/a.tif") as file:
        assert np.array_equal(file.read(1), wanted)
        assert file.crs == "EPSG:32630"
        assert file.transform.to_gdal() == UTM[:6]
        assert file.profile["tiled"]
        assert file.profile["compress"] == "deflate"
        assert file.dtypes == ("uint32",)
    assert not (tmp_path / "scratch").exists()


def test_an_image_that_lies_nowhere_and_one_without_objects(tmp_path):
    write_labels(tmp_path / "a.tif", delivery(tmp_path, [], place=None), tmp_path / "scratch")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        file = rasterio.open(tmp_path / "a.tif")
    with file:
        assert file.shape == (40, 60)
        assert not file.read(1).any()
        assert file.crs is None


def test_any_map_is_written(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    values[512:1024] = 0
    one = delivery(tmp_path, [box(0, 1, 0, 1, SHAPE)])
    write_raster(tmp_path / "p.tif", one, "uint8", lambda a: values[a.top : a.bottom])
    with rasterio.open(tmp_path / "p.tif") as file:
        assert np.array_equal(file.read(1), values)
