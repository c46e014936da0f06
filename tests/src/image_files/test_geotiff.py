import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

from src.base.errors import InputError
from src.image_files.geotiff import open_geotiff

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path):
    shape = {"count": 2, "height": 3, "width": 4, "dtype": np.uint8, "driver": "GTiff"}
    path = tmp_path / "a.tif"
    with warnings.catch_warnings(action="ignore"), rasterio.open(path, "w", **shape) as dataset:
        dataset.write(VALUES)
    return path


def test_a_file_and_its_bytes_are_the_same_dataset(path):
    for source in (path, str(path), path.read_bytes()):
        with open_geotiff(source) as dataset:
            assert np.array_equal(dataset.read(), VALUES)
            assert dataset.driver == "GTiff"
    assert sorted(path.parent.iterdir()) == [path]


def test_the_environment_and_files_beside_it_do_not_count(path, monkeypatch):
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "NO")
    (path.parent / "a.tif.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:4326</SRS><PAMRasterBand band='1'><NoDataValue>1</NoDataValue>"
        "</PAMRasterBand></PAMDataset>"
    )
    (path.parent / "a.tfw").write_text("\n".join("900999"))
    with open_geotiff(path) as dataset:
        assert dataset.transform.is_identity
        assert (dataset.crs, dataset.nodata) == (None, None)
        assert dataset.files == [str(path)]


@pytest.mark.parametrize(
    "content",
    [
        b"text",
        b"II*\0",
        b'<VRTDataset rasterXSize="4" rasterYSize="3"><VRTRasterBand band="1"/></VRTDataset>',
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_no_other_driver_is_tried(tmp_path, content, capfd):
    (tmp_path / "b.tif").write_bytes(content)
    for source in (content, tmp_path / "b.tif"):
        words = "^damaged image .GDAL cannot read this TIFF file.$"
        with pytest.raises(InputError, match=words), open_geotiff(source):
            pass
    assert capfd.readouterr().err == ""


def test_pixels_that_cannot_be_read_are_damage(path):
    cut_off = path.read_bytes()[:-1]
    with pytest.raises(InputError, match="^damaged image"), open_geotiff(cut_off) as dataset:
        dataset.read()


def test_mistakes_of_others_stay_theirs(path):
    with pytest.raises(ZeroDivisionError), open_geotiff(path):
        1 / 0  # noqa: B018


def test_rasterio_is_loaded_for_tiff_files_alone():
    modules = "src.preparing.photos, src.image_files.geotransforms"
    code = f"import sys, {modules}; print('rasterio' in sys.modules)"
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert found.stdout == "False\n"
