import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.base import changes

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Folder with the code and params, and a small sample to be drawn."""
    root = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "stages"):
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    (root / "tests").mkdir()
    shutil.copy(ROOT / "tests/edited_while_running.py", root / "tests")
    return root


def run_while_editing(root, file, old, new):
    """Draw a sample of three tiles while a file is edited; return what the stage says."""
    text = "\n" + (ROOT / "params.yaml").read_text()
    (root / "params.yaml").write_text(re.sub(r"\n  (train|val|test): \d+", r"\n  \1: 1", text))
    kept = (root / file).read_text()
    command = [sys.executable, "-m", "tests.edited_while_running", file, old, new]
    command += ["stages.make_sample", "sample", "--params", "params.yaml"]
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": "1"}
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    (root / file).write_text(kept)
    made = sorted(path.name for path in root.glob("sample*"))
    shutil.rmtree(root / "sample", ignore_errors=True)
    return run.returncode, run.stderr, made


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("params.yaml", "\n  seed: 1 ", "\n  seed: 2 ", "params.yaml: sample"),
        ("params.yaml", "\nworkers:", "\n- workers:", "params.yaml: sample"),  # no YAML any more
        ("src/sample/tiles.py", "", "# an edit\n", "src/sample/tiles.py"),
        ("stages/make_sample.py", "", "# an edit\n", "stages/make_sample.py"),
    ],
)
def test_what_a_stage_has_read_cannot_be_edited_while_it_runs(copy, file, old, new, told):
    code, error, made = run_while_editing(copy, file, old, new)
    assert code == 1
    assert f"\n{told}: was changed while this stage ran, " in f"\n{error}"
    assert "Traceback" not in error
    assert made == []


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("params.yaml", "\n  trees: 300 ", "\n  trees: 200 "),
        ("params.yaml", "# tiles\n", "# a comment\n"),
        ("src/losses/lovasz.py", "", "# an edit\n"),
        ("src/sample/tiles.py", "", ""),  # written again as it was
    ],
)
def test_what_a_stage_does_not_read_can_be_edited(copy, file, old, new):
    code, error, made = run_while_editing(copy, file, old, new)
    assert (code, made) == (0, ["sample"]), error


def test_the_templates_of_a_wing_that_is_loaded_count_as_its_code():
    import src.pages.pages  # noqa: F401

    digests = changes.code_digests()
    assert "src/pages/page_style.css.jinja" in digests
    assert "src/pages/pages.py" in digests
    assert all((ROOT / name).is_file() for name in digests)
    assert list(digests) == sorted(digests)


def run_python(code, tmp_path):
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return run.stderr.strip().splitlines()[-1] if run.stderr else ""


@pytest.mark.parametrize("reader", ["read_json", "read_table", "ImageArchive"])
def test_an_input_cannot_be_edited_while_a_stage_runs(tmp_path, reader):
    path = tmp_path / "input"
    code = f"""
import json
from pathlib import Path
from src.base.files import read_json, write_text
from src.base.running import run_stage
from src.formats.archive import ImageArchive, write_archive
from src.formats.tables import read_table as read
path, read_table = Path({str(path)!r}), lambda path: read(path, "a_stage")
write_archive(path, []) if {reader == "ImageArchive"} else path.write_text("[1]\\n")
def main():
    {reader}(path)
    path.write_bytes(path.read_bytes() + b" ")
    write_text(path.with_name("output"), "text")
run_stage(main)
"""
    assert run_python(code, tmp_path).startswith(f"{path}: was changed while this stage ran")
    assert [one.name for one in tmp_path.iterdir()] == ["input"]


def test_a_process_that_is_no_stage_is_held_to_nothing(tmp_path):
    code = f"""
from pathlib import Path
from src.base.files import read_json, write_text
path = Path({str(tmp_path / "input")!r})
path.write_text("[1]")
read_json(path)
path.unlink()
write_text(path.with_name("output"), "text")
"""
    assert run_python(code, tmp_path) == ""
    assert [one.name for one in tmp_path.iterdir()] == ["output"]
