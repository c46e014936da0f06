import json
import subprocess
from pathlib import Path

import pytest

from experiments.revisions import commit_of, data_of, experiment_reference, git, read_metrics
from src.base.errors import InputError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A commit with metrics that name their data, and an experiment with other ones."""
    monkeypatch.chdir(tmp_path)
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "a")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "a@example.org")
    git("init", "-q")
    commit({"oof.ap50": 0.5, "data": "0123456789ab"})
    head = git("rev-parse", "HEAD").strip()
    commit({"oof.ap50": 0.6, "data": "ba9876543210"})
    other = git("rev-parse", "HEAD").strip()
    git("reset", "-q", "--hard", head)
    git("update-ref", experiment_reference("better"), other)
    return head, other


def commit(metrics):
    write(json.dumps(metrics))
    git("add", ".")
    git("commit", "-q", "-m", "metrics")


def write(text):
    Path("reports").mkdir(exist_ok=True)
    Path("reports/metrics.json").write_text(text)


def test_an_experiment_is_found_by_its_name_and_what_is_none_stays(repository):
    head, other = repository
    assert experiment_reference("better") == f"refs/exps/{head[:2]}/{head[2:]}/better"
    assert commit_of("better") == other
    assert [commit_of(name) for name in ("HEAD", "HEAD~1", "bett")] == ["HEAD", "HEAD~1", "bett"]


def test_metrics_are_those_of_the_revision(repository):
    assert read_metrics("HEAD")["oof.ap50"] == 0.5
    assert read_metrics(experiment_reference("better"))["oof.ap50"] == 0.6
    write('{"oof.ap50": 0.7}')
    assert read_metrics("workspace") == {"oof.ap50": 0.7}


def test_the_data_of_a_revision_may_be_unknown(repository):
    assert data_of(commit_of("better")) == "ba9876543210"
    assert data_of("HEAD") == data_of("workspace") == "0123456789ab"
    assert data_of("nowhere") == ""
    write('{"oof.ap50": 0.7}')
    assert data_of("workspace") == ""
    Path("reports/metrics.json").unlink()
    assert data_of("workspace") == ""


def test_metrics_that_are_none_are_named(repository):
    write("{")
    subprocess.run(["git", "commit", "-qam", "broken"], check=True)
    with pytest.raises(InputError, match="HEAD: its reports/metrics.json is not valid JSON"):
        read_metrics("HEAD")
    with pytest.raises(InputError, match="git show nowhere:reports/metrics.json failed: "):
        read_metrics("nowhere")
