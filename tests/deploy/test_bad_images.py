"""Whatever is called an image: each bad one is left out with a reason, and the rest goes on."""

import os
import resource
import runpy
import signal
import sys

import numpy as np
import pandas as pd
import pytest
from rasterio import Affine

from deploy import apply
from src.base.errors import InputError
from tests import squares_bundle
from tests.bad_images import cases, odd_cases, png, tiff
from tests.squares_bundle import grid, scene

NAMES = [name for name, *_ in cases()]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return squares_bundle.write(tmp_path_factory.mktemp("model") / "squares.maskline.zip")


def run(model, *images, out, **options):
    words = [f"--{key}={value}" for key, value in options.items()]
    apply.main([str(model), *map(str, images), "--out", str(out), *words])


def command(monkeypatch, *words):
    """Run the script as a command; return what it says when it fails."""
    monkeypatch.setattr(sys, "argv", ["deploy.apply", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(apply.__file__), run_name="__main__")
    return str(ended.value)


@pytest.fixture(scope="module", params=["whole", "as scenes"])
def left_out(request, model, tmp_path_factory):
    """Return the reasons of all bad files, predicted with a good one."""
    folder, out = tmp_path_factory.mktemp("bad"), tmp_path_factory.mktemp("found") / "out"
    for number, (name, content, _) in enumerate(cases()):
        (folder / f"{number:02}").mkdir()  # since two may differ but in the extension
        (folder / f"{number:02}" / name).write_bytes(content)
    (folder / "good.png").write_bytes(png(scene(60, 60, [(20, 20)])[..., ::-1]))
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "as scenes":
            patched.setattr(apply, "WHOLE", 0)
        run(model, folder, out=out, formats="csv,labels")
    assert pd.read_csv(out / "objects.csv")["image"].tolist() == ["good"]
    assert [path.name for path in (out / "labels").iterdir()] == ["good.tif"]
    table = pd.read_csv(out / "rejected.csv").set_index("image")
    assert not list(out.parent.glob("*.work"))
    return {int(name.split("/")[0]): one for name, one in table["reason"].items()}


def test_there_are_many():
    assert len(NAMES) >= 60
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_bad_image_is_left_out_with_a_reason_in_a_sentence(left_out, number):
    name, _, words = cases()[number]
    reason = left_out[number]
    assert f"/{name}: " in reason
    assert words in reason
    assert "\n" not in reason
    assert "None" not in reason
    assert "images." not in reason  # a key of params.yaml


@pytest.mark.parametrize("whole", [apply.WHOLE, 0])
def test_odd_images_are_images(model, tmp_path, monkeypatch, whole):
    monkeypatch.setattr(apply, "WHOLE", whole)
    sizes = {}
    for number, (name, content) in enumerate(odd_cases()):
        (tmp_path / "odd" / f"{number:02}").mkdir(parents=True)
        (tmp_path / "odd" / f"{number:02}" / name).write_bytes(content)
    run(model, tmp_path / "odd", out=tmp_path / "out", formats="coco")
    found = pd.read_json(tmp_path / "out/coco_images.json", typ="series")["images"]
    sizes = {one["file_name"].split("/")[0]: (one["height"], one["width"]) for one in found}
    assert len(sizes) == len(odd_cases())
    assert sizes["00"] == (1, 1)
    assert sizes["02"] == (1, 5000)
    assert not (tmp_path / "out/rejected.csv").exists()


def damaged(height, width):
    """Return a tiled GeoTIFF file whose middle cannot be unpacked."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    content = bytearray(tiff(noise, compress="deflate", tiled=True, blockxsize=64, blockysize=64))
    middle = len(content) // 2
    content[middle : middle + 5000] = bytes(5000)
    return bytes(content)


def test_a_scene_that_is_damaged_in_its_middle_is_left_out_and_others_go_on(
    model, tmp_path, monkeypatch
):
    monkeypatch.setattr(apply, "WHOLE", 0)
    (tmp_path / "a.tif").write_bytes(damaged(300, 300))
    (tmp_path / "b.tif").write_bytes(tiff(scene(90, 90, grid(90, 90))))
    run(model, tmp_path / "a.tif", tmp_path / "b.tif", out=tmp_path / "out", formats="csv")
    table = pd.read_csv(tmp_path / "out/objects.csv")
    assert table["image"].tolist() == ["b"] * len(grid(90, 90))
    [row] = pd.read_csv(tmp_path / "out/rejected.csv").to_dict("records")
    words = f"{tmp_path / 'a.tif'}: damaged image (GDAL cannot read this TIFF file)"
    assert row == {"image": "a", "reason": words}
    with pytest.raises(InputError, match=r"no image is left; .*a\.tif: damaged image"):
        run(model, tmp_path / "a.tif", out=tmp_path / "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif", "out"]


def test_of_a_mosaic_only_the_damaged_tile_is_left_out(model, tmp_path):
    place = {"crs": "EPSG:32630"}
    for name, left, content in (("a", 0, None), ("b", 128, b"bad"), ("c", 256, None)):
        moved = Affine(1, 0, 4e5 + left, 0, -1, 6e5)
        image = scene(128, 128, grid(128, 128), seed=left)
        one = tiff(image, transform=moved, compress="deflate", **place)
        if content:
            one = one[: len(one) // 2] + bytes(4000) + one[len(one) // 2 + 4000 :]
        (tmp_path / f"{name}.tif").write_bytes(one)
    run(model, tmp_path, out=tmp_path / "out", formats="csv,labels")
    assert pd.read_csv(tmp_path / "out/rejected.csv")["image"].tolist() == ["b"]
    table = pd.read_csv(tmp_path / "out/objects.csv")
    assert len(table) == 2 * len(grid(128, 128))
    assert set(table["image"]) == {"a"}
    assert ((table["x_px"] < 128) | (table["x_px"] > 256)).all()


def test_what_is_no_plain_file_is_left_out(model, tmp_path):
    folder = tmp_path / "photos"
    (folder / "folder.png").mkdir(parents=True)
    (folder / "folder.png/inside.png").write_bytes(png())
    os.symlink(folder / "nowhere", folder / "broken.png")
    os.symlink(folder / "circle.tif", folder / "circle.tif")
    os.mkfifo(folder / "pipe.png")
    with open(os.fsencode(folder) + b"/latin\xe9.png", "wb") as file:
        file.write(png())
    run(model, folder, out=tmp_path / "out", formats="csv")
    table = pd.read_csv(tmp_path / "out/rejected.csv").set_index("image")["reason"]
    assert sorted(table.index) == ["broken", "circle", "latin?", "pipe"]
    assert table["latin?"].endswith("latin?.png: its name, or that of a folder, is not UTF-8; "
                                    "rename it")  # fmt: skip
    for name in ("broken", "circle", "pipe"):
        assert "no such file, or a link to none" in table[name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(model, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(InputError, match=r"a\.png: cannot be opened: Permission denied"):
        run(model, tmp_path / "a.png", out=tmp_path / "out")


def test_places_where_nothing_can_be_written(model, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png())
    for out, words in (
        (tmp_path / "a.png", "a.png: is a file, not a folder to write to"),
        (tmp_path / "a.png" / "out", "out.work: Not a directory; see that it can be read, or"),
        (tmp_path / ("x" * 300), "File name too long; see that"),
        (tmp_path / "latin\udce9", "latin?: is not UTF-8; give another name"),
    ):
        said = command(monkeypatch, model, tmp_path / "a.png", "--out", out)
        assert words in said
        assert "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_name_that_is_too_long(model, tmp_path):
    with pytest.raises(InputError, match=r"xxx: File name too long; correct it"):
        run(model, tmp_path / f"{'x' * 300}.png", out=tmp_path / "out")


@pytest.mark.parametrize("whole", [apply.WHOLE, 0])
@pytest.mark.parametrize("most", [0, 300, 6_000, 40_000])
def test_a_disk_that_is_full(model, tmp_path, monkeypatch, most, whole):
    """A limit on the size of files stands for it; GDAL writes 90 kB, and maps take 36."""
    monkeypatch.setattr(apply, "WHOLE", whole)
    (tmp_path / "a.tif").write_bytes(tiff(scene(200, 180, grid(200, 180)), crs="EPSG:32630",
                                          transform=Affine(1, 0, 4e5, 0, -1, 6e5)))  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["apply", str(model), str(tmp_path / "a.tif"), "--out",
                                      str(tmp_path / "out")])  # fmt: skip
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        said = command(monkeypatch, model, tmp_path / "a.tif", "--out", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "no room is left" in said or "; make room" in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()
    run(model, tmp_path / "a.tif", out=tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out/objects.csv")) == len(grid(200, 180))
