import pytest

from tools import architecture

PAGE = "# Title\n<!-- table -->\nold\n<!-- end -->\ntext\n<!-- drawing -->\n<!-- end -->\nend\n"
PURPOSES = {name: f"for {name}" for name in ("base", "formats", "paint", "pages", "rooms")}


@pytest.fixture
def root(tmp_path):
    files = {
        "stages/draw.py": "from src.rooms import hall\n",
        "stages/print.py": "import src.base.errors\nfrom src.paint import brush\n",
        "stages/check_params.py": "from src.rooms import hall\n",
        "stages/wait.py": "import src.base.errors\n",
        "src/base/errors.py": "",
        "src/formats/rle.py": "",
        "src/paint/brush.py": "import src.base.errors\n",
        "src/paint/colour.py": "from src.formats import rle\n",
        "src/pages/page.py": "from src.paint import colour, brush\n",
        "src/rooms/hall.py": "from src.pages import page\nfrom src.paint import brush\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_page_of_the_repository_is_as_make_deps_writes_it():
    page = architecture.PAGE.read_text()
    assert architecture.with_wings(page, architecture.ROOT, architecture.PURPOSES) == page


def test_a_wing_is_used_whole_or_in_part(root):
    assert architecture.wing_users(root) == {
        "base": (["draw", "print", "wait"], []),
        "formats": (["draw"], []),
        "paint": (["draw"], ["print"]),
        "pages": (["draw"], []),
        "rooms": (["draw"], []),
    }


def test_table_and_drawing_take_their_places_and_nothing_else_changes(root):
    assert architecture.with_wings(PAGE, root, PURPOSES).splitlines() == [
        "# Title",
        "<!-- table -->",
        "| wing | what it is for | stages that use all of it | or a part |",
        "|---|---|---|---|",
        "| `base` | for base | every one |  |",
        "| `formats` | for formats | `draw` |  |",
        "| `pages` | for pages | `draw` |  |",
        "| `paint` | for paint | `draw` | `print` |",
        "| `rooms` | for rooms | `draw` |  |",
        "<!-- end -->",
        "text",
        "<!-- drawing -->",
        "```mermaid",
        "flowchart LR",
        "\tpages --> paint",
        "\tpaint",
        "\trooms --> pages",  # and by way of pages to paint
        "```",
        "<!-- end -->",
        "end",
    ]


def test_most_stages_are_told_by_those_that_lack(root):
    (root / "stages/wait.py").write_text("from src.paint import brush\n")
    (root / "stages/print.py").write_text("from src.pages import page\n")
    page = architecture.with_wings(PAGE, root, PURPOSES)
    assert "| `pages` | for pages | all but `wait` |  |" in page


@pytest.mark.parametrize("purposes", [{}, {**PURPOSES, "attic": "for things"}])
def test_a_wing_without_a_purpose_is_refused_as_is_the_reverse(root, purposes):
    with pytest.raises(SystemExit, match="PURPOSES, which disagrees on '(attic|base)'"):
        architecture.with_wings(PAGE, root, purposes)


def test_a_page_without_a_marker_is_refused(root):
    with pytest.raises(SystemExit, match="needs <!-- drawing --> and <!-- end --> behind it"):
        architecture.with_wings(PAGE.replace("drawing", "picture"), root, PURPOSES)
