"""No input may bring a reader to a traceback, a hang or a file outside the output folder.

Small valid datasets of every format are changed by mutations of their bytes and prepared.
`FUZZ_EXAMPLES=20000 pytest tests/test_fuzzed_datasets.py` is the long run; CI does a short one.
"""

import base64
import io
import json
import os
import shutil
import struct
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML
from shapely import LineString, box
from shapely.geometry import mapping

from src.base.errors import InputError
from src.base.files import new_folder
from src.preparing.levels import choose_levels
from src.preparing.params import PrepareMasksParams
from src.preparing.photos import read_photo
from src.preparing.prepared_folder import write_prepared
from src.preparing.prepared_image import prepare_image
from src.reading.datasets import find_records
from src.reading.metadata import read_metadata
from src.reading.params import DatasetParams, ImagesParams
from src.reading.recognition import recognise, with_category
from tests.vector_data import on_map, write_outlines, write_scene

ROOT = Path(__file__).parents[1]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
PREPARE = PrepareMasksParams.model_validate(PARAMS["prepare_masks"] | {"edge_width": 0})
IMAGES = ImagesParams.model_validate(PARAMS["images"])
DATASET = PARAMS["dataset"]
WRITING = {"os.mkdir": 2, "os.rename": 2, "os.remove": 1, "os.rmdir": 1}  # place of the dir_fd
watched = {}  # "inside": where files may be written while an example runs; "outside": what was
TOKENS = [
    b"",
    b"0",
    b"-1",
    b"1",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b"{}",
    b"[",
    b"]",
]
TOKENS += [
    b"{",
    b"}",
    b'"',
    b",",
    b":",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b" ",
    b"9" * 30,
]
TOKENS += [b"..", b"../x.png", b"/tmp/x.png", b"a/b.png", b"\\u0000", b"\\ud800", b"\xc3\xa9", b"_"]
TOKENS += [struct.pack("<I", 2**31), struct.pack(">I", 2**32 - 1), struct.pack("<H", 65535)]

pytestmark = pytest.mark.slow
long_run = settings(
    max_examples=EXAMPLES,
    deadline=timedelta(seconds=20),  # an example that hangs
    suppress_health_check=list(HealthCheck),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
)


def _watch(event: str, arguments: tuple) -> None:
    if not watched or not (event == "open" or event in WRITING):
        return
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    if event == "open" and not arguments[2] & changing:
        return
    if event != "open" and arguments[WRITING[event]] != -1:  # of the test's own rmtree
        return
    if not isinstance(arguments[0], int) and arguments[0] != os.devnull:
        path = os.path.realpath(os.fsdecode(arguments[0]))
        compiled = "__pycache__" in Path(path).parts  # by the first import of a module
        if not path.startswith(watched["inside"]) and not compiled:
            watched["outside"].append((event, path))


sys.addaudithook(_watch)


@pytest.fixture
def folder():
    """A folder outside of which nothing may be written."""
    with tempfile.TemporaryDirectory() as name:
        watched.update(inside=os.path.realpath(name), outside=[])
        yield Path(name)
        outside = watched["outside"]
        watched.clear()
    assert not outside


@st.composite
def mutated(draw, contents: list[bytes]) -> tuple[int, bytes]:
    """Return which of the contents was taken, and what became of it."""
    which = draw(st.integers(0, len(contents) - 1))
    content = bytearray(contents[which])
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 12)))
        change = draw(st.integers(0, 5))
        if change == 0:  # flip bits
            for at in range(start, stop):
                content[at] ^= draw(st.integers(1, 255))
        elif change == 1:  # something in place of a piece
            content[start:stop] = draw(st.sampled_from(TOKENS))
        elif change == 2:  # arbitrary bytes in its place
            content[start:stop] = draw(st.binary(max_size=8))
        elif change == 3:  # cut off
            del content[start:]
        elif change == 4:  # repeated
            content[start:stop] = content[start:stop] * draw(st.integers(2, 20))
        else:  # a piece from elsewhere
            place = draw(st.integers(0, len(content)))
            content[start:start] = content[place : place + 12]
    return which, bytes(content)


def encoded(array: np.ndarray, suffix: str, **options) -> bytes:
    if suffix == ".tif" or options:
        file = io.BytesIO()
        Image.fromarray(array).save(file, {".tif": "TIFF", ".gif": "GIF"}[suffix], **options)
        return file.getvalue()
    return cv2.imencode(suffix, array)[1].tobytes()


NOISE = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
LABELS = np.zeros((9, 7), np.uint8)
LABELS[2:7, 1:3], LABELS[3:5, 4:6] = 1, 2


def answer(function, *arguments, **options):
    """Return what a function returns, or the sentence of its refusal."""
    try:
        return function(*arguments, **options)
    except InputError as error:
        return str(error)


def prepare(folder: Path, out: Path, dataset: dict) -> None:
    """Do what the stage does, without reading params.yaml again and again."""
    dataset = DatasetParams.model_validate(dataset)
    dataset, choices = recognise(folder, dataset)
    found = find_records(folder, dataset)
    dataset, category = with_category(dataset, found)
    images, levels = choose_levels(found.records, IMAGES)
    prepared = (
        prepare_image(record, dataset=dataset, images=images, params=PREPARE)
        for record in found.records
    )
    with new_folder(out) as partial:
        metadata = {record.name: {} for record in found.records}
        choices += category + levels
        write_prepared(partial, folder, found, prepared, metadata, choices)


def read(folder: Path, **changes) -> None:
    """Prepare the data; a dataset that is refused is as good as one that is read."""
    out = folder / "prepared"
    shutil.rmtree(out, ignore_errors=True)
    refusal = answer(prepare, folder / "data", out, DATASET | changes)
    assert (refusal is None) == out.exists()
    assert "\n" not in (refusal or "")


@pytest.fixture
def coco(folder):
    document = {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 9, "width": 7, "group": "g"},
            {"id": 2, "file_name": "b.png", "height": 9, "width": 7},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 100,
                "segmentation": [[1, 1, 5, 1, 5, 6, 1, 6]],
            },
            {"id": 2, "image_id": 1, "category_id": 100, "iscrowd": 1}
            | {"segmentation": {"size": [9, 7], "counts": [20, 5, 38]}},
            {"id": 3, "image_id": 2, "category_id": 100, "area": 4.5}
            | {"segmentation": {"size": [9, 7], "counts": "d03T1"}},
        ],
        "categories": [{"id": 100, "name": "building"}],
    }
    (folder / "data/train/images").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (folder / "data/train/images" / name).write_bytes(encoded(NOISE, ".png"))
    return folder, [json.dumps(document).encode(), json.dumps(document, indent=1).encode()]


@long_run
@given(data=st.data())
def test_annotation_files(coco, data):
    folder, contents = coco
    content = data.draw(mutated(contents))[1]
    (folder / "data/train/annotation.json").write_bytes(content)
    read(folder)


@pytest.fixture
def masks(folder):
    for part in ("images", "masks"):
        (folder / "data/train" / part).mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"data/train/images/{name}.png").write_bytes(encoded(NOISE, ".png"))
    (folder / "data/train/masks/a.png").write_bytes(encoded(LABELS, ".png"))
    contents = [encoded(LABELS * 255, ".png"), encoded(LABELS.astype(np.uint16), ".png")]
    contents += [encoded(LABELS, ".gif", optimize=False), encoded(LABELS, ".tif")]
    contents += [encoded(LABELS.astype(np.float32), ".tif", compression="tiff_deflate")]
    contents += [encoded(LABELS * 255, ".bmp")]
    return folder, contents


@long_run
@given(data=st.data(), kind=st.sampled_from(["auto", "components", "whole", "ids"]))
def test_mask_files(masks, data, kind):
    folder, contents = masks
    content = data.draw(mutated(contents))[1]
    (folder / "data/train/masks/b.png").write_bytes(content)
    read(folder, format="auto" if kind == "auto" else "mask_folder", masks=kind)


@pytest.fixture
def rle(folder):
    (folder / "data/train/images").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        (folder / "data/train/images" / name).write_bytes(encoded(NOISE, ".png"))
    rows = b"id,rle_mask\na,2 3 11 4\nb,\nc.png,20 5\nc.png,40 2\n"
    return folder, [rows, rows.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + rows]


@long_run
@given(data=st.data(), kind=st.sampled_from(["auto", "instances", "components", "whole"]))
def test_run_length_tables(rle, data, kind):
    folder, contents = rle
    (folder / "data/train/train.csv").write_bytes(data.draw(mutated(contents))[1])
    read(folder, format="auto" if kind == "auto" else "rle_csv", masks=kind)


@pytest.fixture
def yolo(folder):
    for part in ("images", "labels"):
        (folder / "data/train" / part).mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"data/train/images/{name}.png").write_bytes(encoded(NOISE, ".png"))
        (folder / f"data/train/labels/{name}.txt").write_bytes(b"0 0.1 0.1 0.7 0.1 0.7 0.6\n")
    rows = b"0 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8\n1 .5 .5 .25 .5\n0 1e-1 0.5 0.9 0.5 1 1\n"
    return folder, [rows, rows.replace(b"\n", b"\r\n"), b"names: [roof, car]\nnc: 2\n"]


@long_run
@given(
    data=st.data(),
    boxes=st.sampled_from(["refuse", "objects"]),
    category_id=st.sampled_from(["auto", 0, "roof"]),
)
def test_yolo_labels(yolo, data, boxes, category_id):
    folder, contents = yolo
    which, content = data.draw(mutated(contents))
    (folder / "data/train/labels/b.txt").write_bytes(content if which < 2 else contents[0])
    (folder / "data/data.yaml").write_bytes(content if which == 2 else contents[2])
    read(folder, boxes=boxes, category_id=category_id)


@pytest.fixture
def labelme(folder):
    (folder / "data/train").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"data/train/{name}.png").write_bytes(encoded(NOISE, ".png"))
    mask = base64.b64encode(encoded(np.eye(3, dtype=np.uint8) * 255, ".png")).decode()
    shapes = [
        {"label": "x", "points": [[1, 1], [5.5, 1], [5, 6]], "shape_type": "polygon"},
        {"label": "x", "points": [[4, 4], [6, 4]], "shape_type": "circle", "group_id": 1},
        {"label": "x", "points": [[1, 1], [3, 3]], "shape_type": "mask", "mask": mask},
        {"label": "x", "points": [[0, 0], [3, 8]], "shape_type": "rectangle", "group_id": 1},
        {"label": "y", "points": [[0, 0]], "shape_type": "point", "group_id": None},
    ]
    document = {"version": "6.3.1", "shapes": shapes, "imageHeight": 9, "imageWidth": 7}
    document |= {"imagePath": "a.png", "imageData": None, "flags": {}}
    content = json.dumps(document).encode()
    (folder / "data/train/a.json").write_bytes(content)
    return folder, [content, json.dumps(document, indent=2).encode()]


@long_run
@given(data=st.data(), category_id=st.sampled_from(["auto", "x", ["x", "y"]]))
def test_labelme_files(labelme, data, category_id):
    folder, contents = labelme
    (folder / "data/train/b.json").write_bytes(data.draw(mutated(contents))[1])
    read(folder, category_id=category_id)


@pytest.fixture
def vector(folder):
    write_scene(folder / "data/train/a.tif", NOISE)
    shapes = [on_map(box(1, 1, 5, 6)), on_map(box(0, 0, 7, 9).difference(box(2, 2, 4, 4)))]
    shapes += [on_map(LineString([(1, 1), (3, 5)]))]
    contents = {}
    for name in ("a.geojson", "a.shp", "a.gpkg"):
        kept = shapes[:2] if name == "a.shp" else shapes
        write_outlines(folder / name, kept, {"kind": ["x", "y", "x"][: len(kept)]})
    for path in sorted(folder.glob("a.*")):
        contents[path.name] = path.read_bytes()
    area = json.dumps(mapping(on_map(box(0, 0, 5, 9)))).encode()
    return folder, contents, area.replace(b'{"type"', CRS + b'"type"')


CRS = b'{"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32737"}}, '


@long_run
@given(
    data=st.data(),
    name=st.sampled_from(["a.geojson", "a.geojson", "a.shp", "a.shx", "a.dbf", "a.prj", "a.gpkg"]),
    options=st.sampled_from([{}, {"where": {"kind": ["x"]}}, {"tile_size": 16}]),
)
def test_vector_files(vector, data, name, options):
    folder, contents, area = vector
    for path in (folder / "data/train").glob("a*.[!t]*"):
        path.unlink()
    single = name[1:] in (".geojson", ".gpkg")
    suffixes = (name[1:],) if single else (".shp", ".shx", ".dbf", ".prj")
    for suffix in suffixes:
        (folder / f"data/train/a{suffix}").write_bytes(contents[f"a{suffix}"])
    if data.draw(st.booleans()):
        area = data.draw(mutated([area]))[1] if data.draw(st.booleans()) else area
        (folder / "data/train/aoi.geojson").write_bytes(area)
    content = data.draw(mutated([contents[name]]))[1]
    (folder / "data/train" / name).write_bytes(content)
    read(folder, **options)


PHOTOS = [encoded(NOISE, ".jpg"), encoded(NOISE, ".png"), encoded(NOISE[..., 0], ".png")]
PHOTOS += [encoded(NOISE.astype(np.uint16) * 257, ".png"), encoded(NOISE, ".bmp")]
PHOTOS += [encoded(NOISE[..., 0], ".gif", optimize=False), encoded(NOISE, ".tif")]
PHOTOS += [encoded(NOISE[..., 0].astype(np.float32), ".tif"), encoded(NOISE, ".webp")]
PHOTOS += [encoded(NOISE, ".tif", compression="tiff_lzw")]


@long_run
@given(
    photo=mutated(PHOTOS),
    stretch=st.sampled_from(["none", "range", "percentile"]),
    bands=st.sampled_from([[], [1], [3, 2, 1]]),
    orientation=st.sampled_from(["ignore", "apply"]),
)
def test_photos(folder, photo, stretch, bands, orientation):
    path = folder / "photo"
    path.write_bytes(photo[1])
    options = {"low": 2.0, "high": 98.0, "no_data": 0.0, "orientation": orientation}
    options |= {"keep": "8bit", "shown": []}
    images = ImagesParams(bands=bands, stretch=stretch, **options)
    found = answer(read_photo, path, images)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert found.content
        assert min(found.height, found.width) > 0


@long_run
@given(data=st.data())
def test_metadata_tables(folder, data):
    table = b"name,depth,season\ntrain/a,306,2\nval/b,811.5,3\n"
    contents = [table, table.replace(b"name", b"id").replace(b"train/", b"").replace(b"val/", b"")]
    path = folder / "metadata.csv"
    path.write_bytes(data.draw(mutated(contents))[1])
    found = answer(read_metadata, path, ["depth"], ["train/a", "val/b"])
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert set(found) == {"train/a", "val/b"}
        assert all(np.isfinite(row["depth"]) for row in found.values())
