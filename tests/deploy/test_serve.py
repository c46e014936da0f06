import io
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
from pycocotools.coco import COCO

pytest.importorskip("fastapi", reason="requirements-serve.txt is not installed")

from deploy import apply, jobs, serve
from src.base.errors import InputError
from src.delivering import scene_run
from src.scenes import model_calls
from src.scenes.scene_objects import Blocks
from tests.deploy.test_apply import write_tiff
from tests.served_page import Served
from tests.squares_bundle import grid, scene

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "deploy/page"


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def small(seed=0):
    return png(scene(60, 90, [(20, 20), (30, 60)], seed))


def get_json(page, address):
    return json.loads(page.ask(address)[1])


def refusal(answer):
    status, content, _ = answer
    return status, json.loads(content)["detail"]


def until(happened):
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def on_map(tmp_path):
    """A GeoTIFF with squares."""
    return write_tiff(tmp_path / "field.tif", scene(150, 210, grid(150, 210)))


@pytest.fixture
def held(monkeypatch):
    """Hold every computation until the event is set; see how many there were at once."""
    free, begun, at_once = threading.Event(), threading.Event(), []
    whole = jobs.find_objects

    def holding(*given, **options):
        at_once.append(1 + at_once[-1] if at_once else 1)
        begun.set()
        assert free.wait(60)
        result = whole(*given, **options)
        at_once.append(at_once[-1] - 1)
        return result

    monkeypatch.setattr(jobs, "find_objects", holding)
    yield free, begun, at_once
    free.set()


def test_what_is_downloaded_is_what_the_command_writes(page, squares, on_map, tmp_path):
    out = tmp_path / "out"
    apply.main([str(squares), str(on_map), "--out", str(out)])
    job = page.hand_over(on_map.read_bytes(), "field.tif")
    state = page.wait(job)
    assert (state["width"], state["height"], state["on_map"]) == (210, 150, True)
    own = get_json(page, "/model")["score"]
    for form, file in (("csv", "objects.csv"), ("geojson", "objects.geojson")):
        status, content, headers = page.ask(f"/images/{job}/{form}?score={own}")
        assert (status, content) == (200, (out / file).read_bytes())
        assert headers["Content-Disposition"] == f"attachment; filename*=UTF-8''field.{form}"
    content = page.ask(f"/images/{job}/labels?score={own}")[1]
    assert content == (out / "labels/field.tif").read_bytes()
    content = page.ask(f"/images/{job}/coco?score={own}")[1]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            assert archive.read(name) == (out / name).read_bytes()
    (tmp_path / "field.gpkg").write_bytes(page.ask(f"/images/{job}/gpkg?score={own}")[1])
    two = [pyogrio.raw.read(path) for path in (out / "objects.gpkg", tmp_path / "field.gpkg")]
    assert [one.tolist() for one in two[0][3]] == [one.tolist() for one in two[1][3]]
    assert two[0][2].tolist() == two[1][2].tolist()


def test_downloads_have_the_objects_of_the_score_and_open_again(page, on_map, tmp_path):
    job = page.hand_over(on_map.read_bytes(), "field.tif")
    page.wait(job)
    shown = get_json(page, f"/images/{job}/objects")
    assert shown["scores"] == sorted(shown["scores"], reverse=True)
    ids = [row[shown["columns"].index("id")] for row in shown["rows"]]
    assert ids == list(range(1, len(ids) + 1))
    score = shown["scores"][4]
    count = sum(one >= score for one in shown["scores"])
    assert 5 <= count < len(ids)
    files = {}
    for form in jobs.FORMATS:
        status, files[form], _ = page.ask(f"/images/{job}/{form}?score={score!r}")
        assert status == 200, form
        (tmp_path / f"got.{form}").write_bytes(files[form])
    table = pd.read_csv(tmp_path / "got.csv")
    columns = [name for name in shown["columns"] if name != "score"]
    for name in columns:
        at = shown["columns"].index(name)
        assert table[name].tolist() == [row[at] for row in shown["rows"][:count]], name
    for form, crs in (("gpkg", "EPSG:32630"), ("geojson", "EPSG:4326")):
        meta, _, _, fields = pyogrio.raw.read(tmp_path / f"got.{form}")
        assert (meta["crs"], len(fields[0])) == (crs, count)
    with rasterio.open(tmp_path / "got.labels") as file:
        labels = file.read(1)
    assert (
        np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist() == table["area_px"].tolist()
    )
    with zipfile.ZipFile(tmp_path / "got.coco") as archive:
        assert archive.namelist() == ["coco_images.json", "coco_results.json"]
        archive.extractall(tmp_path)
    found = COCO(tmp_path / "coco_images.json").loadRes(str(tmp_path / "coco_results.json"))
    assert len(found.getAnnIds()) == count
    for number, rings in enumerate(shown["outlines"][:count]):
        drawn = np.zeros(labels.shape, np.uint8)
        corners = np.array(rings[0]).reshape(-1, 2)
        cv2.fillPoly(drawn, [np.round(corners - 0.5).astype(int)], 1)
        inside = labels == number + 1
        assert np.count_nonzero(drawn[inside]) > 0.9 * inside.sum()


def test_a_scene_goes_by_windows_and_keeps_what_the_model_accepts(
    page, squares, on_map, tmp_path, monkeypatch
):
    monkeypatch.setattr(apply, "WHOLE", 0)
    monkeypatch.setattr(model_calls, "TILE", 96)
    monkeypatch.setattr(scene_run, "BLOCKS", Blocks(100, 50))
    apply.main([str(squares), str(on_map), "--out", str(tmp_path / "out"), "--formats", "csv"])
    wanted = pd.read_csv(tmp_path / "out/objects.csv")
    job = page.hand_over(on_map.read_bytes(), "field.tif")
    state = page.wait(job)
    assert (state["whole"], state["lowest"]) == (False, 0.5)
    content = page.ask(f"/images/{job}/csv?score=0")[1]
    found = pd.read_csv(io.BytesIO(content))
    wanted = wanted.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(found.drop(columns="id"), wanted.drop(columns="id"))
    picture = cv2.imdecode(np.frombuffer(page.ask(f"/images/{job}/picture")[1], np.uint8), 1)
    assert (picture[..., ::-1] == scene(150, 210, grid(150, 210))).all()


def test_objects_below_the_models_own_score_are_kept_of_an_image(serve, squares, monkeypatch):
    bundle = model_calls.read_model(model_calls.open_model(squares, None, None))
    assert bundle.learnt.point.score == 0.5
    monkeypatch.setattr(jobs, "LOWEST", 1.99)  # as with a model whose own score is higher
    with serve() as page:
        job = page.hand_over(small())
        assert page.wait(job)["lowest"] == pytest.approx(0.995)
        assert get_json(page, f"/images/{job}/objects")["scores"] == []
        assert page.ask(f"/images/{job}/csv?score=0")[1].count(b"\n") == 1


def test_a_large_picture_is_shown_smaller(page, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_SHOWN", 45)
    monkeypatch.setattr(jobs, "LOSSLESS", 100)
    job = page.hand_over(small())
    page.wait(job)
    _, content, headers = page.ask(f"/images/{job}/picture")
    assert headers["Content-Type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(content, np.uint8), 1).shape == (30, 45, 3)


def test_pixels_of_another_size_are_told(page, squares, tmp_path, monkeypatch):
    expected = model_calls.read_model(page.desk.model).manifest.expected
    monkeypatch.setitem(expected.__dict__, "pixel_size", 0.25)
    path = write_tiff(tmp_path / "far.tif", scene(60, 90, [(20, 20)]))
    state = page.wait(page.hand_over(path.read_bytes(), "far.tif"))
    words = "far has pixels of 0.5 m, the model learnt at 0.25 m: fewer objects may be found"
    assert state["note"] == words


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "[::2]:1", "[", "a@localhost"],
)
def test_another_host_is_refused(page, host):
    for address in ("/", "/model", "/images/x"):
        status, words = refusal(page.ask(address, Host=host))
        assert status == 403
        assert words.startswith("this page answers to 127.0.0.1, ::1, localhost, not to '")


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8000", "LocalHost"])
def test_names_of_this_machine_are_answered(page, host):
    assert page.ask("/model", Host=host)[0] == 200


def test_a_name_that_was_given_is_answered(serve):
    with serve(names=("Desk.example",)) as page:
        assert page.ask("/model", Host="desk.example:80")[0] == 200


def test_pages_of_other_sites_have_no_access(page):
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{page.port + 1}"):
        status, words = refusal(page.ask("/images", "POST", small(), Origin=origin))
        assert (status, words) == (403, f"pages of '{origin}' have no access")
    assert page.ask("/images", "POST", small(), Origin=page.url)[0] == 201


def test_every_answer_lets_the_page_run_its_own_code_alone(page):
    for address in ("/", "/page.js", "/nothing", "/docs", "/openapi.json", "/page/page.js"):
        status, _, headers = page.ask(address)
        assert status == (200 if address in serve.PAGE_FILES else 404)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_has_no_code_in_its_lines_and_no_address_of_elsewhere():
    """The policy would stop such code, and the page would be dead."""
    for path in PAGE.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in text.replace("// ", ""), path
        assert not re.search(r"<[^>]*\s(on\w+|style)\s*=", text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)


def test_a_file_that_is_too_large_leaves_nothing(serve):
    with serve(megabytes=0.01) as page:
        words = "a file of more than 0.01 MB is too large for this page; python -m deploy.apply"
        status, said = refusal(page.ask("/images", "POST", b"", Content_Length=str(10**12)))
        assert status == 413
        assert said.startswith(words)
        parts = iter([bytes(6000), bytes(6000)])  # of which nobody said how many there are
        assert refusal(page.ask("/images", "POST", parts)) == (
            413,
            said,
        )
        assert page.ask("/images", "POST", small()[:10000])[0] == 422
        assert list(page.desk.folder.iterdir()) == []


def test_an_upload_that_is_broken_off_leaves_nothing(page, capfd):
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        begin = (
            f"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(small())}\r\n\r\n"
        )
        connection.sendall(begin.encode() + small()[:5000])
        until(lambda: list(page.desk.folder.iterdir()))
    until(lambda: not list(page.desk.folder.iterdir()))
    assert page.wait(page.hand_over(small()))["state"] == "done"
    assert capfd.readouterr().err == ""


def test_an_image_that_is_too_large_is_refused_in_a_sentence(serve):
    with serve(megapixels=0.005) as page:
        status, words = refusal(page.ask("/images", "POST", small(), X_File_Name="a.png"))
    assert status == 422
    assert words == (
        "a: its 90 x 60 px are more than the 0.005 megapixels that this page takes; python -m "
        "deploy.apply squares.maskline.zip IMAGE --out found takes images of any size"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a: the file is empty (0 bytes)"),
        (b"dear diary", "a: not a readable image"),
        (small()[:-30], "a: damaged image (truncated: its end is missing)"),
        (b"II*\0", "a: "),
    ],
)
def test_what_is_no_image_is_refused_by_its_name(page, content, words):
    status, said = refusal(page.ask("/images", "POST", content, X_File_Name="a.png"))
    assert status == 422
    assert said.startswith(words)
    assert str(page.desk.folder) not in said
    assert list(page.desk.folder.iterdir()) == []


def test_an_image_that_cannot_be_read_fails_by_its_name_and_the_next_one_is_done(page, tmp_path):
    image = scene(60, 60, [(20, 20)]).astype(np.float32)
    content = write_tiff(tmp_path / "broken.tif", image).read_bytes()
    broken, whole = page.hand_over(content, "broken.tif"), page.hand_over(small())
    state = page.wait(broken)
    assert state["state"] == "failed"
    assert state["reason"].startswith("broken: values of type float32")
    assert page.wait(whole)["state"] == "done"
    assert page.ask(f"/images/{broken}/objects")[0] == 404
    assert [path.name for path in page.desk.folder.iterdir()] == [whole]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("C:%5Ctemp%5C..%5Cb.tif", "b"),
        ("%3Cb%3E%22%0D%0Ax.tif", "b_x"),
        ("%3D1+1.csv", "1_1"),
        ("h%C3%A4user%20am%20see.jpg", "häuser_am_see"),
        ("", "image"),
        ("..", "image"),
        ("x" * 300, "x" * 60),
    ],
)
def test_of_the_name_of_a_file_letters_are_kept(page, given, name):
    job = page.hand_over(small(), given)
    assert page.wait(job)["name"] == name
    status, content, _ = page.ask(f"/images/{job}/csv?score=0.5")
    assert status == 200
    assert set(pd.read_csv(io.BytesIO(content))["image"].astype(str)) == {name}
    assert len(list(page.desk.folder.iterdir())) == 1


def test_what_is_not_there_is_said(page, held):
    free, *_ = held
    gone = (404, "this image is no longer kept here; hand it over again")
    for address in ("", "/objects", "/picture", "/csv?score=0"):
        assert refusal(page.ask(f"/images/none{address}")) == gone
    for address in ("/images/..%2F..%2Fdeploy", "/images/x/..%2Fpicture", "/../deploy/serve.py"):
        assert page.ask(address)[0] == 404
    job = page.hand_over(small())
    early = (404, "a: there is nothing to show of it")
    assert refusal(page.ask(f"/images/{job}/objects")) == early
    assert page.ask(f"/images/{job}/csv?score=0")[0] == 422
    free.set()
    page.wait(job)
    status, words = refusal(page.ask(f"/images/{job}/shp?score=0"))
    assert (status, words) == (404, "'shp' is no format; known: geojson, gpkg, coco, labels, csv")
    assert page.ask(f"/images/{job}/csv")[0] == 422
    words = "a: lies on no known map, which gpkg needs; take geojson, then in px"
    assert refusal(page.ask(f"/images/{job}/gpkg?score=0")) == (422, words)
    document = json.loads(page.ask(f"/images/{job}/geojson?score=0.5")[1])
    assert len(document["features"]) == 2


def test_two_at_once_are_done_one_after_the_other(page, held):
    free, begun, at_once = held
    first, second = page.hand_over(small(0)), page.hand_over(small(1))
    assert begun.wait(60)
    assert page.state(first)["state"] == "working"
    waiting = page.state(second)
    assert (waiting["state"], waiting["before"]) == ("waiting", 1)
    free.set()
    assert [page.wait(job)["state"] for job in (first, second)] == ["done", "done"]
    assert at_once == [1, 0, 1, 0]


def test_no_more_wait_than_few(page, held, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    free, begun, _ = held
    page.hand_over(small())
    assert begun.wait(60)
    page.hand_over(small())
    page.hand_over(small())
    words = "2 images wait already; try again when they are done"
    assert refusal(page.ask("/images", "POST", small())) == (422, words)
    assert len(list(page.desk.folder.iterdir())) == 3


def test_what_nobody_waits_for_is_stopped_and_removed(page, held):
    free, begun, _ = held
    first, second = page.hand_over(small()), page.hand_over(small())
    assert begun.wait(60)
    for job in (second, first):
        assert page.ask(f"/images/{job}", "DELETE")[0] == 204
    assert page.ask(f"/images/{first}")[0] == 404
    free.set()
    third = page.hand_over(small())
    page.wait(third)
    assert [path.name for path in page.desk.folder.iterdir()] == [third]
    assert page.ask(f"/images/{third}", "DELETE")[0] == 204
    assert list(page.desk.folder.iterdir()) == []


def test_few_images_are_kept(page, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_KEPT", 2)
    done = []
    for number in range(4):
        done.append(page.hand_over(small(number)))
        page.wait(done[-1])
        files = {path.relative_to(page.desk.folder).name for path in page.desk.folder.glob("*/*")}
        assert files == {"objects.parquet", "page.json", "picture"}
    assert sorted(path.name for path in page.desk.folder.iterdir()) == sorted(done[2:])
    assert [page.ask(f"/images/{job}")[0] for job in done] == [404, 404, 200, 200]


def test_a_defect_is_told_and_the_next_image_is_done(page, monkeypatch, capsys):
    whole = jobs.find_objects
    monkeypatch.setattr(jobs, "find_objects", lambda *_, **__: 1 / 0)
    reason = page.wait(page.hand_over(small()))["reason"]
    assert reason == "a: failed; the terminal in which the page was started says more"
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setattr(jobs, "find_objects", whole)
    assert page.wait(page.hand_over(small()))["state"] == "done"


@pytest.mark.slow
def test_the_command_ends_without_a_trace(squares, tmp_path):
    (tmp_path / "temporary").mkdir()
    told = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "TMPDIR": str(tmp_path / "temporary"),
    }
    command = [sys.executable, "-m", "deploy.serve", str(squares), "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | told, stdout=-1, stderr=-1, text=True
    ) as process:
        said = process.stdout.readline()
        port = re.fullmatch(r"Open http://127\.0\.0\.1:(\d+) in a browser; Ctrl-C ends it\n", said)
        page = Served(int(port[1]), None)
        page.wait(page.hand_over(small()))
        assert len(list(tmp_path.glob("temporary/maskline-*/*/objects.parquet"))) == 1
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.glob("temporary/maskline-*")) == []


def test_mistakes_are_one_sentence(squares, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = rf"--host 127\.0\.0\.1 --port {port}: cannot be listened on \(.+\); give another"
        with pytest.raises(InputError, match=words):
            serve.main([str(squares), "--port", port])
    with pytest.raises(InputError, match="--port 99999: must be from 0 to 65535"):
        serve.main([str(squares), "--port", "99999"])
    with pytest.raises(InputError, match="--megabytes 0.0: must be above 0"):
        serve.main([str(squares), "--megabytes", "0"])
    with pytest.raises(InputError, match="none.zip: no such file; give a bundle"):
        serve.main([str(tmp_path / "none.zip"), "--port", "0"])


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(
        SystemExit, match="the page needs fastapi, which is not installed: make serve"
    ):
        runpy.run_path(str(ROOT / "deploy/serve.py"))
