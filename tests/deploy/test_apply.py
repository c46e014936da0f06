import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from rasterio import Affine

from deploy import apply
from src.applying.objects import apply_to_image
from src.base.errors import InputError
from src.bundles.reading import read_bundle
from src.delivering import image_run, scene_run
from src.scenes import model_calls
from src.scenes.scene_objects import Blocks
from tests import squares_bundle, tiny_bundle
from tests.squares_bundle import SIDE, grid, scene

ROOT = Path(__file__).parents[2]
PIXEL = 0.5  # m


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return squares_bundle.write(tmp_path_factory.mktemp("model") / "squares.maskline.zip")


@pytest.fixture
def small_blocks(monkeypatch):
    """Take any image for a scene, and cut it into many blocks."""
    monkeypatch.setattr(apply, "WHOLE", 0)
    monkeypatch.setattr(model_calls, "TILE", 96)
    monkeypatch.setattr(scene_run, "BLOCKS", Blocks(200, 50))


def write_tiff(path, image, row=0, column=0, crs="EPSG:32630", pixel=PIXEL, **options):
    transform = Affine(pixel, 0, 4e5 + column * pixel, 0, -pixel, 6e5 - row * pixel)
    given = {"driver": "GTiff", "count": 3, "dtype": image.dtype, "crs": crs, **options}
    given |= {"transform": transform} if crs else {}
    with rasterio.open(path, "w", height=image.shape[0], width=image.shape[1], **given) as file:
        file.write(np.moveaxis(image, -1, 0))
    return path


def run(model, *images, out, **options):
    words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value != ""]
    words += [f"--{key.replace('_', '-')}" for key, value in options.items() if value == ""]
    apply.main([str(model), *map(str, images), "--out", str(out), *words])
    return pd.read_csv(out / "objects.csv") if (out / "objects.csv").exists() else None


def assert_found(table, places):
    """Objects are squares, to a pixel, and are none but those at the places."""
    corners = np.round([table["y_px"] - SIDE / 2, table["x_px"] - SIDE / 2]).astype(int)
    assert sorted(map(tuple, corners.T.tolist())) == sorted(places)


def test_a_scene_gives_the_same_objects_by_windows_of_any_size(model, tmp_path, small_blocks):
    places = grid(470, 610)
    path = write_tiff(tmp_path / "scene.tif", scene(470, 610, places), tiled=True,
                      blockxsize=64, blockysize=64)  # fmt: skip
    tables = {
        side: run(model, path, out=tmp_path / str(side), window=side)
        for side in (90, 384, 512, 1024)
    }
    assert_found(tables[512], places)
    for table in tables.values():
        pd.testing.assert_frame_equal(table, tables[512])


def test_all_outputs_of_a_scene_tell_the_same(model, tmp_path, small_blocks):
    places = grid(300, 420)
    path = write_tiff(tmp_path / "scene.tif", scene(300, 420, places))
    out = tmp_path / "out"
    table = run(model, path, out=out, formats=",".join(apply.FORMATS))
    assert_found(table, places)
    assert table["area_m2"].tolist() == (table["area_px"] * PIXEL**2).tolist()
    with rasterio.open(out / "labels/scene.tif") as file:
        labels = file.read(1)
        assert file.crs == "EPSG:32630"
        assert file.transform == rasterio.open(path).transform
    assert np.bincount(labels.ravel())[1:].tolist() == table["area_px"].tolist()
    with rasterio.open(out / "probabilities/scene.tif") as file:
        assert (file.read(1)[labels > 0] >= 127).all()
    meta, _, geometry, fields = pyogrio.raw.read(out / "objects.gpkg")
    shapes = shapely.from_wkb(geometry)
    assert meta["crs"] == "EPSG:32630"
    assert fields[list(meta["fields"]).index("id")].tolist() == table["id"].tolist()
    assert shapely.is_valid(shapes).all()
    assert shapely.get_x(shapely.centroid(shapes)) == pytest.approx(table["x_map"])
    document = json.loads((out / "objects.geojson").read_text())
    assert "crs" not in document
    assert len(document["features"]) == len(table)
    results = json.loads((out / "coco_results.json").read_text())
    assert [one["score"] for one in results] == pytest.approx(table["score"].tolist(), abs=1e-6)
    assert not list(tmp_path.glob("*.work"))


def test_images_are_predicted_whole_as_the_stages_do(model, tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    images = {"a.png": (90, 150), "deep/b.png": (64, 64), "c.bmp": (31, 70)}
    for number, (name, size) in enumerate(images.items()):
        image = scene(*size, grid(*size, step=25), seed=number)
        cv2.imwrite(str(folder / name), image[..., ::-1])
        images[name] = image
    (folder / "a.pgw").write_text("0.5\n0\n0\n-0.5\n400000\n600000\n")
    (folder / "a.png.aux.xml").write_text("<PAMDataset/>")
    out = tmp_path / "out"
    table = run(model, folder, out=out)
    bundle = read_bundle(model)
    for name, image in images.items():
        wanted = apply_to_image(bundle, image).objects
        found = table[table["image"] == name.rsplit(".", 1)[0]]
        assert found["area_px"].tolist() == wanted["area"].tolist()
        assert found["score"].tolist() == pytest.approx(wanted["score"].tolist(), abs=1e-6)
    assert list(table["image"].unique()) == ["a", "c", "deep/b"]
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {
        "about.json", "coco_images.json", "coco_results.json", "objects.csv",
        "a_px.geojson", "c_px.geojson", "deep/b_px.geojson",
        "labels/a.tif", "labels/c.tif", "labels/deep/b.tif",
    }  # fmt: skip


def test_tiles_that_touch_or_overlap_are_counted_once(model, tmp_path):
    places = [(10, 10), (60, 94), (20, 140), (80, 180)]  # the second lies on the seam
    world = scene(120, 200, places)
    parts = {"a": (0, 100), "b": (100, 200), "c": (60, 200)}
    for name, (left, right) in parts.items():
        write_tiff(tmp_path / f"{name}.tif", world[:, left:right], column=left)
    both = ("a.tif", "b.tif"), ("a.tif", "c.tif")
    for number, names in enumerate(both):
        files = [tmp_path / name for name in names]
        table = run(model, *files, out=tmp_path / f"out{number}", formats="csv,gpkg")
        assert_found(table, places)
        assert set(table["image"]) == {"a"}
        assert table["x_map"].min() == pytest.approx(4e5 + 16 * PIXEL, abs=1)
    apart = run(model, *files, out=tmp_path / "apart", formats="csv", tiles="apart")
    assert len(apart) > len(places)


def test_no_data_is_not_predicted(model, tmp_path, small_blocks):
    places = grid(300, 420)
    image = scene(300, 420, places)
    image[:, :200] = 0
    path = write_tiff(tmp_path / "scene.tif", image, nodata=0)
    table = run(model, path, out=tmp_path / "out", formats="csv")
    assert_found(table, [place for place in places if place[1] > 200])
    blank = write_tiff(tmp_path / "blank.tif", np.zeros((90, 90, 3), np.uint8), nodata=0)
    assert len(run(model, blank, out=tmp_path / "none")) == 0
    assert json.loads((tmp_path / "none/objects.geojson").read_text())["features"] == []


def test_a_run_that_was_stopped_goes_on(model, tmp_path, small_blocks, monkeypatch):
    places = grid(470, 610)
    path = write_tiff(tmp_path / "scene.tif", scene(470, 610, places))
    calls, whole = [], scene_run.predict_tile

    def stopping(image, *, model):
        calls.append(image.shape)
        if len(calls) == 17:
            raise KeyboardInterrupt
        return whole(image, model=model)

    monkeypatch.setattr(scene_run, "predict_tile", stopping)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(model, path, out=out, window=96)
    assert not out.exists()
    table = run(model, path, out=out, window=96)
    assert len(calls) == 5 * 7 + 3  # of three of the third row it is not known that they are done
    assert_found(table, places)
    os.utime(path, ns=(1, 1))  # another file of that name
    with pytest.raises(InputError, match="exists; give another folder, or --overwrite"):
        run(model, path, out=out, window=96)
    run(model, path, out=out, window=96, overwrite="")
    assert len(calls) == 2 * 35 + 3


@pytest.fixture
def onnx():
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is in requirements-onnx.txt, not installed")


def test_onnxruntime_finds_what_torch_finds(onnx, model, tmp_path, small_blocks, monkeypatch):
    write_tiff(tmp_path / "scene.tif", scene(300, 420, grid(300, 420)))
    monkeypatch.setattr(apply, "WHOLE", 150 * 150)
    cv2.imwrite(str(tmp_path / "a.png"), scene(100, 131, grid(100, 131))[..., ::-1])
    by_torch = run(model, tmp_path, out=tmp_path / "torch")
    with monkeypatch.context() as patched:
        patched.setattr(model_calls, "predictors", None)  # those by torch
        by_onnx = run(model, tmp_path, out=tmp_path / "onnx", runtime="onnx")
    assert len(by_onnx) == len(by_torch) == len(grid(300, 420)) + len(grid(100, 131))
    assert by_onnx["image"].tolist() == by_torch["image"].tolist()
    for name in ("x_px", "y_px", "score"):
        np.testing.assert_allclose(by_onnx[name], by_torch[name], atol=0.1)
    assert json.loads((tmp_path / "onnx/about.json").read_text())["options"]["runtime"] == "onnx"
    assert not list(tmp_path.glob("*.work"))


def test_maps_by_torch_are_not_taken_for_those_by_onnxruntime(onnx, model, tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), scene(60, 60, [(20, 20)]))
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(apply, "write_outputs", None)
        with pytest.raises(TypeError):
            run(model, tmp_path / "a.png", out=out)
    calls, whole = [], image_run.image_rows

    def counted(*args, **options):
        calls.append(options["model"].files)
        return whole(*args, **options)

    monkeypatch.setattr(image_run, "image_rows", counted)
    run(model, tmp_path / "a.png", out=out, runtime="onnx")
    assert [len(files) for files in calls] == [1]


def test_a_network_that_onnxruntime_cannot_run(onnx, tmp_path):
    network = tiny_bundle.TOLD["networks"][0]
    other = network["description"] | {"architecture": "PSPNet"}
    model = tiny_bundle.write_rebuilt(tmp_path / "m.maskline.zip", other)
    cv2.imwrite(str(tmp_path / "a.png"), scene(60, 60, [(20, 20)]))
    with pytest.raises(InputError, match="PSPNet with tu-test_resnet, cannot be an ONNX file"):
        run(model, tmp_path / "a.png", out=tmp_path / "out", runtime="onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "m.maskline.zip"]


def test_another_pixel_size_is_told_and_resampled(tmp_path, capsys):
    expected = squares_bundle.TOLD["expected"] | {"pixel_size": PIXEL}
    model = squares_bundle.write(tmp_path / "m.maskline.zip", expected=expected)
    places = grid(200, 240)
    image = np.repeat(np.repeat(scene(200, 240, places), 2, axis=0), 2, axis=1)
    path = write_tiff(tmp_path / "fine.tif", image, pixel=PIXEL / 2)
    run(model, path, out=tmp_path / "a")
    words = "fine has pixels of 0.25 m, the model learnt at 0.5: fewer objects may be found"
    assert words in capsys.readouterr().out
    table = run(model, path, out=tmp_path / "b", match_resolution="")
    assert "0.5: resampled" in capsys.readouterr().out
    assert_found(table, places)
    with rasterio.open(tmp_path / "b/labels/fine.tif") as file:
        assert file.shape == (200, 240)
        assert file.transform.a == PIXEL


def test_large_images_of_other_formats(model, tmp_path, small_blocks):
    places = grid(300, 420)
    cv2.imwrite(str(tmp_path / "a.png"), scene(300, 420, places)[..., ::-1])
    table = run(model, tmp_path / "a.png", out=tmp_path / "out", formats="csv,coco")
    assert_found(table, places)


def test_a_score_in_place_of_the_operating_point(model, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), scene(100, 100, grid(100, 100))[..., ::-1])
    assert len(run(model, tmp_path / "a.png", out=tmp_path / "a", formats="csv")) > 2
    assert len(run(model, tmp_path / "a.png", out=tmp_path / "b", formats="csv", score=1.0)) == 0


def test_what_cannot_be_read_is_listed(model, tmp_path, capsys):
    image = scene(60, 60, [(20, 20)])
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[:-30])
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.tif").write_bytes(b"II*\0")
    write_tiff(tmp_path / "e.tif", image.astype(np.float32))
    table = run(model, tmp_path, out=tmp_path / "out")
    assert set(table["image"]) == {"a"}
    rejected = pd.read_csv(tmp_path / "out/rejected.csv").set_index("image")["reason"]
    assert sorted(rejected.index) == ["b", "c", "d", "e"]
    assert "b.png: damaged image (truncated" in rejected["b"]
    assert "c.jpg: the file is empty" in rejected["c"]
    assert "values of type float32" in rejected["e"]
    assert "4 left out (rejected.csv)" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no image is left; .*b\.png: damaged image"):
        run(model, tmp_path / "b.png", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "none.work").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"formats": "gpkg,shp"}, "--formats shp: unknown"),
        ({"formats": ","}, "--formats: name one of gpkg"),
        ({"formats": "gpkg"}, "none of the images says where on which map it lies"),
        ({"window": 0}, "--window 0: must be from 1 to 8192 px"),
        ({"score": "nan"}, "--score nan: must be a number"),
        ({"simplify": -1}, "--simplify -1.0: must be 0 px or more"),
        ({"scheduler": "local"}, "--scheduler local: must be tcp://host:port"),
        ({"views": "d4"}, "--views d4: squares.maskline.zip predicts with hflip at most"),
        ({"match_resolution": ""}, "the model does not know how large its pixels were"),
    ],
)
def test_options_that_make_no_sense(model, tmp_path, options, words):
    cv2.imwrite(str(tmp_path / "a.png"), scene(40, 40, []))
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        run(model, tmp_path / "a.png", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.work").exists()


def test_images_and_models_that_are_not_there(model, tmp_path):
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("no.png", "no such file or folder"),
        ("*.tif", "no image has such a name"),
        ("empty", "holds no images"),
    ):
        with pytest.raises(InputError, match=words):
            run(model, tmp_path / name, out=tmp_path / "out")
    with pytest.raises(InputError, match="no such file; give a bundle"):
        run(tmp_path / "none.zip", tmp_path / "empty", out=tmp_path / "out")


def test_a_folder_of_something_else_is_not_replaced(model, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), scene(40, 40, []))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear")
    with pytest.raises(InputError, match="was not written by this command"):
        run(model, tmp_path / "a.png", out=tmp_path / "home", overwrite="")
    with pytest.raises(InputError, match="is a file, not a folder"):
        run(model, tmp_path / "a.png", out=tmp_path / "home/letter.txt")
    assert (tmp_path / "home/letter.txt").read_text() == "dear"


def test_the_command_in_a_fresh_folder_with_several_processes(model, tmp_path):
    """It finds neither params.yaml nor DVC there, and its processes predict the same."""
    places = grid(420, 420)
    write_tiff(tmp_path / "scene.tif", scene(420, 420, places))
    cv2.imwrite(str(tmp_path / "a.png"), scene(60, 90, [(20, 20), (30, 60)])[..., ::-1])
    told = {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "deploy.apply", str(model), "scene.tif", "*.png"]
    done = subprocess.run(
        [*command, "--out", "found"], cwd=tmp_path, env=os.environ | told, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"found: {len(places) + 2} objects in 2 images")
    here = run(model, tmp_path / "scene.tif", tmp_path / "a.png", out=tmp_path / "here")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "found/objects.csv"), here)


def test_mistakes_are_one_sentence_on_the_command_line(model, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), scene(40, 40, []))
    command = [sys.executable, "-m", "deploy.apply", str(model), "a.png", "--out", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}: exists; give another folder, or --overwrite to replace it\n"
