import csv
import io
import json

import cv2
import joblib
import numpy as np
import pyogrio
import pytest
import shapely
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.image_files.geotransforms import COLUMNS as PLACE
from src.outlines.polygons import fill_polygons
from stages import export
from tests.plain_prepared import write_prepared
from tests.plain_submission import decode_submission

HEIGHT, WIDTH = 24, 30


def drawn(*boxes):
    """A mask of boxes (top, bottom, left, right); pixels in two boxes are background."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] ^= True
    return mask


# name, then (score, mask) as rescore wrote them
OBJECTS = {
    "val/all": [(0.7, drawn((0, HEIGHT, 0, WIDTH)))],
    "val/empty": [],
    "val/many": [
        (0.4, drawn((0, 8, 0, 9), (2, 6, 2, 6))),  # with a hole
        (0.9, drawn((5, 12, 5, 14))),  # over its corner
        (0.4, drawn((20, 22, 3, 5), (22, 24, 5, 7))),  # touching by a corner
        (0.2, drawn((0, 1, 29, 30))),  # one pixel
    ],
    "val/sub/tile.1": [(0.5, drawn((10, 13, 20, 30)))],
}
PHOTO = np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8)
GEOTRANSFORM = (500_000.25, 0.5, 0.0, 6_000_000.75, 0.0, -0.5)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "predictions").mkdir()
    write_images(tmp_path, ["train/a", "train/b", *OBJECTS], first=11)
    results = [
        coco_result(number, score, mask)
        for number, objects in enumerate(OBJECTS.values(), start=13)
        for score, mask in objects
    ]
    oof = [coco_result(12, 0.5, drawn((0, 2, 0, 1)))]
    for split, found in (("oof", oof), ("val", results), ("test", [])):
        (tmp_path / f"predictions/{split}.json").write_text(json.dumps(found))
    return tmp_path


def write_images(data, names, first):
    """Write a prepared data set of images that lie nowhere on the map, numbered from `first`."""
    images = [
        {"name": name, "image_id": number, "height": HEIGHT, "width": WIDTH}
        for number, name in enumerate(names, start=first)
    ]
    write_prepared(data / "prepared", images)
    (data / "prepared/recognised.json").write_text("[]")
    for split in ("train", "val", "test"):
        photos = [(name, PHOTO) for name in sorted(names) if name.startswith(split)]
        write_archive(data / f"prepared/{split}/images.zip", photos)
    for split in ("train", "val", "test"):
        path = data / f"prepared/geotransforms/{split}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(",".join(["name", *PLACE]) + "\n")


def coco_result(image_id, score, mask):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    rle = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
    return {"image_id": image_id, "category_id": 1, "segmentation": rle, "score": score}


DATASET = {
    "root": "x", "format": "auto", "category_id": "auto", "masks": "auto", "mask_folder": "auto",
    "image_pattern": "", "mask_pattern": "", "missing_mask": "refuse", "ignore_value": "none",
    "mask_suffix": "auto", "id_column": "auto", "rle_column": "auto", "class_column": "auto",
    "rle_order": "column", "rle_first": 1, "rle_starts": "absolute", "rle_empty": [],
    "boxes": "refuse", "vector_file": "auto", "layer": "auto", "aoi": "auto", "where": {},
    "tile_size": 512, "tile_overlap": 0, "tile_block": "auto",
    "crowd": "ignore", "polygons": "edges", "group_pattern": "",
    "metadata_file": "metadata.csv", "metadata": [], "leave_out": [],
}  # fmt: skip


def run(
    data, *formats, simplify=0.0, right_angles=False, rows="image", ids="stem", official="none",
    **dataset,
):  # fmt: skip
    outlines = {"simplify": simplify, "right_angles": right_angles}
    section = {"formats": list(formats)}
    section |= {"submission_rows": rows, "submission_ids": ids, "submission_list": official}
    sections = {"export": section, "outlines": outlines, "workers": {"scheduler": "none"}}
    sections["dataset"] = DATASET | dataset
    YAML().dump(sections, data / "params.yaml")
    paths = [str(data / name) for name in ("prepared", "predictions", "exports")]
    export.main([*paths, "--params", str(data / "params.yaml")])
    return sorted(path.name for path in (data / "exports").iterdir())


def read_features(data, split="val"):
    document = json.loads((data / f"exports/polygons_{split}_px.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    return document["features"]


def fill(geometry, to_pixel=np.asarray):
    """The mask of a geometry as another program would see it."""
    polygons = [
        [to_pixel(np.array(ring, float))[:-1] for ring in rings]
        for rings in geometry["coordinates"]
    ]
    return fill_polygons(polygons, HEIGHT, WIDTH)


def ranked(name):
    """Masks by falling score, of equals the first."""
    return [mask for _, mask in sorted(OBJECTS[name], key=lambda each: -each[0])]


def test_a_submission_lists_every_image_with_its_objects_united(data):
    assert run(data, "submission") == ["submission_oof.csv", "submission_val.csv"]
    text = (data / "exports/submission_val.csv").read_bytes().decode()
    assert text.startswith("id,rle_mask\nall,1 720\nempty,\nmany,")
    assert "\r" not in text
    rows = {f"val/{row['id']}": row["rle_mask"] for row in csv.DictReader(io.StringIO(text))}
    assert list(rows) == list(OBJECTS)
    for name, runs in rows.items():
        union = np.any([np.zeros((HEIGHT, WIDTH), bool), *ranked(name)], axis=0)
        assert np.array_equal(decode_submission(runs, HEIGHT, WIDTH), union)


def test_a_submission_has_the_columns_and_counts_as_the_table_that_was_read(data):
    found = [{"key": "dataset.id_column", "value": "ImageId", "reason": "its cells"}]
    (data / "prepared/recognised.json").write_text(json.dumps(found))
    dialect = {"rle_column": "EncodedPixels", "rle_order": "row", "rle_first": 0}
    run(data, "submission", rows="object", **dialect)
    rows = list(csv.reader(io.StringIO((data / "exports/submission_val.csv").read_text())))
    assert rows[:3] == [["ImageId", "EncodedPixels"], ["all", "0 720"], ["empty", ""]]
    assert [row[0] for row in rows[3:]] == ["many"] * 4 + ["sub/tile.1"]
    # rows 5 to 11, columns 5 to 13, of the best score
    assert rows[3][1] == " ".join(f"{30 * row + 5} 9" for row in range(5, 12))
    assert rows[6][1] == "29 1"


def test_ids_of_a_submission_may_have_the_extension(data):
    run(data, "submission", ids="file_name")
    text = (data / "exports/submission_val.csv").read_text()
    table = (data / "prepared/val/images.csv").read_text()
    [wanted] = [
        row["file_name"] for row in csv.DictReader(io.StringIO(table)) if row["name"] == "val/empty"
    ]
    assert f"\n{wanted},\n" in text


def test_what_is_not_accepted_is_in_no_export_and_nothing_else_is_left_out(data):
    boxes = [(row, row + 1, column, column + 1) for row in range(0, 24, 2) for column in range(30)]
    accepted = [
        coco_result(13, 0.5 + place / 1000, drawn(box)) | {"accepted": True}
        for place, box in enumerate(boxes)
    ]
    others = [
        coco_result(image, 0.25, drawn((0, HEIGHT, 0, WIDTH))) | {"accepted": False}
        for image in (13, 14, 11)
    ]
    (data / "predictions/val.json").write_text(json.dumps([*accepted, *others[:2]]))
    (data / "predictions/oof.json").write_text(json.dumps(others[2:]))
    run(data, "submission", "label_maps", "geojson")
    assert len(read_features(data)) == len(boxes) == 360
    assert ImageArchive(data / "exports/label_maps_val.zip").read("val/all").max() == 360
    text = (data / "exports/submission_val.csv").read_text()
    rows = {row["id"]: row["rle_mask"] for row in csv.DictReader(io.StringIO(text))}
    assert decode_submission(rows["all"], HEIGHT, WIDTH).sum() == 360
    assert rows["empty"] == ""
    assert not (data / "exports/submission_oof.csv").exists()


def test_only_training_images_with_objects_are_listed(data):
    run(data, "submission")
    assert (data / "exports/submission_oof.csv").read_text() == "id,rle_mask\nb,1 2\n"


def test_label_maps_number_objects_by_falling_score(data):
    assert run(data, "label_maps") == ["label_maps_oof.zip", "label_maps_val.zip"]
    archive = ImageArchive(data / "exports/label_maps_val.zip")
    assert archive.names == list(OBJECTS)
    for name in OBJECTS:
        instances = archive.read(name)
        assert instances.dtype == np.uint16
        free = np.ones((HEIGHT, WIDTH), bool)
        for label, mask in enumerate(ranked(name), start=1):
            assert np.array_equal(instances == label, mask & free)
            free &= ~mask
        assert np.array_equal(instances == 0, free)


def test_polygons_fill_to_the_masks_exactly(data):
    assert run(data, "geojson") == ["polygons_oof_px.geojson", "polygons_val_px.geojson"]
    features = read_features(data)
    expected = [(name, mask) for name in OBJECTS for mask in ranked(name)]
    assert len(features) == len(expected)
    for number, (feature, (name, mask)) in enumerate(zip(features, expected, strict=True), 1):
        assert np.array_equal(fill(feature["geometry"]), mask)
        told = feature["properties"]
        assert (told["id"], told["image"], told["area_px"]) == (number, name, mask.sum())
    assert [f["properties"]["score"] for f in features] == [0.7, 0.9, 0.4, 0.4, 0.2, 0.5]


def write_places(data, **systems):
    """Put images of val on the map, far apart, each in its coordinate system."""
    rows = []
    for number, (name, crs) in enumerate(systems.items()):
        place = (GEOTRANSFORM[0] + 1000 * number, *GEOTRANSFORM[1:])
        rows.append(f'val/{name},{",".join(map(str, place))},"{crs}"')
    path = data / "prepared/geotransforms/val.csv"
    path.write_text("\n".join([",".join(["name", *PLACE]), *rows]) + "\n")


def test_objects_lie_on_the_map_where_the_image_does(data):
    write_places(data, many="EPSG:32737")
    names = ["objects_val.gpkg", "polygons_oof_px.geojson", "polygons_val.geojson"]
    assert run(data, "geojson", "gpkg") == [*names, "polygons_val_px.geojson"]
    assert {f["properties"]["image"] for f in read_features(data)} == {"val/all", "val/sub/tile.1"}
    meta, _, geometry, fields = pyogrio.raw.read(data / "exports/objects_val.gpkg")
    assert meta["crs"] == "EPSG:32737"
    assert [fields[list(meta["fields"]).index("image")][0]] == ["val/many"]
    x0, xc, _, y0, _, yr = GEOTRANSFORM
    for shape, mask in zip(shapely.from_wkb(geometry), ranked("val/many"), strict=True):
        to_pixel = shapely.transform(shape, lambda at: np.round((at - [x0, y0]) / [xc, yr], 6))
        assert np.array_equal(fill(json.loads(shapely.to_geojson(to_pixel))), mask)
    document = json.loads((data / "exports/polygons_val.geojson").read_text())
    assert "crs" not in document
    assert 38 < document["features"][0]["geometry"]["coordinates"][0][0][0][0] < 40  # degrees


def test_every_coordinate_system_has_a_file_of_its_own(data):
    write_places(data, all="EPSG:32737", many="EPSG:32736")
    names = [f"polygons_val{end}.geojson" for end in ("_EPSG_32736", "_EPSG_32737", "_px")]
    assert run(data, "geojson") == ["polygons_oof_px.geojson", *names]
    documents = [json.loads((data / "exports" / name).read_text()) for name in names]
    images = [{f["properties"]["image"] for f in each["features"]} for each in documents]
    assert images == [{"val/many"}, {"val/all"}, {"val/sub/tile.1"}]


def test_houses_of_tiles_that_overlap_or_only_touch_count_once(data):
    """Two houses, of which one lies in both tiles, or across their seam."""
    ground = np.zeros((HEIGHT, 2 * WIDTH), bool)
    ground[8:16, 20:29] = ground[2:5, 2:5] = True  # 72 px and 9 px
    for shared in (15, 6, 0):  # columns of overlap; 0 and 6 cut the house, or part of the view
        left = WIDTH - shared if shared else 25
        widths = (WIDTH if shared else 25, WIDTH)
        images = [
            {"name": f"val/{name}", "image_id": number, "height": HEIGHT, "width": width}
            for number, (name, width) in enumerate(zip("ab", widths, strict=True), start=1)
        ]
        write_prepared(data / "prepared", images)
        photos = [(one["name"], PHOTO[:, : one["width"]]) for one in images]
        write_archive(data / "prepared/val/images.zip", photos)
        results = []
        for number, (start, width) in enumerate(zip((0, left), widths, strict=True), start=1):
            part = ground[:, start : start + width]
            for label in range(1, cv2.connectedComponents(part.astype(np.uint8))[0]):
                mask = cv2.connectedComponents(part.astype(np.uint8))[1] == label
                rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
                rle = {"size": list(mask.shape), "counts": rle["counts"].decode()}
                results.append({"image_id": number, "segmentation": rle, "score": 0.5})
        (data / "predictions/val.json").write_text(json.dumps(results))
        (data / "predictions/oof.json").write_text("[]")
        rows = [
            f"val/{name},{400_000 + 0.5 * start},0.5,0,600000,0,-0.5,EPSG:32630"
            for name, start in zip("ab", (0, left), strict=True)
        ]
        path = data / "prepared/geotransforms/val.csv"
        path.write_text("\n".join([",".join(["name", *PLACE]), *rows]) + "\n")
        run(data, "csv")
        with (data / "exports/objects_val.csv").open() as file:
            found = list(csv.DictReader(file))
        assert sorted(int(one["area_px"]) for one in found) == [9, 72], shared
        assert sorted(float(one["area_m2"]) for one in found) == [2.25, 18.0]
        assert {one["image"] for one in found} == {"val/a"}
        assert {one["mean_red"] for one in found} == {"10.0"}


def test_polygons_can_be_simplified_or_squared(data):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    turned = (np.abs(x + 0.5 * y - 20) < 7) & (np.abs(y - 0.5 * x - 5) < 7)
    (data / "predictions/val.json").write_text(json.dumps([coco_result(14, 0.5, turned)]))

    def points(**params):
        run(data, "geojson", **params)
        return np.array(read_features(data)[0]["geometry"]["coordinates"][0][0])[:-1]

    steps, simple, square = points(), points(simplify=1.0), points(right_angles=True)
    assert len(square) == 4 < len(simple) + 1 < len(steps)
    sides = np.roll(square, -1, axis=0) - square
    cosines = (sides * np.roll(sides, -1, axis=0)).sum(axis=1) / (sides**2).sum(axis=1)
    assert cosines == pytest.approx(0, abs=1e-3)  # to the decimals written


def test_the_same_predictions_give_the_same_bytes(data):
    write_places(data, many="EPSG:32737")
    formats = ("csv", "geojson", "gpkg", "label_maps", "submission")
    names = run(data, *formats)
    first = [(data / "exports" / name).read_bytes() for name in names]
    assert run(data, *reversed(formats)) == names
    assert [(data / "exports" / name).read_bytes() for name in names] == first


@pytest.mark.slow
def test_processes_write_the_same_as_one(data, monkeypatch):
    formats = ("csv", "geojson", "label_maps", "submission")
    names = run(data, *formats)
    alone = [(data / "exports" / name).read_bytes() for name in names]
    monkeypatch.setattr("src.parallel.workers.ALONE", 0)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert run(data, *formats) == names
    assert [(data / "exports" / name).read_bytes() for name in names] == alone


def test_no_formats_give_an_empty_folder(data):
    assert run(data) == []


def test_a_split_whose_images_are_all_empty_is_written(data):
    (data / "predictions/val.json").write_text("[]")
    run(data, "geojson", "submission", "label_maps")
    assert read_features(data) == []
    assert (data / "exports/submission_val.csv").read_text().endswith("\nsub/tile.1,\n")
    assert not ImageArchive(data / "exports/label_maps_val.zip").read("val/all").any()


def test_a_mistake_leaves_the_old_exports(data):
    names = run(data, "submission")
    (data / "predictions/test.json").unlink()
    with pytest.raises(InputError, match="test.json: no such file"):
        run(data, "geojson")
    assert sorted(path.name for path in (data / "exports").iterdir()) == names
    assert not (data / "exports.partial").exists()


@pytest.mark.slow
def test_too_many_objects_for_a_label_map_name_the_image(data):
    results = [coco_result(15, 0.5, drawn((0, 1, 0, 1)))] * 65_535
    (data / "predictions/val.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match="val/many: 65535 objects in one image"):
        run(data, "label_maps")


def test_an_unknown_format_is_refused(data):
    with pytest.raises(InputError, match="export.formats"):
        run(data, "shapefile")


def test_an_official_list_gives_ids_and_order(data, capsys):
    write_images(data, ["train/a", "test/b1", "test/c", "test/surplus"], first=11)
    results = [coco_result(12, 0.9, drawn((0, 2, 0, 1))), coco_result(12, 0.8, drawn((4, 5, 0, 1)))]
    for split, found in (("oof", []), ("val", []), ("test", results)):
        (data / f"predictions/{split}.json").write_text(json.dumps(found))
    (data / "list.csv").write_text("ImageId,EncodedPixels\nc,1 1\nb1,1 1\ngone,1 1\n")
    options = {"official": "list.csv", "root": str(data)}
    assert run(data, "submission", **options) == ["submission_test.csv"]
    path = data / "exports/submission_test.csv"
    assert path.read_text() == "ImageId,EncodedPixels\nc,\nb1,1 2 5 1\ngone,\n"
    said = capsys.readouterr().out
    assert "list.csv: 1 ids are of no image of test ('gone'); their cells are empty" in said
    assert "list.csv: does not list 1 images of test ('surplus" in said
    run(data, "submission", rows="object", **options)
    assert path.read_text() == "ImageId,EncodedPixels\nc,\nb1,1 2\nb1,5 1\ngone,\n"
    (data / "list.csv").write_text("id,rle_mask\nx,\n")
    with pytest.raises(InputError, match="none of its ids, such as 'x', is an image of test"):
        run(data, "submission", **options)
