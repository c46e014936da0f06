import json
import sqlite3
import struct
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.warp import transform
from ruamel.yaml import YAML
from shapely import LineString, MultiPolygon, Point, Polygon, box

from src.base.errors import InputError
from src.preparing.params import PrepareMasksParams
from src.preparing.photos import read_photo
from src.preparing.prepared_image import prepare_image
from src.reading import coco_dataset
from src.reading.datasets import find_records
from src.reading.params import DatasetParams, ImagesParams
from src.reading.recognition import recognise, with_category
from src.reading.vector_dataset import read_objects
from tests.vector_data import EAST, NORTH, PIXEL, UTM, on_map, write_outlines, write_scene

ROOT = Path(__file__).parents[3]
OAM = ROOT.parent / "shared/data/oam_buildings"
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
IMAGES = ImagesParams.model_validate(PARAMS["images"])
PREPARE = PrepareMasksParams.model_validate(PARAMS["prepare_masks"])
NOISE = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
SQUARE = box(3, 4, 9, 7)  # columns 3 to 8, rows 4 to 6
RING = box(20, 10, 32, 30).difference(box(24, 15, 28, 20))
PARTS = MultiPolygon([box(40, 5, 44, 8), box(46, 5, 50, 10)])


def params(**changes):
    return DatasetParams.model_validate(PARAMS["dataset"] | changes)


def found(root, **changes):
    """Records by name without their split, and what was recognised."""
    source, choices = recognise(root, params(**changes))
    dataset = find_records(root, source)
    assert with_category(source, dataset)[0].category_id == dataset.category["id"]
    chosen = {choice.key.removeprefix("dataset."): choice.value for choice in choices}
    return {record.name: record for record in dataset.records}, chosen, dataset


def mask_of(region, height, width):
    flat = np.zeros(height * width, bool)
    for start, stop in region.runs.tolist():
        flat[start:stop] = True
    return flat.reshape(width, height).T


def masks_of(record):
    """Masks by id, crowds left out; the id of a feature is in a tile once."""
    objects = [one for one in read_objects(record, *record.size) if not one.crowd]
    masks = {one.id: mask_of(one.region, *record.size) for one in objects}
    assert len(masks) == len(objects)
    return masks


def filled(height, width, *parts):
    """A mask by rows and columns."""
    mask = np.zeros((height, width), bool)
    for rows, columns in parts:
        mask[rows, columns] = True
    return mask


def np_s(top, bottom, left, right):
    return slice(top, bottom), slice(left, right)


def ring_mask():
    mask = filled(40, 60, np_s(10, 30, 20, 32))
    mask[15:20, 24:28] = False
    return mask


WHOLE = [
    filled(40, 60, np_s(4, 7, 3, 9)),
    ring_mask(),
    filled(40, 60, np_s(5, 8, 40, 44), np_s(5, 10, 46, 50)),
]


@pytest.fixture
def root(tmp_path):
    write_scene(tmp_path / "train/scene.tif", NOISE)
    write_outlines(tmp_path / "train/roofs.gpkg", [on_map(s) for s in (SQUARE, RING, PARTS)])
    return tmp_path


def test_a_scene_and_a_geopackage_are_recognised_and_read_to_the_pixel(root):
    records, chosen, dataset = found(root)
    assert chosen == {
        "format": "vector", "vector_file": "roofs.gpkg", "layer": "roofs", "aoi": "",
        "tile_block": 1,
    }  # fmt: skip
    assert (dataset.category, dataset.unlisted, dataset.further) == (
        {"id": 1, "name": "roofs"}, 0, ()
    )  # fmt: skip
    (record,) = records.values()
    assert (record.name, record.size, record.window) == ("train/scene", (40, 60), None)
    masks = masks_of(record)
    assert list(masks) == [1, 2, 3]  # a GeoPackage counts from 1
    for mask, expected in zip(masks.values(), WHOLE, strict=True):
        assert np.array_equal(mask, expected)


@pytest.mark.parametrize("suffix", [".geojson", ".shp", ".gpkg"])
@pytest.mark.parametrize("crs", ["EPSG:4326", UTM, "EPSG:32736"])
def test_any_file_in_any_system_gives_the_same_pixels(tmp_path, suffix, crs):
    write_scene(tmp_path / "train/images/scene.tif", NOISE)
    shapes = [on_map(shape) for shape in (SQUARE, RING, PARTS)]

    def moved(points):
        return np.stack(transform(UTM, crs, *points.T), axis=1)

    write_outlines(
        tmp_path / f"train/a{suffix}", [shapely.transform(s, moved) for s in shapes], crs=crs
    )
    (record,) = found(tmp_path)[0].values()
    for mask, expected in zip(masks_of(record).values(), WHOLE, strict=True):
        assert np.array_equal(mask, expected)


def test_tiles_have_what_the_whole_scene_has_there(root):
    records, _, _ = found(root, tile_size=16, tile_block=2)
    assert len(records) == 4 * 4  # 2 by 2 blocks of 20 by 30 px, of 2 by 2 tiles each
    covered, painted = np.zeros((40, 60), int), np.zeros((3, 40, 60), bool)
    with rasterio.open(root / "train/scene.tif") as dataset:
        pixels = np.moveaxis(dataset.read(), 0, 2)
    for name, record in records.items():
        top, left, height, width = record.window
        assert name == f"train/scene_{top:05}_{left:05}"
        assert max(height, width) <= 16
        covered[top : top + height, left : left + width] += 1
        photo = read_photo(record.path, IMAGES, record.size, record.window)
        image = cv2.imdecode(np.frombuffer(photo.content, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(image, pixels[top : top + height, left : left + width])
        for number, mask in masks_of(record).items():
            painted[number - 1, top : top + height, left : left + width] |= mask
    assert (covered == 1).all()
    assert np.array_equal(painted, np.array(WHOLE))


def test_a_tile_lies_where_it_was_cut_out(root):
    source, _ = recognise(root, params(tile_size=16))
    dataset = find_records(root, source)
    source, _ = with_category(source, dataset)
    images = IMAGES.model_copy(update={"stretch": "none"})
    record = next(record for record in dataset.records if record.window[:2] == (13, 15))
    prepared = prepare_image(record, dataset=source, images=images, params=PREPARE)
    assert prepared.place == (EAST + 15 * PIXEL, PIXEL, 0, NORTH - 13 * PIXEL, 0, -PIXEL, UTM)
    # what the ring has of columns 20 to 29, rows 13 to 25
    expected = ring_mask()[13:26, 15:30]
    labels = cv2.imdecode(np.frombuffer(prepared.instances, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels > 0, expected)


def test_tiles_overlap_within_a_block_and_share_its_group(root):
    records, _, _ = found(root, tile_size=20, tile_overlap=4, tile_block=2)
    blocks = {}
    for record in records.values():
        blocks.setdefault(record.group, []).append(record.window)
    # a block of 2 tiles is 36 px; 40 by 60 px make 2 by 2 blocks of 20 by 30
    assert set(blocks) == {f"scene_block_{row}_{column}" for row in (0, 1) for column in (0, 1)}
    assert blocks["scene_block_0_0"] == [(0, 0, 20, 17), (0, 13, 20, 17)]
    assert blocks["scene_block_1_1"] == [(20, 30, 20, 17), (20, 43, 20, 17)]


def test_features_are_chosen_by_their_columns(root):
    columns = {"kind": ["house", "shed", "house"], "floors": [1, 2, 2]}
    shapes = [on_map(shape) for shape in (SQUARE, RING, PARTS)]
    (root / "train/roofs.gpkg").unlink()
    write_outlines(root / "train/roofs.gpkg", shapes, columns)
    for where, expected in (
        ({"kind": ["house"]}, [1, 3]),
        ({"kind": ["house", "shed"], "floors": [2.0]}, [2, 3]),
        ({"floors": [1]}, [1]),
    ):
        (record,) = found(root, where=where)[0].values()
        assert list(masks_of(record)) == expected
    assert found(root, where={"floors": [1]})[2].further == (("features of train left out", 2),)


def test_outside_of_the_area_of_interest_nothing_counts(root):
    # half of the square, none of the ring, one part of two
    areas = [on_map(box(0, 0, 6, 40)), on_map(box(45, 0, 60, 40))]
    write_outlines(root / "train/aoi.geojson", areas[:1])
    write_outlines(root / "aoi.gpkg", areas)
    (root / "train/aoi.geojson").unlink()
    records, chosen, _ = found(root)
    assert chosen["aoi"] == "aoi.gpkg"
    (record,) = records.values()
    objects = read_objects(record, 40, 60)
    assert [(one.id, one.crowd, one.outer) for one in objects] == [
        (1, False, False), (3, False, False), (3, True, True),
    ]  # fmt: skip
    assert len({one.truth_id for one in objects}) == 3
    expected = [
        filled(40, 60, np_s(4, 7, 3, 6)),
        filled(40, 60, np_s(5, 10, 46, 50)),
        filled(40, 60, np_s(0, 40, 6, 45)),
    ]
    for one, mask in zip(objects, expected, strict=True):
        assert np.array_equal(mask_of(one.region, 40, 60), mask)
    source = params(format="vector", category_id=1)
    prepared = prepare_image(
        record, dataset=source, images=IMAGES.model_copy(update={"stretch": "none"}), params=PREPARE
    )
    labels = cv2.imdecode(np.frombuffer(prepared.instances, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels == 65535, expected[2])
    assert (prepared.objects, prepared.warnings) == (2, [])
    assert prepared.losses["annotations with iscrowd 1 ignored"] == 0
    # of tiles of 20 px those from column 20 to 40 lie outside
    tiles = found(root, tile_size=20)[0]
    assert {record.window.left for record in tiles.values()} == {0, 40}


def test_val_and_test_are_read_by_their_own_files(root):
    write_scene(root / "val/other.tif", NOISE, left=200)
    write_outlines(root / "val/houses.geojson", [on_map(box(202, 3, 210, 9))])
    write_scene(root / "test_images/far.tif", NOISE, placed=False)
    cv2.imwrite(str(root / "test_images/photo.jpg"), NOISE)
    records, _, _ = found(root, tile_size=30)
    assert [name for name in records if name.startswith("test")] == [
        "test/far_00000_00000", "test/far_00000_00030", "test/far_00020_00000",
        "test/far_00020_00030", "test/photo",
    ]  # fmt: skip
    assert all(record.objects == () for name, record in records.items() if name[:4] == "test")
    (mask,) = masks_of(records["val/other_00000_00000"]).values()
    assert np.array_equal(mask, filled(20, 30, np_s(3, 9, 2, 10)))


def test_one_file_beside_the_splits_serves_all(root):
    write_scene(root / "val/other.tif", NOISE, left=200)
    (root / "train/roofs.gpkg").unlink()
    write_outlines(root / "city.gpkg", [on_map(SQUARE), on_map(box(202, 3, 210, 9))])
    records, chosen, dataset = found(root)
    assert chosen["vector_file"] == "city.gpkg"
    assert [list(masks_of(record)) for record in records.values()] == [[1], [2]]
    assert dict(dataset.further) == {
        "features of train in none of its scenes": 1, "features of val in none of its scenes": 1,
    }  # fmt: skip


def test_scenes_in_two_zones_get_the_same_outlines(root):
    x, y = transform(UTM, "EPSG:32736", [EAST], [NORTH])
    profile = {"driver": "GTiff", "height": 40, "width": 60, "count": 3, "dtype": "uint8"}
    place = rasterio.Affine(PIXEL, 0, x[0], 0, -PIXEL, y[0])
    with rasterio.open(
        root / "train/zone36.tif", "w", **profile, crs="EPSG:32736", transform=place
    ) as dataset:
        dataset.write(np.moveaxis(NOISE, 2, 0))
    records, _, _ = found(root)
    masks = masks_of(records["train/zone36"])
    assert set(masks) >= {1, 2}  # turned by the convergence of the meridians, some 2 degrees
    overlap = (masks[2] & WHOLE[1]).sum() / (masks[2] | WHOLE[1]).sum()
    assert overlap > 0.6


def curve_polygon():
    """WKB of a circle in px (10, 20), radius 5, as a CurvePolygon."""
    centre, radius = on_map(Point(10, 20)), 5 * PIXEL
    east, north = centre.x, centre.y
    points = [(east - radius, north), (east + radius, north), (east - radius, north)]
    ring = struct.pack("<BII", 1, 8, 3) + b"".join(struct.pack("<dd", *point) for point in points)
    return struct.pack("<BII", 1, 10, 1) + ring


def test_odd_geometries_are_mended_or_warned_of(root):
    bow = Polygon([(2, 2), (10, 10), (10, 2), (2, 10)])
    high = shapely.force_3d(box(30, 32, 36, 38), 7.0)
    shapes = [on_map(bow), on_map(LineString([(3, 20), (9, 28)])), on_map(Point(50, 30)), None]
    shapes += [on_map(high), curve_polygon()]
    (root / "train/roofs.gpkg").unlink()
    write_outlines(root / "train/roofs.gpkg", shapes)
    records, _, dataset = found(root)
    assert dict(dataset.further) == {"features of train in none of its scenes": 1}
    (record,) = records.values()
    objects = {one.id: one for one in read_objects(record, 40, 60)}
    assert [number for number, one in objects.items() if one.repaired] == [1]
    assert [number for number, one in objects.items() if one.line] == [2, 3]
    assert set(objects) == {1, 2, 3, 5, 6}
    assert np.array_equal(mask_of(objects[5].region, 40, 60), filled(40, 60, np_s(32, 38, 30, 36)))
    rows, columns = np.ogrid[:40, :60]
    circle = (rows + 0.5 - 20) ** 2 + (columns + 0.5 - 10) ** 2 < 25
    disc = mask_of(objects[6].region, 40, 60)
    assert (disc & circle).sum() / (disc | circle).sum() > 0.9
    assert objects[1].region.area in range(28, 41)  # two triangles of 16 px
    source = params(format="vector", category_id=1)
    images = IMAGES.model_copy(update={"stretch": "none"})
    prepared = prepare_image(record, dataset=source, images=images, params=PREPARE)
    assert [kind for kind, _ in prepared.warnings] == ["repaired", "line"]
    assert prepared.warnings[1][1] == (
        "2 objects (id 2 3): lines or points, which cover nothing and are left out"
    )


def test_an_outline_far_larger_than_its_scene_is_cut_off(root):
    land = box(-1e6, -1e6, 1e6, 1e6).difference(box(10, 10, 30, 30))
    write_outlines(root / "train/land.geojson", [on_map(land)])
    records, _, _ = found(root, vector_file="land.geojson", tile_size=20)
    record = records["train/scene_00000_00000"]
    assert len(record.objects[0][0]) < 500  # bytes
    (mask,) = masks_of(record).values()
    assert np.array_equal(~mask, filled(20, 20, np_s(10, 20, 10, 20)))


def test_corners_beyond_the_earth_lie_in_no_scene(root):
    far = Polygon([(0, 0), (1e300, 1e300), (1e300, 0), (0, 1e300)])
    write_outlines(root / "train/far.geojson", [far, on_map(SQUARE)])
    (record,) = found(root, vector_file="far.geojson")[0].values()
    assert list(masks_of(record)) == [1]


def test_names_of_columns_with_line_breaks_are_one_line(tmp_path):
    write_scene(tmp_path / "train/scene.tif", NOISE)
    write_outlines(tmp_path / "train/a.geojson", [on_map(SQUARE)], {"two\nlines": ["x"]})
    with pytest.raises(InputError, match=r"its columns: 'two\\nlines'$"):
        found(tmp_path, where={"kind": ["x"]})


def test_a_prj_file_that_gdal_cannot_use_is_refused(tmp_path):
    write_scene(tmp_path / "train/scene.tif", NOISE)
    write_outlines(tmp_path / "train/a.shp", [on_map(SQUARE)])
    path = tmp_path / "train/a.prj"
    path.write_text(path.read_text().replace('"Scale_Factor"', '"Scale_Facto'))
    with pytest.raises(InputError, match=r"a.shp: GDAL cannot read it .*; save it again"):
        found(tmp_path)


def test_a_damaged_scene_is_rejected_by_itself(root):
    (root / "train/broken.tif").write_bytes((root / "train/scene.tif").read_bytes()[:60])
    write_scene(root / "train/strips.tif", NOISE, left=100, compress="deflate", blockysize=8)
    content = bytearray((root / "train/strips.tif").read_bytes())
    content[-400:-300] = bytes(100)  # in the last strips
    (root / "train/strips.tif").write_bytes(content)
    write_outlines(root / "train/roofs.gpkg", [on_map(box(102, 2, 109, 9))], append=True)
    source, _ = recognise(root, params(tile_size=20))
    dataset = find_records(root, source)
    source, _ = with_category(source, dataset)
    images = IMAGES.model_copy(update={"stretch": "none"})
    results = {
        record.name: prepare_image(record, dataset=source, images=images, params=PREPARE)
        for record in dataset.records
    }
    bad = {name: text for name, text in results.items() if isinstance(text, str)}
    assert bad.pop("train/broken") == "damaged image (truncated: its end is missing)"
    assert 0 < len(bad) < 6
    for name, text in bad.items():
        assert text == f"the tile {name[6:]}: damaged image (GDAL cannot read this TIFF file)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crs": None}, "layer 'a' names no coordinate system.*assign it one"),
        ({"shapes": []}, "layer 'a' holds no features; draw"),
        ({"shapes": [on_map(LineString([(3, 3), (9, 9)]))]}, "1 lines or points .* no polygon"),
        ({"shapes": [on_map(box(900, 900, 910, 910))]}, "none of the 1 features .* lies in a sc"),
        ({"kind": "Point", "shapes": [on_map(Point(1, 1))]}, r"no layer of polygons but 'a' \(Poi"),
    ],
)
def test_files_of_outlines_that_cannot_serve_are_refused(tmp_path, change, words):
    write_scene(tmp_path / "train/scene.tif", NOISE)
    options = {"shapes": [on_map(SQUARE)], **change}
    write_outlines(tmp_path / "train/a.gpkg", options.pop("shapes"), **options)
    with pytest.raises(InputError, match=words):
        found(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.geojson", b"<OGRVRTDataSource/>", "is no geojson file, or damaged"),
        ("a.gpkg", b"SQLite format 3\0" + bytes(100), "GDAL cannot read it"),
        ("a.shp", b"\x00\x00\x27\x0a" + bytes(96), "GDAL cannot read it"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": [', "GDAL cannot read it"),
    ],
)
def test_damaged_files_of_outlines_are_refused(tmp_path, name, content, words):
    write_scene(tmp_path / "train/scene.tif", NOISE)
    (tmp_path / "train" / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        found(tmp_path)


def test_scenes_without_a_place_are_refused(root):
    write_scene(root / "train/b.tif", NOISE, placed=False)
    with pytest.raises(InputError, match=r"b.tif: lies nowhere on the map.*world file"):
        found(root)
    write_scene(root / "train/b.tif", NOISE, crs=None)
    with pytest.raises(InputError, match=r"b.tif: names no coordinate system"):
        found(root)


def test_what_is_not_clear_is_listed_with_the_key_to_set(root):
    write_outlines(root / "train/b.geojson", [on_map(SQUARE)])
    with pytest.raises(InputError, match=r"'b.geojson', 'roofs.gpkg'.*set dataset.vector_file"):
        found(root)
    assert found(root, vector_file="roofs.gpkg")[1]["layer"] == "roofs"
    with pytest.raises(InputError, match=r"no file 'c.gpkg' .dataset.vector_file.*'b.geojson'"):
        found(root, vector_file="c.gpkg")
    write_outlines(root / "train/roofs.gpkg", [on_map(PARTS)], layer="sheds", append=True)
    with pytest.raises(InputError, match=r"layers 'roofs', 'sheds'; set dataset.layer"):
        found(root, vector_file="roofs.gpkg")
    (record,) = found(root, vector_file="roofs.gpkg", layer="sheds")[0].values()
    assert np.array_equal(masks_of(record)[1], WHOLE[2])
    for where, words in (
        ({"kind": ["x"]}, r"no column 'kind' of dataset.where; its columns: 'name'"),
        ({"name": ["x"]}, r"no feature is as dataset.where says; its column 'name' holds 'n0' .1 "),
    ):
        with pytest.raises(InputError, match=words):
            found(root, vector_file="roofs.gpkg", layer="roofs", where=where)


def test_a_system_that_nothing_leads_to_is_refused(root):
    local = (
        'ENGCRS["x",EDATUM["y"],CS[Cartesian,2],AXIS["e",east],AXIS["n",north],LENGTHUNIT["m",1]]'
    )
    (root / "train/roofs.gpkg").unlink()
    write_outlines(root / "train/roofs.gpkg", [on_map(SQUARE)], crs=local)
    with pytest.raises(InputError, match="nothing leads from the coordinate system"):
        found(root)


def test_nothing_is_written_beside_the_data(root):
    with sqlite3.connect(root / "train/roofs.gpkg") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}
    contents = {path: path.read_bytes() for path in before if path.is_file()}
    found(root)
    assert sorted(root.rglob("*")) == list(before)
    assert contents == {path: path.read_bytes() for path in contents}


@pytest.mark.slow
@pytest.mark.skipif(not OAM.exists(), reason="shared/data/oam_buildings is absent")
@pytest.mark.parametrize(("suffix", "crs"), [(".geojson", "EPSG:4326"), (".gpkg", "EPSG:32737")])
def test_real_outlines_put_on_the_map_are_those_of_coco(tmp_path, suffix, crs):
    listed = coco_dataset.find_records(OAM, category_id=None).records
    listed = [record for record in listed if record.split == "train" and record.objects][:64]
    side, size = 8, 256
    scene, shapes, expected = np.zeros((side * size, side * size, 3), np.uint8), [], []
    documents = json.loads((OAM / "train/annotation.json").read_text())["annotations"]
    by_image = {}
    for annotation in documents:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    for number, record in enumerate(listed):
        top, left = number // side * size, number % side * size
        image = cv2.imread(str(record.path))
        assert image.shape[:2] == (size, size)
        scene[top : top + size, left : left + size] = image[..., ::-1]
        objects = {one.id: one for one in coco_dataset.read_objects(record, size, size)}
        for annotation in sorted(by_image[record.image_id], key=lambda one: one["id"]):
            rings = [np.reshape(part, (-1, 2)) for part in annotation["segmentation"]]
            polygons = [Polygon(ring + (left, top)) for ring in rings]
            shape = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
            shapes.append(on_map(shape))
            mask = mask_of(objects[annotation["id"]].region, size, size)
            expected.append((number, mask))
    write_scene(tmp_path / "train/scene.tif", scene, tiled=True, blockxsize=256, blockysize=256)

    def moved(points):
        return np.stack(transform(UTM, crs, *points.T), axis=1)

    shapes = [shapely.transform(shape, moved) for shape in shapes]
    path = tmp_path / f"train/b{suffix}"
    options = {"COORDINATE_PRECISION": "9"} if suffix == ".geojson" else {}
    blobs = np.array([shape.wkb for shape in shapes], object)
    pyogrio.raw.write(
        path, blobs, [np.arange(len(blobs))], ["n"], crs=crs, geometry_type="Unknown", **options
    )
    records, chosen, _ = found(tmp_path, tile_size=size)
    assert (chosen["layer"], len(records)) == ("b", 64)
    first = 0 if suffix == ".geojson" else 1
    tiles = {
        record.window.top // size * side + record.window.left // size: masks_of(record)
        for record in records.values()
    }
    compared = 0
    for number, (tile, mask) in enumerate(expected, start=first):
        other = tiles[tile].get(number, np.zeros_like(mask))
        union = (mask | other).sum()
        assert union == 0 or (mask & other).sum() / union >= 0.99
        compared += bool(union)
    assert compared > 150
