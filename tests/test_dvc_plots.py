"""What `dvc plots` and `make table` show, in a repository with the plots of this one."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.small_repository import dvc, dvc_command

ROOT = Path(__file__).parents[1]
CURVES = """network,epoch,phase,lr,train_loss,fold_loss,fold_dice
main fold 0,1,0,0.002,0.5,,
main fold 0,2,0,0.001,0.25,0.75,0.5
wide fold 0,1,0,0.002,0.625,,
wide fold 1,1,0,0.002,0.125,0.375,0.5
"""


@pytest.fixture
def repository(tmp_path):
    """A commit with the plots of dvc.yaml and what they are drawn of."""
    root = tmp_path / "repository"
    (root / "reports").mkdir(parents=True)
    (root / "reports/curves.csv").write_text(CURVES)
    plots = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["plots"]
    with (root / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"plots": plots}, file)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    dvc(root, "init", "-q")
    shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots", dirs_exist_ok=True)
    shutil.copy(ROOT / "Makefile", root)
    shutil.copy(ROOT / ".gitignore", root)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, "commit", "-qm", "all"], cwd=root, check=True)
    return root


def test_dvc_draws_the_curves_of_all_members_and_folds(repository):
    shown = json.loads(dvc(repository, "plots", "show", "--json", "Learning curves"))
    assert "errors" not in shown
    [plot] = shown["data"]["Learning curves"]
    drawn = plot["content"] if isinstance(plot["content"], str) else json.dumps(plot["content"])
    assert "<DVC_METRIC" not in drawn  # every place of the template is filled
    spec = json.loads(drawn)
    points = spec["data"]["values"]
    y = spec["encoding"]["y"]["field"]
    told = {(p["network"], int(p["epoch"]), p["field"]): p[y] for p in points}
    assert len(told) == len(points) == 8  # each row for both losses
    assert float(told["wide fold 1", 1, "fold_loss"]) == 0.375
    assert float(told["main fold 0", 2, "train_loss"]) == 0.25
    assert spec["encoding"]["color"]["field"] == "network"


def test_what_dvc_draws_is_ignored_by_git(repository):
    dvc(repository, "plots", "show")
    assert (repository / "dvc_plots/index.html").is_file()
    status = ["git", "status", "--porcelain"]
    assert subprocess.run(status, cwd=repository, capture_output=True).stdout == b""


def test_without_experiments_make_table_says_what_to_do(repository):
    environment = dvc_command(repository)[1]
    (repository / ".venv").mkdir()
    for name in ("requirements.txt", ".venv/.installed"):
        (repository / name).touch()
    make = subprocess.run(
        ["make", "--no-print-directory", "table"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert make.returncode != 0
    assert make.stdout.startswith("No experiment starts from this commit. Run one:\n")
    [command] = [line.split() for line in make.stdout.splitlines() if line.startswith("  dvc")]
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    for change in command[command.index("-S") + 1 :: 2]:  # it changes what there is
        section, key = change.partition("=")[0].split(".")
        assert key in params[section]
