import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from experiments import own_data
from experiments.own_data import name_of, with_root
from experiments.revisions import experiment_reference, git, read_metrics
from src.base.errors import InputError

PROJECT = Path(__file__).parents[2]
PARAMS = """\
# what a person wrote: it stays
dataset:
  # by hand
  root:   data/sample     # folder
  format: auto
model: {root: other}
"""
SCORE = """
import json, sys, time
from pathlib import Path
words = Path(sys.argv[1], "words").read_text().split()
if words[0] == "wait":
    Path("data/raw").joinpath("started").touch()
    time.sleep(60)
if words[0] == "broken":
    sys.exit("broken by itself")
for folder in ("reports", "data/exports"):
    Path(folder).mkdir(exist_ok=True, parents=True)
Path("reports/metrics.json").write_text(json.dumps({"val.ap50": len(words)}))
Path("reports/results.md").write_text(f"{len(words)} words\\n")
Path("reports/index.html").write_text("a page of " + sys.argv[1])
"""
PIPELINE = """\
stages:
  score:
    cmd: python score.py "${dataset.root}"
    deps: ["${dataset.root}", score.py]
    params: [model]
    metrics: [{reports/metrics.json: {cache: false}}]
    outs: [{reports/results.md: {cache: false}}, reports/index.html]
"""


@pytest.mark.parametrize(
    ("folder", "name"),
    [("mine", "mine"), ("my tiles & more", "my_tiles_more"), ("2024.06-x/", "2024_06-x")],
)
def test_the_experiment_has_the_name_of_the_folder(tmp_path, folder, name):
    (tmp_path / folder).mkdir()
    assert name_of(tmp_path / folder) == name


def test_a_folder_that_is_not_there_or_has_no_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="none: no such folder; give the one that holds train/"):
        name_of(tmp_path / "none")
    (tmp_path / "& &").mkdir()
    with pytest.raises(InputError, match="give the folder a name with a letter or digit"):
        name_of(tmp_path / "& &")


def test_of_the_params_the_root_alone_changes():
    changed = with_root(PARAMS, "data/raw/mine")
    assert changed == PARAMS.replace("data/sample", "data/raw/mine")
    real = (PROJECT / "params.yaml").read_text()
    assert YAML(typ="safe").load(with_root(real, "data/raw/1"))["dataset"]["root"] == "data/raw/1"
    with pytest.raises(InputError, match="params.yaml: no line 'root:' in dataset"):
        with_root("model:\n  root: x\n", "data/raw/mine")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one stage, in whose params something is changed and not committed."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc-site"))
    root = tmp_path / "a repository"
    root.mkdir()
    monkeypatch.chdir(root)
    for name, text in (("params.yaml", PARAMS), ("score.py", SCORE), ("dvc.yaml", PIPELINE)):
        Path(name).write_text(text)
    Path(".gitignore").write_text("/own/\n/data/raw/*\n!/data/raw/*.dvc\n")
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.email", "a@example.org"],
        ["git", "config", "user.name", "A"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        [sys.executable, "-m", "dvc", "config", "core.autostage", "true"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    Path(".dvcignore").write_text("/own\n")
    for command in (["git", "add", "."], ["git", "commit", "-q", "-m", "all"]):
        subprocess.run(command, check=True, capture_output=True)
    Path("params.yaml").write_text(PARAMS.replace("other", "changed"))
    return root


def write_words(folder, words):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words").write_text(words)
    return folder


def metrics_of(name):
    return read_metrics(experiment_reference(name))["val.ap50"]


@pytest.mark.slow
def test_a_folder_anywhere_becomes_an_experiment_and_nothing_else_changes(
    repository, tmp_path, capfd
):
    data = write_words(tmp_path / "my words & 'more'", "one two three")
    before = Path("params.yaml").read_bytes(), git("status", "--porcelain")
    own_data.main([str(data)])
    printed = capfd.readouterr().out
    clone = repository / "own/my_words_more"
    assert "3 words" in printed
    assert f"Report: {clone}/reports/index.html" in printed
    assert (clone / "reports/index.html").read_text() == "a page of data/raw/my_words_more"
    assert metrics_of("my_words_more") == 3
    params = git("show", f"{experiment_reference('my_words_more')}:params.yaml")
    assert params == with_root(PARAMS.replace("other", "changed"), "data/raw/my_words_more")
    assert (Path("params.yaml").read_bytes(), git("status", "--porcelain")) == before

    own_data.main([str(data)])
    assert "Running stage" not in capfd.readouterr().out  # nothing has changed
    write_words(data, "one two three four")
    own_data.main([os.path.relpath(data)])
    assert metrics_of("my_words_more") == 4

    other = write_words(tmp_path / "my words more", "five")
    with pytest.raises(InputError, match="own/my_words_more: is of .*my words & 'more'; rename"):
        own_data.main([str(other)])
    write_words(data, "broken")
    with pytest.raises(InputError, match="my_words_more stopped, see above; mend that and start"):
        own_data.main([str(data)])
    assert metrics_of("my_words_more") == 4
    assert (Path("params.yaml").read_bytes(), git("status", "--porcelain")) == before


@pytest.mark.slow
def test_data_that_dvc_tracks_are_taken_too(repository):
    write_words(Path("data/raw/mine"), "one two")
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data/raw/mine"], check=True)
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "commit", "-q", "-m", "data"], check=True)
    own_data.main(["data/raw/mine"])
    assert metrics_of("mine") == 2


@pytest.mark.slow
def _wait_for_the_last_of(group: int) -> None:
    """Wait until the processes of a group that was killed are gone, as DVC looks for them."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def test_when_it_is_killed_the_params_are_as_they_were(repository):
    data = write_words(repository / "data/raw/mine", "wait")
    before = Path("params.yaml").read_bytes()
    command = [sys.executable, "-m", "experiments.own_data", str(data)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        started = repository / "own/mine/data/raw/started"
        while not started.exists() and process.poll() is None:
            assert Path("params.yaml").read_bytes() == before
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    _wait_for_the_last_of(process.pid)
    assert started.exists()
    assert Path("params.yaml").read_bytes() == before
    write_words(data, "one")
    own_data.main([str(data)])
    assert metrics_of("mine") == 1
