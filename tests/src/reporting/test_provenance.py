import os
import subprocess
from datetime import date
from pathlib import Path

import pytest

from src.reporting import provenance as module
from src.reporting.provenance import commit_here, data_set_name, machine_here, provenance


def git(*arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a commit of code, params, a report and a lock file, to run in."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    for name in ("src/code.py", "params.yaml", "reports/metrics.json", "dvc.lock", "data/dvc.lock"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return tmp_path


def program(folder, name, lines, monkeypatch):
    """Put a program of that name before all others."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + lines)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def test_the_commit_is_named_by_its_short_hash(repository):
    run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    commit = commit_here()
    assert len(commit) >= 7
    assert run.stdout.startswith(commit)


@pytest.mark.parametrize("name", ["src/code.py", "params.yaml"])
def test_what_results_come_from_may_differ_from_the_commit(repository, monkeypatch, name):
    commit = commit_here()
    Path(name).write_text("2")
    assert commit_here() == f"{commit} with uncommitted changes"
    monkeypatch.chdir("src")
    assert commit_here() == f"{commit} with uncommitted changes"
    git("add", ":/")
    assert commit_here() == f"{commit} with uncommitted changes"


@pytest.mark.parametrize("name", ["reports/metrics.json", "dvc.lock", "data/dvc.lock", "notes.txt"])
def test_what_stages_write_and_stray_files_are_no_changes(repository, name):
    commit = commit_here()
    Path(name).write_text("2")
    assert commit_here() == commit


def test_without_a_commit_or_a_repository_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_here() == ""
    git("init", "-q")
    assert commit_here() == ""


def test_without_git_or_without_its_answer_nothing_is_told(repository, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    program(repository, "git", "exec sleep 5\n", monkeypatch)
    assert commit_here() == ""
    monkeypatch.setenv("PATH", str(repository / "empty"))
    assert commit_here() == ""


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("", "Some CPU, 3 cores, no GPU"),
        ("H200\\n", "Some CPU, 3 cores, H200"),
        ("H200\\nH200\\n", "Some CPU, 3 cores, 2 x H200"),
        ("H200\\nT4\\n", "Some CPU, 3 cores, H200, T4"),
    ],
)
def test_the_machine_is_its_processor_and_its_gpus(tmp_path, monkeypatch, names, told):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU\nmodel name : x\n")
    monkeypatch.setattr(module, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    program(tmp_path, "nvidia-smi", f"printf '{names}'\n", monkeypatch)
    assert machine_here() == told


def test_a_machine_that_tells_little_has_a_name_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CPU_INFO", tmp_path / "absent")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    program(tmp_path, "nvidia-smi", "exit 9\n", monkeypatch)
    name = machine_here()
    assert name.endswith(", 1 core, no GPU")
    assert len(name) > len(", 1 core, no GPU")


def test_the_day_is_that_of_now(repository):
    assert provenance().date == date.today().isoformat()


@pytest.mark.parametrize(
    ("root", "name"),
    [("data/sample", "sample"), ("data/raw/accra/", "accra"), ("a/b/..", "a"), ("/", "/")],
)
def test_a_data_set_is_named_by_its_folder(root, name):
    assert data_set_name(root) == name


def test_a_data_set_in_the_folder_one_is_in_is_named_too(repository):
    assert data_set_name(".") == repository.name
