import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import compare
from experiments.collect import BOUNDS, METRICS, collect, intervals, main
from src.base.errors import InputError

PARAMS = {"loss": {"dice_weight": 1.0}, "train": {"phases": [{"epochs": 3}]}, "members": {"a": {}}}


def revision(name, ap50, params=PARAMS):
    data = {"params": {"params.yaml": {"data": params}}, "metrics": {}}
    if ap50 is not None:
        data["metrics"] = {"reports/metrics.json": {"data": {"oof.ap50": ap50}}}
    return {"name": name, "data": data}


def experiment(name, ap50, executor=None, **sections):
    return {"revs": [revision(name, ap50, PARAMS | sections)], "executor": executor}


def shown(*experiments):
    return [{"rev": "workspace"}, revision("main", 0.5) | {"experiments": list(experiments)}]


def test_the_commit_comes_first_then_experiments_by_name_with_what_they_changed():
    rows = collect(
        shown(
            experiment("long", 0.7, train={"phases": [{"epochs": 9}]}),
            experiment("dice", 0.6, loss={"dice_weight": 5.0}),
        )
    )
    assert [(r["experiment"], r["changes"], r["oof.ap50"]) for r in rows] == [
        ("baseline", "", 0.5),
        ("dice", "loss.dice_weight=5.0", 0.6),
        ("long", "train.phases.0.epochs=9", 0.7),
    ]
    assert list(rows[0]) == ["experiment", "changes", *METRICS]
    assert rows[0]["val.ap50"] == ""


@pytest.mark.parametrize("state", ["failed", "running", "queued"])
def test_an_experiment_that_did_not_succeed_is_left_out(state):
    failed = experiment("bad", 0.5, {"state": state}, loss={"dice_weight": 5.0})
    assert [row["experiment"] for row in collect(shown(failed))] == ["baseline"]


def test_a_finished_queued_experiment_counts():
    done = experiment("queued", 0.6, {"state": "success"}, loss={"dice_weight": 5.0})
    assert [row["experiment"] for row in collect(shown(done))] == ["baseline", "queued"]


def test_an_experiment_that_changed_no_param_is_left_out():
    assert len(collect(shown(experiment("same", 0.5)))) == 1


def test_an_override_of_a_member_is_a_change():
    rows = collect(shown(experiment("m", 0.6, members={"a": {"loss": {"w0": 2.0}}})))
    assert rows[1]["changes"] == "members.a.loss.w0=2.0"


def test_without_metrics_there_is_nothing_to_compare_with():
    with pytest.raises(InputError, match="the last commit has no metrics; run `make repro`"):
        collect([{"rev": "workspace"}, revision("main", None)])


def test_without_experiments_nothing_is_fetched():
    assert intervals([], base="no such revision") == ({}, {})


MAKE = """\
import json
from pathlib import Path

import pandas as pd

found = int(Path("params.yaml").read_text().split(":")[1])
for split in ("oof", "val"):
    names = [f"{split}/{number:02}" for number in range(20)]
    images = pd.DataFrame({"name": names, "group": names, "image_id": range(20), "objects": 1})
    judged = pd.DataFrame({"image_id": range(20), "score": 0.5})
    for percent in range(50, 100, 5):
        judged[f"tp_{percent}"] = judged["image_id"] < found
        judged[f"ignored_{percent}"] = False
    Path("data/evaluation").mkdir(parents=True, exist_ok=True)
    images.to_csv(f"data/evaluation/images_{split}.csv", index=False)
    judged.to_parquet(f"data/evaluation/detections_{split}.parquet")
Path("reports").mkdir(exist_ok=True)
Path("reports/metrics.json").write_text(json.dumps({"oof.ap50": found / 20}))
"""
PIPELINE = """\
stages:
  make:
    cmd: python make.py
    params:
    - found
    outs:
    - data/evaluation
    metrics:
    - reports/metrics.json:
        cache: false
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A pipeline that finds the first 10 of 20 objects, with experiments that find 16 and 11."""
    root = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_SITE_CACHE_DIR", str(root.parent / "site"))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for key, value in (("NAME", "a"), ("EMAIL", "a@example.org")):
            patch.setenv(f"GIT_AUTHOR_{key}", value)
            patch.setenv(f"GIT_COMMITTER_{key}", value)
        Path("make.py").write_text(MAKE)
        Path("dvc.yaml").write_text(PIPELINE)
        Path("params.yaml").write_text("found: 10\n")
        git, dvc = ["git"], [sys.executable, "-m", "dvc"]
        for command in (
            [*git, "init", "-q"],
            [*dvc, "init", "-q"],
            [*dvc, "config", "core.analytics", "false"],
            [*dvc, "config", "core.autostage", "true"],
            [*dvc, "repro", "-q"],
            [*git, "add", "."],
            [*git, "commit", "-q", "-m", "first"],
            [*dvc, "exp", "run", "-q", "--temp", "-n", "more", "-S", "found=16"],
            [*dvc, "exp", "run", "-q", "--temp", "-n", "one_more", "-S", "found=11"],
        ):
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
        yield root


@pytest.mark.slow
def test_the_table_holds_the_interval_of_every_difference(repository, capsys):
    main(["reports/ablation.csv"])
    with Path("reports/ablation.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["baseline", "more", "one_more"]
    assert list(rows["more"]) == ["experiment", "changes", *METRICS, *BOUNDS]
    assert [rows["baseline"][column] for column in BOUNDS] == ["", "", "", ""]
    low, high = (float(rows["more"][column]) for column in BOUNDS[:2])
    assert 0 < low < 0.3 < high < 0.6
    assert float(rows["one_more"][BOUNDS[2]]) == 0
    assert "no interval" not in capsys.readouterr().out


@pytest.mark.slow
def test_experiments_are_compared_by_name_with_a_commit_and_the_workspace(repository, capsys):
    compare.main(["HEAD", "more", "one_more", "workspace", "--split", "val", "--metric", "ap50"])
    lines = capsys.readouterr().out.splitlines()[2:]
    names = [line.split(" | ")[2] for line in lines]
    assert names == ["HEAD", "more", "one_more", "workspace"]
    assert lines[1].endswith("% |  |")
    assert lines[2].endswith("not sure |")
    assert "| +0.0000 | +0.0000 | +0.0000 | 0.0% |" in lines[3]


@pytest.mark.slow
def test_where_the_tables_are_lost_cells_stay_empty_and_a_sentence_says_so(repository, capsys):
    shutil.rmtree(".dvc/cache")
    main(["reports/ablation.csv"])
    assert (
        "no interval for more, one_more: HEAD: its data/evaluation cannot be fetched"
        in capsys.readouterr().out
    )
    text = Path("reports/ablation.csv").read_text()
    assert text.splitlines()[1:] == [
        "baseline,,0.5,,,,,,,,,",
        "more,found=16,0.8,,,,,,,,,",
        "one_more,found=11,0.55,,,,,,,,,",
    ]
    with pytest.raises(InputError, match="nowhere: its data/evaluation cannot be fetched"):
        compare.main(["nowhere", "HEAD"])
