"""The pipelines to copy: their fields, their commands, and what they run in a scratch clone."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.small_repository import (
    TINY,
    dvc,
    dvc_command,
    read_params,
    small_repository,
    write_params,
)

ROOT = Path(__file__).parents[1]
GITHUB = sorted((ROOT / ".github/workflows").glob("*.yml"))
GITLAB = ROOT / "docs/gitlab-ci.yml"
FIELDS = {  # of GitHub, as its reference of workflows names them
    "workflow": {"name", "on", "permissions", "concurrency", "env", "defaults", "jobs"},
    "job": {"name", "needs", "if", "runs-on", "permissions", "env", "strategy", "timeout-minutes",
            "container", "services", "steps"},
    "step": {"name", "id", "if", "uses", "with", "run", "env", "shell", "working-directory",
             "continue-on-error", "timeout-minutes"},
}  # fmt: skip
GITLAB_JOB = {"image", "rules", "timeout", "variables", "cache", "before_script", "script"}
GITLAB_JOB |= {"after_script", "artifacts", "needs", "stage", "tags", "allow_failure", "services"}
PROGRAMS = {"cat", "echo", "test", "export", "git", "gh", "pip", "make", "bash"}
WHO = {
    f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def read(path):
    return YAML(typ="safe").load(path.read_text())


def github_steps(path):
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def scripts():
    """All lines that the pipelines run, each a text for a shell."""
    found = [step["run"] for path in GITHUB for step in github_steps(path) if "run" in step]
    for job in read(GITLAB).values():
        found += [*job["before_script"], *job["script"]]
    return found


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_github_knows_every_field(path):
    workflow = read(path)
    assert workflow.keys() <= FIELDS["workflow"]
    assert {"on", "jobs"} <= workflow.keys()
    for job in workflow["jobs"].values():
        assert job.keys() <= FIELDS["job"]
        assert "runs-on" in job
        for step in job["steps"]:
            assert step.keys() <= FIELDS["step"]
            assert ("run" in step) != ("uses" in step)
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_gitlab_knows_every_field():
    for job in read(GITLAB).values():
        assert job.keys() <= GITLAB_JOB
        assert "script" in job
        assert all(isinstance(line, str) for line in [*job["before_script"], *job["script"]])


def test_the_names_of_workflows_differ():
    names = [read(path)["name"] for path in GITHUB]
    assert len(set(names)) == len(names) == 2


def test_the_pipelines_run_one_subset():
    files, subset = (*GITHUB, GITLAB, ROOT / ".ci/compare"), r"-S split_folds.*?(?=\}?\"|$)"
    told = {one for path in files for one in re.findall(subset, path.read_text(), re.M)}
    assert len(told) == 1
    params = read(ROOT / "params.yaml")
    for change in told.pop().split()[1::2]:
        section, key = change.partition("=")[0].split(".")
        assert key in params[section]


@pytest.mark.parametrize("script", scripts())
def test_every_command_is_there(script):
    subprocess.run(["bash", "-n", "-c", script], check=True)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for line in script.replace(" || ", "\n").splitlines():
        program, *words = line.split()
        assert program in PROGRAMS | {"curl"}
        if program == "make":
            assert set(words) <= set(targets)
        if program == "bash":
            subprocess.run(["bash", "-n", ROOT / words[0]], check=True)


def test_no_event_gives_a_foreign_change_the_secrets():
    for path in GITHUB:
        assert "pull_request_target" not in path.read_text()
        for step in github_steps(path):
            if "GH_TOKEN" in step.get("env", {}):
                assert "head.repo.full_name == github.repository" in step["if"]


def test_the_script_runs_modules_that_exist():
    modules = re.findall(r"python -m ([\w.]+)", (ROOT / ".ci/compare").read_text())
    assert modules == ["experiments.compare"]
    for module in modules:
        ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())


def git(root, *arguments):
    run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def two_commits(tmp_path, monkeypatch):
    """A small repository with a remote for its cache, whose last commit scores in another way."""
    for name in WHO:
        monkeypatch.setenv(name, "a@b.c")
    root = small_repository(tmp_path / "first", TINY)
    dvc(root, "remote", "add", "-d", "storage", str(tmp_path / "remote"))
    git(root, "add", ".")
    git(root, "commit", "-qm", "base")
    params = read_params(root)
    params["rescore"]["score"] = "mean"
    write_params(root, params)
    git(root, "commit", "-qam", "head")
    return root


def compare(root, out, **environment):
    told = dvc_command(root)[1] | {"SUBSET": "-S split_folds.folds=[0]"} | environment
    command = ["bash", ".ci/compare", "HEAD~1", str(out)]
    return subprocess.run(command, cwd=root, env=told, capture_output=True, text=True)


@pytest.mark.slow
def test_the_difference_of_two_commits_is_told_and_the_cache_pushed(two_commits, tmp_path):
    done = compare(two_commits, tmp_path / "out", PUSH="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Running stage 'train@main-0'") == 1  # once for both
    assert "train@main-1" not in done.stdout
    told = (tmp_path / "out/difference.md").read_text()
    base, head = (git(two_commits, "rev-parse", "--short=7", name) for name in ("HEAD~1", "HEAD"))
    assert told.startswith(f"**{head} (workspace) against {base} (base)**, on the subset `-S split")
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| oof | ap50")]
    assert [row[2] for row in rows] == ["base", "workspace"]
    assert re.fullmatch(r"[+-]\d\.\d{4}", rows[1][5])
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {"difference.md", "index.html", "metrics.json"}
    assert git(two_commits, "status", "--porcelain", "--untracked-files=no") == ""  # as it was
    assert git(two_commits, "rev-parse", "--short=7", "HEAD") == head
    assert any((tmp_path / "remote").rglob("*"))


def test_a_clone_with_changes_is_left_as_it_is(two_commits, tmp_path):
    (two_commits / "params.yaml").write_text("changed")
    refused = compare(two_commits, tmp_path / "out")
    assert refused.returncode == 1
    assert refused.stdout == "commit or undo first:  M params.yaml\n"
    assert (two_commits / "params.yaml").read_text() == "changed"
