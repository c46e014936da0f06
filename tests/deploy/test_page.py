"""The page in a real browser, by what a person does."""

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import pytest
from PIL import Image

from tests.browsers import ABSENT, BROWSER, SIZES, launch, open_tab
from tests.deploy.test_apply import write_tiff
from tests.squares_bundle import SIDE, grid, scene

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=ABSENT),
]
PLACES = grid(150, 210)
CENTRAL = PLACES[7]
DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: transfer});
    document.getElementById("start").dispatchEvent(event);
  }
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(params=SIZES)
def tab(request, browser, page):
    """A tab that shows the page; fails on what its console says and on requests to elsewhere."""
    tab, said, asked = open_tab(browser, request.param)
    tab.goto(page.url)
    expect(tab.locator("#limits")).not_to_be_empty()
    tab.refused = 0  # answers of 4xx that the test asks for, which the console tells of
    yield tab
    assert len(said) == tab.refused, said
    others = [url for url in asked if not url.startswith((page.url, "blob:" + page.url, "data:"))]
    assert others == []
    tab.context.close()


@pytest.fixture
def field(tmp_path):
    return write_tiff(tmp_path / "field.tif", scene(150, 210, PLACES))


def drop(tab, name, content):
    tab.evaluate(DROP, [name, base64.b64encode(content).decode()])


def show(tab, path):
    tab.set_input_files("#file", path)
    tab.wait_for_selector("#found:not([hidden])")


def count(tab):
    return int(tab.inner_text("#count b").replace(",", ""))


def spot(tab, row, column, shape=(150, 210)):
    """Return where a pixel of an image that fits lies in the canvas, CSS px."""
    box = tab.locator("#canvas").bounding_box()
    height, width = shape
    scale = 0.96 * min(box["width"] / width, box["height"] / height)
    left, top = (box["width"] - scale * width) / 2, (box["height"] - scale * height) / 2
    return {"x": left + scale * column, "y": top + scale * row}


def pixel(tab, at):
    """Return the colour on the screen at a place of the canvas."""
    picture = Image.open(io.BytesIO(tab.locator("#canvas").screenshot()))
    scale = picture.width / tab.locator("#canvas").bounding_box()["width"]
    return np.array(picture.convert("RGB"))[round(at["y"] * scale), round(at["x"] * scale)]


def measured(tab):
    words, values = tab.locator("#measured dt"), tab.locator("#measured dd")
    return dict(zip(words.all_inner_texts(), values.all_inner_texts(), strict=True))


def download(tab, label, folder):
    with tab.expect_download() as waiting:
        tab.get_by_role("button", name=label, exact=True).click()
    path = Path(folder) / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def slide(tab, score):
    tab.locator("#score").evaluate(
        "(slider, score) => { slider.value = score; slider.dispatchEvent(new Event('input')); }",
        score,
    )


def test_an_image_is_dropped_slid_clicked_and_downloaded(tab, page, field, tmp_path):
    drop(tab, "field.tif", field.read_bytes())
    tab.wait_for_selector("#found:not([hidden])")
    assert tab.inner_text("#name") == "field"
    assert count(tab) == len(PLACES)
    assert tab.locator("#over").is_hidden()

    job = next(iter(page.desk.jobs))
    scores = json.loads(page.ask(f"/images/{job}/objects")[1])["scores"]
    asked = []
    tab.on("request", lambda one: asked.append(one.url))
    slide(tab, scores[3])
    assert count(tab) == 4
    assert asked == []  # nothing is computed anew
    got = download(tab, "CSV", tmp_path)
    assert got.name == "field.csv"
    assert len(pd.read_csv(got)) == 4
    slide(tab, 1)
    assert count(tab) == sum(score >= 1 for score in scores)
    tab.locator("#own").click()
    assert count(tab) == len(PLACES)

    for label, name in (("GeoJSON", "field.geojson"), ("GeoPackage", "field.gpkg")):
        got = download(tab, label, tmp_path)
        assert got.name == name
        assert len(pyogrio.raw.read(got)[2]) == len(PLACES)
    assert download(tab, "Label map", tmp_path).name == "field_labels.tif"
    assert download(tab, "COCO", tmp_path).name == "field_coco.zip"

    table = pd.read_csv(tmp_path / "field.csv")
    place = table.iloc[0]
    tab.locator("#canvas").click(position=spot(tab, place["y_px"], place["x_px"]))
    assert tab.inner_text("#which") == "Object 1"
    found = measured(tab)
    assert found["Score"] == f"{place['score']:.3f}"
    assert found["Area"] == f"{place['area_px']:.0f} px, {place['area_m2']:.2f} m²"
    colour = ", ".join(f"{place[f'mean_{one}']:.0f}" for one in ("red", "green", "blue"))
    assert found["Mean colour"] == colour
    tab.locator("#canvas").click(position=spot(tab, 2, 2))
    assert tab.inner_text("#which") == "No object chosen"
    assert measured(tab) == {}


def test_outlines_lie_over_the_objects_and_go(tab, field):
    show(tab, field)
    row, column = CENTRAL
    edge, inside = spot(tab, row + SIDE / 2, column), spot(tab, row + SIDE / 2, column + SIDE / 2)
    yellow = pixel(tab, edge).astype(int)
    assert yellow[:2].min() > yellow[2] + 60
    tab.locator("#lines").click()
    assert tab.get_attribute("#lines", "aria-pressed") == "false"
    time.sleep(0.1)
    assert np.ptp(pixel(tab, edge).astype(int)) < 45
    assert pixel(tab, inside).min() > 150  # a square
    assert pixel(tab, spot(tab, row + SIDE / 2, column - 8)).max() < 110  # the ground beside it


def test_keys_and_buttons_do_what_the_mouse_does(tab, field):
    show(tab, field)
    row, column = CENTRAL
    middle = spot(tab, 75, 105)
    tab.locator("#canvas").focus()
    for key in ("n", "n", "p"):
        tab.keyboard.press(key)
    assert tab.inner_text("#which") == "Object 1"
    tab.keyboard.press("p")
    assert tab.inner_text("#which") == f"Object {len(PLACES)}"
    tab.keyboard.press("Escape")
    assert tab.inner_text("#which") == "No object chosen"
    tab.get_by_role("button", name="Next object").press("Enter")
    assert tab.inner_text("#which") == "Object 1"
    tab.locator("#score").focus()
    tab.keyboard.press("End")
    assert count(tab) == 0
    tab.keyboard.press("Home")
    assert count(tab) >= len(PLACES)
    tab.locator("#own").click()
    # The keys enlarge about the middle.
    tab.locator("#canvas").focus()
    where = spot(tab, row + SIDE / 2, column + SIDE / 2)
    for _ in range(4):
        tab.keyboard.press("+")
    factor = 1.25**4
    moved = {axis: middle[axis] + factor * (where[axis] - middle[axis]) for axis in "xy"}
    tab.locator("#canvas").click(position=moved)
    assert tab.inner_text("#which") != "No object chosen"
    tab.keyboard.press("ArrowRight")
    tab.locator("#fit").click()
    tab.keyboard.press("Escape")
    tab.locator("#canvas").click(position=where)
    assert tab.inner_text("#which") != "No object chosen"


def test_the_wheel_zooms_where_the_pointer_is_and_dragging_moves(tab, field):
    show(tab, field)
    row, column = CENTRAL
    where = spot(tab, row + SIDE / 2, column + SIDE / 2)
    box = tab.locator("#canvas").bounding_box()
    tab.mouse.move(box["x"] + where["x"], box["y"] + where["y"])
    for _ in range(8):
        tab.mouse.wheel(0, -300)
    time.sleep(0.3)
    assert pixel(tab, where).min() > 150
    around = [{"x": where["x"] + step, "y": where["y"]} for step in (-12, 12)]
    assert all(pixel(tab, one).min() > 150 for one in around)  # now wider than it was
    tab.locator("#fit").click()
    tab.mouse.move(box["x"] + where["x"], box["y"] + where["y"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + where["x"] + 30, box["y"] + where["y"] + 20, steps=4)
    tab.mouse.up()
    assert tab.inner_text("#which") == "No object chosen"  # it was no click
    tab.locator("#canvas").click(position={"x": where["x"] + 30, "y": where["y"] + 20})
    assert tab.inner_text("#which") != "No object chosen"


def test_two_fingers_zoom(tab, field):
    show(tab, field)
    row, column = CENTRAL
    where = spot(tab, row + SIDE / 2, column + SIDE / 2)
    tab.locator("#canvas").evaluate(
        """(canvas, [x, y]) => {
          const box = canvas.getBoundingClientRect();
          canvas.setPointerCapture = () => {};
          const tell = (kind, pointerId, dx) => canvas.dispatchEvent(new PointerEvent(kind, {
            pointerId, clientX: box.x + x + dx, clientY: box.y + y, bubbles: true}));
          tell("pointerdown", 1, -10); tell("pointerdown", 2, 10);
          for (let step = 1; step <= 20; step += 1) {
            tell("pointermove", 1, -10 - 2 * step); tell("pointermove", 2, 10 + 2 * step);
          }
          tell("pointerup", 1, -50); tell("pointerup", 2, 50);
        }""",
        [where["x"], where["y"]],
    )
    time.sleep(0.2)
    assert tab.inner_text("#which") == "No object chosen"
    scale = 0.96 * min(
        tab.locator("#canvas").bounding_box()["width"] / 210,
        tab.locator("#canvas").bounding_box()["height"] / 150,
    )
    near = {"x": where["x"] + 0.4 * SIDE * scale * 2, "y": where["y"]}  # outside before
    assert pixel(tab, near).min() > 150


def test_files_that_are_refused_leave_a_sentence(tab, page, serve, field, tmp_path):
    (tmp_path / "letter.png").write_bytes(b"dear diary")
    tab.set_input_files("#file", tmp_path / "letter.png")
    tab.wait_for_selector("#mistake:not([hidden])")
    assert tab.inner_text("#mistake") == "letter: not a readable image"
    tab.refused += 1
    assert tab.locator("#start").is_visible()
    huge = tmp_path / "huge.tif"
    with huge.open("wb") as file:
        file.truncate(21_000_000)
    tab.set_input_files("#file", huge)
    expect(tab.locator("#mistake")).to_contain_text("huge")
    assert tab.inner_text("#mistake") == (
        "huge.tif: its 21 MB are more than the 20 MB that this page takes; python -m deploy.apply "
        "takes files of any size."
    )
    large = write_tiff(tmp_path / "large.tif", np.zeros((1500, 1500, 3), np.uint8), compress="lzw")
    tab.set_input_files("#file", large)
    expect(tab.locator("#mistake")).to_contain_text("large")
    assert "more than the 2 megapixels that this page takes" in tab.inner_text("#mistake")
    tab.refused += 1
    broken = scene(60, 60, []).astype(np.float32)
    tab.set_input_files("#file", write_tiff(tmp_path / "broken.tif", broken))
    expect(tab.locator("#mistake")).to_contain_text("broken")
    assert "values of type float32" in tab.inner_text("#mistake")
    show(tab, field)  # and the next one is shown
    assert tab.locator("#mistake").is_hidden()
    assert count(tab) == len(PLACES)


def test_a_result_that_is_gone_is_told(tab, page, field):
    show(tab, field)
    page.ask(f"/images/{next(iter(page.desk.jobs))}", "DELETE")
    tab.get_by_role("button", name="CSV").click()
    tab.wait_for_selector("#mistake:not([hidden])")
    assert "no longer kept here; hand it over again" in tab.inner_text("#mistake")
    tab.refused += 1


def test_an_image_on_no_map_and_a_name_that_looks_like_code(tab, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    path = tmp_path / name
    Image.fromarray(scene(60, 90, [(20, 20), (30, 60)])).save(path)
    show(tab, path)
    assert tab.inner_text("#name") == "img_src_x_onerror_alert_1"
    assert count(tab) == 2
    assert tab.get_by_role("button", name="GeoPackage").is_disabled()
    assert tab.locator("#nowhere").is_visible()
    got = download(tab, "GeoJSON", tmp_path)
    assert len(json.loads(got.read_text())["features"]) == 2


def test_nothing_is_cut_off(tab, field):
    show(tab, field)
    tab.locator("#next").click()
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = tab.evaluate("""() => [...document.querySelectorAll("button, dd, dt, h2, h3, p, label")]
      .filter((one) => one.offsetParent && (one.scrollWidth > one.clientWidth + 1
        && getComputedStyle(one).display !== "inline"
        || one.getBoundingClientRect().right > innerWidth + 1))
      .map((one) => one.id || one.textContent)""")
    assert cut == []
    contrast = tab.evaluate("""() => [...document.querySelectorAll("p, dt, dd, h2, button:enabled")]
      .filter((one) => one.offsetParent).map((one) => {
        const light = (colour) => {
          const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
            const part = value / 255;
            return part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
          });
          return .2126 * r + .7152 * g + .0722 * b;
        };
        let behind = one;
        const ground = (part) => getComputedStyle(part).backgroundColor;
        while (ground(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        const two = [light(getComputedStyle(one).color), light(ground(behind))];
        return (Math.max(...two) + .05) / (Math.min(...two) + .05);
      })""")
    assert min(contrast) >= 4.5  # WCAG 2.1, AA


def test_a_page_that_is_closed_leaves_nothing(tab, page, field):
    show(tab, field)
    assert len(list(page.desk.folder.iterdir())) == 1
    tab.close()
    end = time.monotonic() + 20
    while list(page.desk.folder.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)
