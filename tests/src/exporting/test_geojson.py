import json

import numpy as np
import pytest

from src.exporting.geojson import END, collection_start, object_feature
from src.exporting.polygons import signed_area

SQUARE = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
HOLE = np.array([[1, 1], [1, 2], [2, 2], [2, 1]])


def ring_areas(rings):
    return [signed_area(np.array(ring[:-1])) for ring in rings]


def test_a_feature_is_one_compact_line():
    assert object_feature([[SQUARE]], {"image": "val/a", "score": 0.5}) == (
        '{"type":"Feature","properties":{"image":"val/a","score":0.5},'
        '"geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]]]}}'
    )


def test_several_parts_are_a_multipolygon():
    geometry = json.loads(object_feature([[SQUARE, HOLE], [SQUARE + 9]], {}))["geometry"]
    assert geometry["type"] == "MultiPolygon"
    assert [len(part) for part in geometry["coordinates"]] == [2, 1]
    assert geometry["coordinates"][1][0][0] == [9, 9]


def test_fractions_of_pixels_have_three_decimals():
    geometry = json.loads(object_feature([[SQUARE / 3]], {}))["geometry"]
    assert geometry["coordinates"][0][1] == [1.333, 0.0]


@pytest.mark.parametrize(
    "transform",
    [
        None,
        (500_000.0, 0.3, 0.0, 6_000_000.0, 0.0, -0.3),
        (5.0, 0.1, 0.2, 45.0, -0.2, 0.1, "EPSG:4326"),
    ],
)
def test_outer_rings_are_anticlockwise_on_the_map(transform):
    [rings] = [json.loads(object_feature([[SQUARE, HOLE]], {}, transform))["geometry"]]
    outer, hole = ring_areas(rings["coordinates"])
    size = (
        1 if transform is None else abs(transform[1] * transform[5] - transform[2] * transform[4])
    )
    assert outer == pytest.approx(16 * size, rel=1e-2)
    assert hole == pytest.approx(-size, rel=1e-2)
    assert all(ring[0] == ring[-1] for ring in rings["coordinates"])


def test_map_coordinates_follow_from_the_six_numbers():
    line = object_feature([[SQUARE]], {}, (500_000.0, 0.3, 0.0, 6_000_000.0, 0.0, -0.3))
    ring = json.loads(line)["geometry"]["coordinates"][0]
    assert sorted(ring[:-1]) == [
        [500_000, 5_999_998.8],
        [500_000, 6_000_000],
        [500_001.2, 5_999_998.8],
        [500_001.2, 6_000_000],
    ]


def test_an_object_without_polygons_or_with_endless_numbers_is_refused():
    with pytest.raises(ValueError, match="at least one polygon"):
        object_feature([], {})
    with pytest.raises(ValueError, match="JSON"):
        object_feature([[SQUARE]], {"score": float("nan")})


@pytest.mark.parametrize(
    ("crs", "members"),
    [
        ("", {}),
        (
            "EPSG:32737",
            {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32737"}}},
        ),
        (  # longitude first
            "EPSG:4326",
            {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
        ),
        ('LOCAL_CS["my grid"]', {"crs_wkt": 'LOCAL_CS["my grid"]'}),
    ],
)
def test_a_collection_tells_its_coordinate_system(crs, members):
    expected = {"type": "FeatureCollection"} | members | {"features": []}
    assert json.loads(collection_start(crs) + END) == expected
    line = object_feature([[SQUARE]], {})
    document = json.loads(f"{collection_start(crs)}\n{line},\n{line}{END}")
    assert document == expected | {"features": [json.loads(line)] * 2}
