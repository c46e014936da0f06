import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments import compare
from experiments.collect import (
    BOUNDS,
    METRICS,
    collect,
    fill_data,
    intervals,
    main,
    pooled,
    split_seed,
)
from src.base.errors import InputError

PARAMS = {"loss": {"dice_weight": 1.0}, "train": {"phases": [{"epochs": 3}]}, "members": {"a": {}}}


def revision(name, ap50, params=PARAMS, truth=None):
    data = {"params": {"params.yaml": {"data": params}}, "metrics": {}}
    if ap50 is not None:
        values = {"oof.ap50": ap50} | ({"data": truth} if truth else {})
        data["metrics"] = {"reports/metrics.json": {"data": values}}
    return {"name": name, "data": data}


def experiment(name, ap50, executor=None, **sections):
    return {"revs": [revision(name, ap50, PARAMS | sections)], "executor": executor}


def shown(*experiments):
    return [{"rev": "workspace"}, revision("main", 0.5) | {"experiments": list(experiments)}]


def test_every_row_tells_the_data_it_was_judged_on_if_its_metrics_do():
    other = {"revs": [revision("other", 0.6, PARAMS | {"seed": 2}, "0123456789ab")]}
    rows = collect(shown(experiment("old", 0.7, seed=1), other))
    assert {row["experiment"]: row["data"] for row in rows} == {
        "baseline": "",
        "old": "",
        "other": "0123456789ab",
    }


def test_the_commit_comes_first_then_experiments_by_name_with_what_they_changed():
    rows = collect(
        shown(
            experiment("long", 0.7, train={"phases": [{"epochs": 9}]}),
            experiment("dice", 0.6, loss={"dice_weight": 5.0}),
        )
    )
    assert [(r["experiment"], r["changed"], r["oof.ap50"]) for r in rows] == [
        ("baseline", {}, 0.5),
        ("dice", {"loss.dice_weight": 5.0}, 0.6),
        ("long", {"train.phases.0.epochs": 9}, 0.7),
    ]
    assert list(rows[0]) == ["experiment", "changed", "data", *METRICS]
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
    assert pooled(rows)[0][1]["changes"] == "members.a.loss.w0=2.0"


def run(name, ap50, data="0a", **changed):
    row = {"experiment": name, "changed": changed, "data": data}
    return row | dict.fromkeys(METRICS, "") | {"oof.ap50": ap50}


COMMIT = run("baseline", 0.5)
SEEDS = [
    *(run(f"defaults-s{n}", 0.5 + n / 100, seed=1000 * n) for n in (1, 2, 3)),
    *(run(f"tta-none-s{n}", 0.6 + n / 50, seed=1000 * n, views="none") for n in (10, 2, 3)),
]


def told(rows):
    names = ("experiment", "changes", "seeds", "against", "oof.ap50")
    return [tuple(row[name] for name in names) for row in rows]


def test_seeds_are_one_row_compared_with_its_base():
    rows, runs = pooled([COMMIT, *SEEDS, run("tta-extra", 0.9, a=1)])
    assert told(rows) == [
        ("baseline", "", 1, "", 0.5),
        ("defaults", "", 3, "", 0.52),
        ("tta-none", "views=none", 3, "defaults", 0.7),
        ("tta-extra", "a=1", 1, "baseline", 0.9),
    ]
    assert runs["tta-none"] == ["tta-none-s2", "tta-none-s3", "tta-none-s10"]
    assert runs["tta-extra"] == ["tta-extra"]


def test_a_mean_of_what_a_run_lacks_is_empty_and_a_base_that_is_not_there_none():
    [_, row], _ = pooled([COMMIT, run("tta-none-s1", 0.6, a=1), run("tta-none-s2", "", a=1)])
    assert told([row]) == [("tta-none", "a=1", 2, "", "")]


def test_runs_on_other_data_are_rows_of_their_own():
    two = [run("tta-d4-s1", 0.6, a=1), run("tta-d4-s2", 0.7, "0b", a=1)]
    rows, _ = pooled([COMMIT, *SEEDS[:1], *two])
    assert [(row["experiment"], row["seeds"], row["against"]) for row in rows[2:]] == [
        ("tta-d4 on 0a", 1, "defaults"),
        ("tta-d4 on 0b", 1, ""),
    ]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a-s1", ("a", 1)),
        ("a-b-s12", ("a-b", 12)),
        ("a-s1-s2", ("a-s1", 2)),
        ("a-s0", ("a-s0", 0)),
        ("a-s01", ("a-s01", 0)),
        ("a-small", ("a-small", 0)),
        ("-s1", ("-s1", 0)),
        ("a", ("a", 0)),
    ],
)
def test_names_of_runs_tell_their_seed(name, parts):
    assert split_seed(name) == parts


def test_without_metrics_there_is_nothing_to_compare_with():
    with pytest.raises(InputError, match="the last commit has no metrics; run `make repro`"):
        collect([{"rev": "workspace"}, revision("main", None)])


def test_without_experiments_nothing_is_fetched():
    assert intervals({}, {}, base="no such revision") == ({}, {})
    assert intervals({"a": ""}, {"a": ["a"]}, base="no such revision") == ({}, {})


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (
            {"x": ["x-s1", "x-s2"], "b": ["b-s1", "b-s3"]},
            "x has the seeds 1, 2 and b 1, 3; run both under the same ones",
        ),
        (
            {"x": ["x-s1", "x-s2"], "b": ["b-s1", "b-s2"]},
            "2 seeds do not tell chance; run 3 or more",
        ),
    ],
)
def test_seeds_that_do_not_pair_or_are_too_few_get_no_interval(runs, words):
    assert intervals({"x": "b"}, runs) == ({}, {"x": words})


MAKE = """\
import json
from pathlib import Path

import pandas as pd

found = int(Path("params.yaml").read_text().split(":")[1])
for split in ("oof", "val"):
    names = [f"{split}/{number:02}" for number in range(20)]
    images = pd.DataFrame({"name": names, "group": names, "image_id": range(20), "objects": 1})
    judged = pd.DataFrame({"image_id": range(20), "score": 0.5, "ranked": True})
    for percent in range(50, 100, 5):
        judged[f"tp_{percent}"] = judged["image_id"] < found
        judged[f"ignored_{percent}"] = False
    Path("data/evaluation").mkdir(parents=True, exist_ok=True)
    images.to_csv(f"data/evaluation/images_{split}.csv", index=False)
    judged.to_parquet(f"data/evaluation/detections_{split}.parquet")
Path("reports").mkdir(exist_ok=True)
metrics = {"oof.ap50": found / 20, "data": "0123456789ab" if found < 17 else "ba9876543210"}
Path("reports/metrics.json").write_text(json.dumps(metrics))
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
    """A pipeline that finds 10 of 20 objects; experiments find 16 and 11, one 18 on other data."""
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
            [*dvc, "exp", "run", "-q", "--temp", "-n", "other_data", "-S", "found=18"],
            *(
                [*dvc, "exp", "run", "-q", "--temp", "-n", f"{name}-s{seed}", "-S", f"found={n}"]
                for name, found in (("defaults", (9, 11, 12)), ("better", (13, 14, 15)))
                for seed, n in enumerate(found, start=1)
            ),
        ):
            run = subprocess.run(command, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
        yield root


@pytest.mark.slow
def test_the_table_holds_the_interval_of_every_difference(repository, capsys):
    main(["reports/ablation.csv"])
    with Path("reports/ablation.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["baseline", "better", "defaults", "more", "one_more", "other_data"]
    columns = ["experiment", "changes", "data", "seeds", "against"]
    assert list(rows["more"]) == [*columns, *METRICS, *BOUNDS]
    assert [row["data"] for row in rows.values()] == ["0123456789ab"] * 5 + ["ba9876543210"]
    seeds = [(row["seeds"], row["against"], row["oof.ap50"]) for row in rows.values()]
    assert seeds[1:3] == [("3", "defaults", "0.7"), ("3", "", "0.533333")]
    assert seeds[3] == ("1", "baseline", "0.8")
    low, high = (float(rows["better"][column]) for column in BOUNDS[:2])
    assert low < 0.7 - 0.533333 < high
    assert [rows["other_data"][column] for column in BOUNDS] == ["", "", "", ""]
    assert [rows["baseline"][column] for column in BOUNDS] == ["", "", "", ""]
    low, high = (float(rows["more"][column]) for column in BOUNDS[:2])
    assert 0 < low < 0.3 < high < 0.6
    assert float(rows["one_more"][BOUNDS[2]]) < 0  # one image alone
    told = capsys.readouterr().out
    assert "no interval" not in told
    assert "judged on other data than the commit, not compared: other_data" in told


@pytest.mark.slow
def test_experiments_are_compared_by_name_with_a_commit_and_the_workspace(repository, capsys):
    compare.main(["HEAD", "more", "one_more", "workspace", "--split", "val", "--metric", "ap50"])
    lines = capsys.readouterr().out.splitlines()[2:]
    names = [line.split(" | ")[2] for line in lines]
    assert names == ["HEAD", "more", "one_more", "workspace"]
    assert lines[1].endswith(" |  |")
    assert lines[2].endswith("not sure |")
    assert "| +0.0000 | +0.0000 | +0.0000 | 1.000 |" in lines[3]


@pytest.mark.slow
def test_an_experiment_on_other_data_is_not_compared(repository):
    words = r"other_data: judged on other data \(ba9876543210\) than HEAD \(0123456789ab\)"
    with pytest.raises(InputError, match=words):
        compare.main(["HEAD", "other_data", "--metric", "ap50"])
    with pytest.raises(InputError, match=r"than workspace \(0123456789ab\)"):
        compare.main(["workspace", "other_data", "--metric", "ap50"])


OLD = """\
experiment,changes,oof.ap50,oof.f1_50,oof.dice_mean,val.ap50,val.f1_50,val.dice_mean,extra
baseline,,{},,,,,,
dice,loss.dice_weight=5.0,0.6,,,,,,x
cells,dataset.root=data/raw/cells loss.w0=2,0.7,,,,,,
"""


@pytest.mark.slow
def test_a_table_of_before_gets_the_data_of_a_commit_with_its_figures(repository, capsys):
    path = repository / "old.csv"
    path.write_text(OLD.format("0.5"))
    main(["old.csv", "--fill"])
    lines = path.read_text().splitlines()
    assert lines[0] == OLD.splitlines()[0].replace("changes,", "changes,data,")
    assert lines[1:] == [
        "baseline,,0123456789ab,0.5,,,,,,",
        "dice,loss.dice_weight=5.0,0123456789ab,0.6,,,,,,x",
        "cells,dataset.root=data/raw/cells loss.w0=2,,0.7,,,,,,",
    ]
    assert "2 of 3 rows now name their data" in capsys.readouterr().out
    path.write_text(OLD.format("0.500001"))
    with pytest.raises(InputError, match="old.csv: oof.ap50 of baseline is 0.500001, and that of"):
        main(["old.csv", "--fill"])
    assert path.read_text() == OLD.format("0.500001")


def test_rows_that_name_their_data_keep_it():
    columns = ["experiment", "changes", "data", *METRICS]
    rows = [["baseline", "", "0a", "0.5", *[""] * 5], ["b", "a=[1, 2]", "", "0.6", *[""] * 5]]
    rows += [
        ["c", "split_folds.k=3", "", "0.6", *[""] * 5],
        ["d", "images.bands=[1]", "", "", *[""] * 5],
    ]
    table = pd.DataFrame(rows, columns=columns)
    filled, count = fill_data(table, {"oof.ap50": 0.5, "data": "0b"}, "table.csv")
    assert (filled["data"].tolist(), count) == (["0a", "0b", "0b", ""], 2)
    assert list(filled) == columns


def test_a_commit_that_does_not_name_its_data_fills_nothing():
    table = pd.DataFrame(columns=["experiment", "changes", *METRICS])
    with pytest.raises(InputError, match="reports/metrics.json of the last commit does not name"):
        fill_data(table, {"oof.ap50": 0.5}, "table.csv")
    assert fill_data(table, {"data": "0b"}, "table.csv")[1] == 0


@pytest.mark.slow
def test_where_the_tables_are_lost_cells_stay_empty_and_a_sentence_says_so(repository, capsys):
    shutil.rmtree(".dvc/cache")
    main(["reports/ablation.csv"])
    assert "no interval for better, more, one_more: " in capsys.readouterr().out
    text = Path("reports/ablation.csv").read_text()
    assert text.splitlines()[1:] == [
        "baseline,,0123456789ab,1,,0.5,,,,,,,,,",
        "better,,0123456789ab,3,defaults,0.7,,,,,,,,,",
        "defaults,,0123456789ab,3,,0.533333,,,,,,,,,",
        "more,found=16,0123456789ab,1,baseline,0.8,,,,,,,,,",
        "one_more,found=11,0123456789ab,1,baseline,0.55,,,,,,,,,",
        "other_data,found=18,ba9876543210,1,,0.9,,,,,,,,,",
    ]
    with pytest.raises(InputError, match="nowhere: its data/evaluation cannot be fetched"):
        compare.main(["nowhere", "HEAD"])
