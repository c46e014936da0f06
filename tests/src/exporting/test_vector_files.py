import json
import sqlite3
from contextlib import closing

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.warp import transform as reproject

from src.exporting.vector_files import write_geojson, write_geopackage, write_pixel_geojson
from tests.src.exporting.objects import UTM, box, delivery, ragged


def layer(path, name=None):
    """Return what pyogrio says of a layer, its geometries and its columns."""
    meta, _, geometry, fields = pyogrio.raw.read(path, layer=name)
    return meta, shapely.from_wkb(geometry), dict(zip(meta["fields"], fields, strict=True))


def test_a_geopackage_is_in_the_coordinate_system_of_the_image(tmp_path):
    one = delivery(tmp_path, [box(2, 12, 4, 24), box(20, 30, 30, 40)], simplify=0)
    write_geopackage(tmp_path / "a.gpkg", [one])
    meta, shapes, fields = layer(tmp_path / "a.gpkg", "objects")
    assert meta["crs"] == "EPSG:32630"
    assert shapes[0].equals(shapely.box(400_002, 600_000 - 6, 400_012, 600_000 - 1))
    assert fields["id"].tolist() == [1, 2]
    assert fields["image"].tolist() == ["scene", "scene"]
    assert fields["score"].tolist() == pytest.approx([0.9, 0.8])
    assert fields["area_px"].tolist() == [200, 100]
    assert fields["perimeter_px"].tolist() == [60, 40]
    assert fields["area_m2"].tolist() == [50, 25]
    assert fields["perimeter_m"].tolist() == [30, 20]
    assert [fields[f"mean_{c}"][0] for c in ("red", "green", "blue")] == [10, 20.5, 30.12]


def test_a_geopackage_is_of_a_version_that_older_programs_know(tmp_path):
    write_geopackage(tmp_path / "a.gpkg", [delivery(tmp_path, [box(2, 12, 4, 24)])])
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)


def test_geojson_is_as_rfc_7946_has_it(tmp_path):
    mask = box(2, 12, 4, 24)
    mask[5:8, 9:14] = False
    one = delivery(tmp_path, [mask], simplify=0)
    assert write_geojson(tmp_path / "a.geojson", [one]) == [tmp_path / "a.geojson"]
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert "crs" not in document
    [feature] = document["features"]
    [[outer, hole]] = feature["geometry"]["coordinates"]
    assert shapely.LinearRing(outer).is_ccw
    assert not shapely.LinearRing(hole).is_ccw
    corners = [(400_002, 599_999), (400_012, 599_999), (400_012, 599_994), (400_002, 599_994)]
    longitude, latitude = reproject("EPSG:32630", "EPSG:4326", *zip(*corners, strict=True))
    wanted = np.array(sorted(zip(longitude, latitude, strict=True)))
    assert np.array(sorted({tuple(point) for point in outer})) == pytest.approx(wanted, abs=2e-9)
    assert layer(tmp_path / "a.geojson")[0]["crs"] == "EPSG:4326"


@pytest.mark.parametrize("simplify", [0.0, 0.5, 2.0])
def test_all_outlines_are_valid_when_they_are_read_again(tmp_path, simplify):
    masks = ragged(0) + ragged(1)
    one = delivery(tmp_path, masks, simplify=simplify)
    write_geopackage(tmp_path / "a.gpkg", [one])
    write_geojson(tmp_path / "a.geojson", [one])
    write_pixel_geojson(tmp_path / "a_px.geojson", [one])
    for name in ("a.gpkg", "a.geojson", "a_px.geojson"):
        _, shapes, fields = layer(tmp_path / name)
        assert len(shapes) == len(masks) > 30
        assert shapely.is_valid(shapes).all(), shapely.is_valid_reason(shapes)
        assert fields["area_px"].tolist() == [mask.sum() for mask in masks]
    area = shapely.area(layer(tmp_path / "a.gpkg")[1]) * 4
    assert area == pytest.approx([mask.sum() for mask in masks], rel=0.25 if simplify else 1e-9)


def test_images_of_several_coordinate_systems(tmp_path):
    other = (*UTM[:-1], "EPSG:32631")
    images = [
        delivery(tmp_path, [box(2, 12, 4, 24)], name="a"),
        delivery(tmp_path, [box(3, 9, 4, 24)], name="b", place=other, first=2),
        delivery(tmp_path, [box(1, 5, 1, 5)], name="c", first=3),
        delivery(tmp_path, [box(1, 5, 1, 5)], name="nowhere", place=None, first=4),
        delivery(tmp_path, [box(1, 5, 1, 5)], name="unknown", place=(*UTM[:-1], ""), first=5),
    ]
    write_geopackage(tmp_path / "a.gpkg", images)
    names = ["objects_EPSG_32630", "objects_EPSG_32631"]
    assert sorted(pyogrio.list_layers(tmp_path / "a.gpkg")[:, 0]) == names
    ids = [layer(tmp_path / "a.gpkg", name)[2]["id"].tolist() for name in names]
    assert ids == [[1, 3], [2]]
    assert layer(tmp_path / "a.gpkg", names[1])[0]["crs"] == "EPSG:32631"
    written = write_geojson(tmp_path / "b.geojson", images)
    assert [path.name for path in written] == [f"b_{n[8:]}.geojson" for n in names]
    longitudes = [shapely.get_x(shapely.centroid(layer(path)[1]))[0] for path in written]
    assert longitudes[1] - longitudes[0] == pytest.approx(6, abs=1e-6)


def test_a_system_without_a_number_and_one_of_degrees(tmp_path):
    local = rasterio.crs.CRS.from_string("+proj=tmerc +lat_0=5 +lon_0=-1 +ellps=WGS84").to_wkt()
    one = delivery(tmp_path, [box(2, 12, 4, 24)], place=(100.0, 0.5, 0.0, 900.0, 0.0, -0.5, local))
    write_geopackage(tmp_path / "a.gpkg", [one])
    assert "Transverse_Mercator" in layer(tmp_path / "a.gpkg")[0]["crs"]
    assert layer(tmp_path / "a.gpkg")[2]["area_m2"].tolist() == [50]
    degrees = (10.0, 1e-5, 0.0, 50.0, 0.0, -1e-5, "EPSG:4326")
    one = delivery(tmp_path, [box(2, 12, 4, 24)], name="d", place=degrees, simplify=0)
    write_geojson(tmp_path / "d.geojson", [one])
    _, [shape], fields = layer(tmp_path / "d.geojson")
    assert shape.bounds == pytest.approx((10.00004, 49.99988, 10.00024, 49.99998), abs=1e-9)
    assert np.isnan(float(fields["area_m2"][0] or "nan"))


def test_no_objects_at_all(tmp_path):
    one = delivery(tmp_path, [])
    write_geopackage(tmp_path / "a.gpkg", [one])
    write_geojson(tmp_path / "a.geojson", [one])
    write_pixel_geojson(tmp_path / "a_px.geojson", [one])
    assert len(layer(tmp_path / "a.gpkg", "objects")[1]) == 0
    for name in ("a.geojson", "a_px.geojson"):
        assert json.loads((tmp_path / name).read_text())["features"] == []


def test_rasterio_and_pyogrio_bring_the_same_ground_in_one_process(tmp_path):
    """Each has a GDAL and a PROJ of its own."""
    one = delivery(tmp_path, [box(2, 12, 4, 24)], simplify=0)
    before = reproject("EPSG:32630", "EPSG:4326", [400_002], [599_999])
    write_geojson(tmp_path / "a.geojson", [one])
    after = reproject("EPSG:32630", "EPSG:4326", [400_002], [599_999])
    assert before == after
    west, _, _, north = layer(tmp_path / "a.geojson")[1][0].bounds
    assert west == pytest.approx(after[0][0], abs=5e-7)
    assert north == pytest.approx(after[1][0], abs=5e-7)
