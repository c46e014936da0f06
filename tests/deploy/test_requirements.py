import ast
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import cv2
import pytest

from tests import tiny_bundle
from tests.deploy.test_apply import write_tiff
from tests.squares_bundle import grid, scene
from tools.deps import code_closure

ROOT = Path(__file__).parents[2]
SCRIPTS = ("deploy/apply.py", "deploy/serve.py")
UNSEEN = {"torchvision"}  # of those that others of the list import, and whose version must fit
USE = """
import importlib.util, sys
from deploy import apply
apply.main([*sys.argv[1:], "--out", "out", "--formats", ",".join(apply.FORMATS)])
if importlib.util.find_spec("fastapi"):
    import deploy.serve
print("modules", *{name.partition(".")[0] for name in sys.modules})
"""


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file):
    """Return the versions of a file of requirements and of those that it names, by name."""
    found = {}
    for line in (ROOT / file).read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found |= pinned(line.removeprefix("-r ").strip())
        elif line:
            name, version = line.split("==")
            found[plain(name.partition("[")[0])] = version
    return found


def imported():
    """Return the modules of others that the scripts and all that they reach import anywhere."""
    files = set().union(*(code_closure(ROOT / script, ROOT) for script in SCRIPTS))
    names = set()
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"src", "deploy"}


def needed_by(names):
    """Return what these distributions need, themselves among it."""
    seen, todo = set(), set(names)
    while todo:
        name = todo.pop()
        seen.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found = {plain(re.match(r"[\w.-]+", one)[0]) for one in needs if "extra ==" not in one}
        todo |= found - seen
    return seen


def distributions(modules):
    """Return the distributions that modules come from, and those of none that is installed."""
    known = metadata.packages_distributions()
    found = {plain(one) for module in modules for one in known.get(module, ())}
    return found, {module for module in modules if module not in known}


def test_what_is_deployed_has_the_versions_of_a_run():
    deployed, run = pinned("requirements-deploy.txt"), pinned("requirements.txt")
    for name in deployed.keys() - pinned("requirements-serve.txt").keys():
        assert (name, deployed[name]) == (name, run.get(name))
    assert not {"dvc", "albumentations", "tensorboard", "matplotlib"} & deployed.keys()


def test_what_is_deployed_is_what_is_imported():
    deployed = pinned("requirements-deploy.txt").keys()
    found, unknown = distributions(imported())
    # Where the page's requirements are not installed, nobody knows what starlette comes from.
    assert unknown <= {"fastapi", "uvicorn", "starlette"}
    found |= {plain(name) for name in unknown}
    extra = pinned("requirements-onnx.txt").keys()  # imported where --runtime asks for it
    assert found - deployed - extra <= {"starlette", "pydantic-core"}  # parts of others
    assert deployed - found == UNSEEN


def test_apply_and_serve_load_nothing_else_of_what_a_run_needs(tmp_path):
    """Whatever they import on their way, by others too; optional modules of others aside."""
    model = tiny_bundle.write(tmp_path / "tiny.maskline.zip")
    image = scene(60, 90, grid(60, 90))
    write_tiff(tmp_path / "a.tif", image)
    cv2.imwrite(str(tmp_path / "b.png"), image)
    told = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "LOKY_MAX_CPU_COUNT": "1"}
    command = [sys.executable, "-c", USE, str(model), "a.tif", "b.png"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | told, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    modules = done.stdout.splitlines()[-1].split()
    assert modules[0] == "modules"
    loaded = distributions(modules)[0]
    assert {"torch", "lightgbm", "pyogrio", "rasterio"} <= loaded
    allowed = needed_by(pinned("requirements-deploy.txt"))
    asked = pinned("requirements-dev.txt").keys() | pinned("requirements.txt").keys()
    assert (loaded & asked) - allowed == set()


@pytest.mark.parametrize("line", ["FROM python:3.11", "USER maskline", "VOLUME", "HEALTHCHECK"])
def test_the_container_is_made_of_what_is_deployed(line):
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(rf"^{re.escape(line)}", dockerfile, re.MULTILINE)
    copied = set(re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE))
    assert copied == {"requirements-serve.txt requirements-deploy.txt", "src", "deploy"}
    files = set().union(*(code_closure(ROOT / script, ROOT) for script in SCRIPTS))
    assert {file.partition("/")[0] for file in files} == {"src", "deploy"}
