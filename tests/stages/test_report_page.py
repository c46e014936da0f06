"""The page of the report in a real browser, by what a person does."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.browsers import ABSENT, BROWSER, SIZES, counted_clicks, cut_off, launch, open_tab
from tests.explored_run import EVIL, OTHER, write_run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=ABSENT),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("other"), OTHER)


@pytest.fixture(params=SIZES)
def tab(request, browser):
    """A tab without a page; fails on what its console says and on any request but for files."""
    tab, said, asked = open_tab(browser, request.param)
    tab.asked = asked
    yield tab
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    tab.context.close()


def show(tab, page, hash_=""):
    tab.goto(page.as_uri() + hash_)
    expect(tab.locator("#gallery .thumb").first).to_be_visible()


def names(tab):
    return [one.strip() for one in tab.locator("#gallery .thumb b").all_inner_texts()]


def counts(tab, which="set-counts"):
    words = tab.locator(f"#{which} dt").all_inner_texts()
    values = tab.locator(f"#{which} dd b").all_inner_texts()
    return dict(zip(words, values, strict=True))


def slide(tab, score, which="score"):
    tab.locator(f"#{which}").evaluate(
        "(slider, score) => { slider.value = score; slider.dispatchEvent(new Event('input')); }",
        score,
    )


def colour_at(tab, column, row, pane=0):
    """Return the colour on the screen at a place of the image, px; red, green and blue."""
    tab.wait_for_timeout(200)
    canvas = tab.locator("#panes canvas").nth(pane)
    x, y = canvas.evaluate(
        """(canvas, [x, y]) => {
          const {a, d, e, f} = canvas.getContext("2d").getTransform();
          return [(a * x + e) / canvas.width, (d * y + f) / canvas.height];
        }""",
        [column, row],
    )
    picture = np.array(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)
    return picture[int(y * picture.shape[0]), int(x * picture.shape[1])].tolist()


def test_counts_at_the_operating_point_are_those_of_the_metrics(tab, run):
    metrics = json.loads((run.parents[1] / "metrics.json").read_text())
    show(tab, run)
    for split in ("val", "oof"):
        tab.locator("#set").select_option(split)
        tab.wait_for_timeout(150)
        told = counts(tab)
        for name, key in (("F1", "f1_50"), ("precision", "precision_50"), ("recall", "recall_50")):
            assert told[name] == f"{metrics[f'{split}.{key}']:.3f}"
        assert int(told["found"]) + int(told["wrong"]) == metrics[f"{split}.detections"]
        assert int(told["found"]) + int(told["missed"]) == metrics[f"{split}.objects"]


def test_the_worst_image_comes_first_and_says_why(tab, run):
    show(tab, run)
    assert names(tab) == ["c.png", "e.png", EVIL, "a.png", "d.png", "f.png"]
    first = tab.locator("#gallery .thumb").first
    expect(first).to_contain_text("F1 0.000")
    expect(first).to_contain_text("3 merged")
    first.click()
    expect(tab.locator("#viewer-name")).to_have_text("c.png")
    assert tab.locator("#errors b").all_inner_texts() == ["missed: merged"] * 2 + ["merged"]


def test_sliding_the_score_tells_what_it_costs(tab, run):
    show(tab, run)
    assert counts(tab) == {
        "found": "5", "wrong": "2", "missed": "4",
        "precision": "0.714", "recall": "0.556", "F1": "0.625",
    }  # fmt: skip
    slide(tab, 0.78)
    expect(tab.locator("#cut-words")).to_have_text(
        "Against the operating point 1 object fewer found and 2 wrong detections fewer."
    )
    told = counts(tab)
    assert [told[name] for name in ("found", "wrong", "missed")] == ["4", "0", "5"]
    assert told["F1"] == "0.615"
    slide(tab, 0.3)  # the detection of that score too
    expect(tab.locator("#set-counts")).to_contain_text("+1")
    assert [counts(tab)[name] for name in ("found", "wrong", "missed")] == ["6", "3", "3"]
    tab.locator("#cut .point").click()
    expect(tab.locator("#cut-words")).to_contain_text("At the operating point")
    assert counts(tab)["found"] == "5"
    tab.wait_for_url(lambda url: "score" not in url)


def test_images_are_filtered_and_sorted(tab, run):
    show(tab, run)
    tab.locator("#kind").select_option("missed")
    expect(tab.locator("#shown")).to_have_text("2 of 6 images: F1 0.400")
    assert names(tab)[0] == "e.png"
    tab.locator("#kind").select_option("")
    tab.locator("#group").select_option("g1")
    expect(tab.locator("#shown")).to_contain_text("2 of 6 images")
    tab.locator("#group").select_option("")
    tab.locator("#text").fill("SOUTH")  # of its metadata
    expect(tab.locator("#shown")).to_contain_text("1 of 6 images")
    assert names(tab) == ["c.png"]
    tab.locator("#text").fill("")
    tab.locator("#sort").select_option("dice")
    tab.locator("#falling").select_option("1")
    tab.locator("#least").fill("0.5")
    tab.locator("#most").fill("0.99")
    expect(tab.locator("#shown")).to_contain_text("2 of 6 images")
    assert names(tab) == ["c.png", EVIL]
    tab.locator("#reset").click()
    expect(tab.locator("#shown")).to_have_text("9 images")
    tab.locator("#set").select_option("test")
    expect(tab.locator("#gallery .thumb")).to_have_count(1)
    expect(tab.locator("#gallery .thumb")).to_contain_text("1 detection")


def test_layers_are_drawn_and_switched(tab, run):
    show(tab, run, "#image=val/b&layers=tfn")
    assert colour_at(tab, 10, 4) == pytest.approx([86, 180, 233], abs=25)  # edge of A
    wrong, missed = colour_at(tab, 34, 34), colour_at(tab, 30, 10)
    assert wrong[0] > wrong[2] + 30
    assert missed[1] > 138  # a quarter of the yellow over (170, 120, 100)
    tab.keyboard.press("2")
    assert abs(colour_at(tab, 34, 34)[0] - colour_at(tab, 34, 34)[2]) < 12  # the ground
    tab.keyboard.press("3")
    assert colour_at(tab, 30, 10)[1] < 132
    tab.wait_for_url(re.compile("layers=t$"))
    tab.keyboard.press("5")
    green = colour_at(tab, 34, 34)
    assert green[1] > green[0] + 60  # 0.68
    assert max(colour_at(tab, 30, 34)) > max(colour_at(tab, 20, 34))
    tab.locator("#viewer [data-layer=p]").click()
    assert abs(colour_at(tab, 34, 34)[1] - colour_at(tab, 34, 34)[0]) < 12


def test_the_truth_is_shown_beside_what_was_predicted(tab, run):
    show(tab, run, "#image=val/c&layers=tfng")
    tab.locator("#view").select_option("truth")
    expect(tab.locator("#panes figcaption").first).to_have_text("Truth")
    assert tab.locator("#panes canvas:visible").count() == 2
    truth, found = colour_at(tab, 20, 10), colour_at(tab, 20, 10, pane=1)
    assert abs(truth[0] - truth[2]) < 12  # between A and B
    assert found[0] > found[2] + 30
    tab.keyboard.press("v")
    assert tab.locator("#panes canvas:visible").count() == 1


def test_the_keys_do_what_the_mouse_does(tab, run):
    show(tab, run)
    tab.locator("#gallery .thumb").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    expect(tab.locator("#viewer-name")).to_have_text("e.png")
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator("#viewer-name")).to_have_text("c.png")
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator("#viewer-name")).to_have_text("f.png")
    before = tab.evaluate("look.zoom")
    for key in ("+", "+", "-"):
        tab.keyboard.press(key)
    assert tab.evaluate("look.zoom") == pytest.approx(before * 1.25)
    tab.keyboard.press("Shift+ArrowRight")
    assert tab.evaluate("look.x") == pytest.approx(0.6)
    tab.keyboard.press("0")
    assert tab.evaluate("[look.zoom, look.x]") == [1, 0.5]
    tab.keyboard.press("]")
    expect(tab.locator("#viewer-told")).to_have_text("0.660")
    tab.keyboard.press("\\")
    expect(tab.locator("#viewer-told")).to_have_text("0.650, the operating point")
    tab.keyboard.press("?")
    expect(tab.locator("#help")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.locator("#help")).to_be_hidden()
    expect(tab.locator("#viewer")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.locator("#viewer")).to_be_hidden()
    tab.wait_for_url(lambda url: "image" not in url)


def test_an_error_is_zoomed_to(tab, run):
    show(tab, run, "#image=val/b")
    tab.locator("#errors button").nth(1).click()  # D, 28 to 40 px of 48
    assert tab.evaluate("[look.x, look.y]") == pytest.approx([34 / 48, 34 / 48])
    assert tab.evaluate("look.zoom") == pytest.approx(4 / 3)
    tab.keyboard.press("e")
    assert tab.evaluate("look.chosen") == 0
    assert tab.evaluate("[look.x, look.y]") == pytest.approx([30 / 48, 10 / 48])


def test_the_wheel_zooms_where_the_pointer_is_and_dragging_moves(tab, run):
    show(tab, run, "#image=val/b")
    canvas = tab.locator("#panes canvas").first
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.evaluate(
        """([x, y]) => document.querySelector("#panes canvas").dispatchEvent(
          new WheelEvent("wheel", {deltaY: -400 * Math.log(2), clientX: x, clientY: y}))""",
        [middle[0] + 40, middle[1]],
    )
    zoom, x = tab.evaluate("[look.zoom, look.x]")
    assert zoom == pytest.approx(2)
    side = min(box["width"], box["height"])
    assert x == pytest.approx(0.5 + 40 / side / 2, abs=1e-3)
    tab.mouse.move(*middle)
    tab.mouse.down()
    tab.mouse.move(middle[0] + 30, middle[1], steps=3)
    tab.mouse.up()
    assert tab.evaluate("look.x") == pytest.approx(x - 30 / side / 2, abs=1e-3)


def test_a_link_shows_what_it_was_made_of(tab, run):
    show(tab, run, "#image=val/a&score=0.75&sort=dice&falling=1&layers=tp")
    expect(tab.locator("#viewer-name")).to_have_text("a.png")
    expect(tab.locator("#viewer-told")).to_have_text("0.750")
    assert counts(tab, "image-counts")["missed"] == "1"  # C is below
    assert tab.locator("#sort").input_value() == "dice"
    assert tab.locator("#viewer [aria-pressed=true]").all_inner_texts() == ["Right", "Probability"]
    tab.evaluate("location.hash = '#image=val/e'")
    expect(tab.locator("#viewer-name")).to_have_text("e.png")
    expect(tab.locator("#viewer-told")).to_contain_text("operating point")
    tab.evaluate("location.hash = '#image=val/gone&score=x'")
    expect(tab.locator("#mistake")).to_have_text("There is no image val/gone in this run.")
    expect(tab.locator("#viewer")).to_be_hidden()


def test_going_back_closes_the_image(tab, run):
    show(tab, run)
    tab.locator("#gallery .thumb").first.click()
    expect(tab.locator("#viewer")).to_be_visible()
    tab.go_back()
    expect(tab.locator("#gallery .thumb").first).to_be_attached()  # it is the same page
    expect(tab.locator("#viewer")).to_be_hidden()
    tab.wait_for_url(lambda url: url.startswith(run.as_uri()))


def test_another_run_is_compared_with(tab, run, other, tmp_path):
    show(tab, run)
    asked = len(tab.asked)
    tab.set_input_files("#other-file", other)
    expect(tab.locator("#other-words")).to_contain_text(
        "of 8 images in common 1 are better here, 1 worse, 6 alike in F1. 1 object is found here "
        "alone, 1 there alone."
    )
    assert len(tab.asked) == asked
    rows = [row.split("\t") for row in tab.locator("#other-table tbody tr").all_inner_texts()]
    assert ["F1 of val", "0.625", "0.625", "+0.000"] in rows
    assert names(tab)[0] == "e.png"  # 0 here, 1 there
    tab.locator("#gallery .thumb").first.click()
    captions = tab.locator("#panes figcaption").all_inner_texts()
    assert captions == ["This run: F1 0.000", "Other run: F1 1.000"]
    mine, theirs = colour_at(tab, 12, 32), colour_at(tab, 12, 32, pane=1)
    assert mine[2] < theirs[2]  # missed here
    tab.keyboard.press("Escape")
    tab.locator("#forget").click()
    expect(tab.locator("#other")).to_be_hidden()
    (tmp_path / "letter.html").write_text("<p>dear diary</p>")
    tab.set_input_files("#other-file", tmp_path / "letter.html")
    expect(tab.locator("#mistake")).to_have_text(
        "letter.html is no page of a run: it holds no images to explore"
    )
    tab.set_input_files("#other-file", other)
    expect(tab.locator("#mistake")).to_be_hidden()


def test_a_run_with_another_truth_is_told(tab, run, other, tmp_path):
    changed = other.read_text()
    data = json.loads(changed.split('id="run-data">')[1].split("</script>")[0])
    for image in data["images"]:
        if image["name"] == "val/a":
            image["truth"]["rle"].pop()
    head, _, rest = changed.partition('id="run-data">')
    text = json.dumps(data).replace("<", "\\u003c")
    (tmp_path / "x.html").write_text(
        f'{head}id="run-data">{text}</script>' + rest.partition("</script>")[2]
    )
    show(tab, run)
    tab.set_input_files("#other-file", tmp_path / "x.html")
    expect(tab.locator("#other-words")).to_contain_text(
        "1 image has another truth there and is left out."
    )
    expect(tab.locator("#other-words")).to_contain_text("of 7 images in common")


def test_outlines_are_those_of_the_pixels(tab, run):
    show(tab, run)
    corners = tab.evaluate(
        """() => { const one = RUN.images.find((image) => image.name === "val/a");
          return outlines(one.truth.rle[0], one.size[0]).map((loop) => [
            Math.min(...loop.map(([x]) => x)), Math.max(...loop.map(([, y]) => y))]); }"""
    )
    assert corners == [[4, 16]]
    assert tab.evaluate("area(RUN.images.find((one) => one.name === 'val/a').truth.rle[2])") == 256


def test_tables_are_sorted(tab, run):
    show(tab, run)
    table = tab.locator("#scores .panel table").first
    first = table.locator("tbody tr").first
    table.get_by_role("button", name="val").click()
    rows = [
        row.split("\t")[-1].split("\n")[0] for row in table.locator("tbody tr").all_inner_texts()
    ]
    values = [float(text.replace(",", "")) for text in rows if text not in ("–", "")]
    assert values == sorted(values)
    table.get_by_role("button", name="val").click()
    assert table.locator("th[aria-sort=descending]").count() == 1
    expect(first).to_be_visible()


def test_nothing_is_cut_off(tab, run):
    show(tab, run)
    for hash_ in ("", "#image=val/b"):
        tab.goto(run.as_uri() + hash_)
        tab.reload()
        tab.wait_for_timeout(200)
        assert cut_off(tab) == []


def test_images_are_decoded_when_they_are_seen(tab, run):
    show(tab, run)
    assert tab.evaluate("held.size") == 0
    tab.locator("#gallery").scroll_into_view_if_needed()
    for _ in range(100):  # not by `wait_for_function`, whose eval the page forbids
        if tab.evaluate("held.size"):
            break
        tab.wait_for_timeout(50)
    assert tab.evaluate("held.size") > 0
    assert tab.evaluate("held.size") <= 6  # those of val, without maps


def test_without_a_script_tables_and_figures_are_there(browser, run):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(run.as_uri())
    expect(
        tab.locator("#scores td", has_text="Average precision at IoU 0.50").first
    ).to_be_visible()
    expect(tab.locator("#error-kinds img").first).to_be_visible()
    expect(tab.locator("#explore p").first).to_contain_text(
        "shown by a script, which is switched off"
    )
    expect(tab.locator("#explorer")).to_be_hidden()
    expect(tab.locator("#viewer")).to_be_hidden()
    context.close()


def test_pictures_beside_the_page_are_shown(tab, tmp_path):
    page = write_run(tmp_path / "beside", images="beside")
    assert (page.parent / "figures/images/00001_map.webp").is_file()
    show(tab, page, "#image=val/a&layers=tp")
    tab.wait_for_timeout(300)
    assert colour_at(tab, 10, 10)[1] > colour_at(tab, 20, 22)[1] + 60


def test_three_questions_of_a_newcomer_take_four_clicks(tab, run, other):
    show(tab, run)
    clicks = counted_clicks(tab)
    # Which of my images is worst, and why?
    first = tab.locator("#gallery .thumb").first
    expect(first).to_contain_text("c.png")
    expect(first).to_contain_text("F1 0.000")
    first.click()
    assert tab.locator("#errors b").all_inner_texts() == ["missed: merged"] * 2 + ["merged"]
    assert clicks() == 1
    tab.keyboard.press("Escape")
    # What would a higher score cost me?
    slider = tab.locator("#score")
    slider.click(position={"x": 0.775 * slider.bounding_box()["width"], "y": 8})
    expect(tab.locator("#cut-words")).to_have_text(
        "Against the operating point 1 object fewer found and 2 wrong detections fewer."
    )
    assert clicks() == 1
    # What did this experiment change?
    show(tab, other)
    clicks = counted_clicks(tab)
    with tab.expect_file_chooser() as chooser:
        tab.locator("label[for=other-file]").click()
    chooser.value.set_files(run)
    expect(tab.locator("#other-words")).to_contain_text("1 are better here, 1 worse, 6 alike in F1")
    expect(tab.locator("#gallery .thumb").first).to_contain_text("e.png")
    tab.locator("#gallery .thumb").first.click()
    expect(tab.locator("#panes figcaption").first).to_have_text("This run: F1 1.000")
    expect(tab.locator("#panes figcaption").nth(1)).to_have_text("Other run: F1 0.000")
    assert clicks() == 2
