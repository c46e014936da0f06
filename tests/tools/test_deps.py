import pytest

from tools import deps

DVC_YAML = """\
stages:
  draw:
    cmd: python -m stages.draw data/a data/b
    deps:
      - data/a
      - src/gone.py
    outs:
      - data/b

  copy:
    cmd: cp data/b data/c
    deps:
      - data/b
    outs:
      - data/c
"""


@pytest.fixture
def root(tmp_path):
    files = {
        "stages/draw.py": "from src.paint import brush\nPAGE = 'pages/page.html.jinja'\n",
        "src/paint/brush.py": "import src.base.errors\nfrom src.formats.rle import decode\n",
        "src/paint/colour.py": "",
        "src/base/errors.py": "",
        "src/formats/rle.py": "from json import loads\n",
        "src/formats/tables.py": "",
        "src/pages/page.html.jinja": '{% include "pages/style.html.jinja" %}'
        "<script>{{ source('pages/page.js') }}</script>",
        "src/pages/page.js": "import x",
        "src/pages/style.html.jinja": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_closure_follows_imports_templates_and_their_scripts(root):
    assert deps.code_closure(root / "stages/draw.py", root) == {
        "stages/draw.py",
        "src/paint/brush.py",
        "src/base/errors.py",
        "src/formats/rle.py",
        "src/pages/page.html.jinja",
        "src/pages/style.html.jinja",
        "src/pages/page.js",
    }


def test_a_wing_used_whole_is_a_folder_and_one_used_in_part_is_not(root):
    assert deps.declared_code(root / "stages/draw.py", root) == [
        "src/base",
        "src/formats/rle.py",
        "src/pages",
        "src/paint/brush.py",
        "stages/draw.py",
    ]


def test_only_the_code_in_the_lists_of_deps_is_written(root):
    assert deps.with_code_deps(DVC_YAML, root) == DVC_YAML.replace(
        "      - src/gone.py\n",
        "      - src/base\n      - src/formats/rle.py\n      - src/pages\n"
        "      - src/paint/brush.py\n      - stages/draw.py\n",
    )
