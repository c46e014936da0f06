import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.base.errors import InputError
from src.training.trackers import Tracked, TrackersParams, tracking
from tests.sections import PARAMS
from tests.small_repository import dvc

ROOT = Path(__file__).parents[3]
ITS_OWN = "ignore:The ``noload`` loader strategy is deprecated"  # MLflow with SQLAlchemy 2.1
BLOCK, WHOLE, LAST = 32768, 1, 4
TRACKED = Tracked("main/fold0", {"train": {"seed": 3}, "model": {"mean": [0.5, 0.25]}})
FIGURES = ".dvclive/main/fold0/plots/metrics"
STEPS = {1: {"lr": 0.002, "train_loss": 0.75}, 2: {"lr": 0.001, "train_loss": 0.5, "fold_dice": 1}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder that everything is written to; the experiment is called walnut."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "walnut")
    return tmp_path


def params(*names, **changes):
    return TrackersParams.model_validate(PARAMS["trackers"] | {"names": list(names)} | changes)


def tell(folder, *names, steps=STEPS, kept=True, dies=False, **changes):
    kept = folder / "kept.json" if kept else None
    with tracking(params(*names, **changes), TRACKED, kept) as log:
        for step, scalars in steps.items():
            log(step, scalars)
        if dies:
            raise ZeroDivisionError


def die(folder, *names, steps):
    """Tell some steps and end as a training does that dies."""
    with pytest.raises(ZeroDivisionError):
        tell(folder, *names, steps={step: STEPS[step] for step in steps}, dies=True)


def test_by_default_nothing_is_written(folder):
    tell(folder)
    assert list(folder.iterdir()) == []
    assert PARAMS["trackers"]["names"] == []


def test_a_package_that_is_absent_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    words = "trackers.names: wandb cannot be imported .*pip install -r requirements-trackers.txt"
    with pytest.raises(InputError, match=words):
        tell(folder, "wandb")


@pytest.mark.parametrize("names", [["dvclive", "dvclive"], ["tensorboard"], "mlflow"])
def test_names_are_known_and_each_is_there_once(names):
    with pytest.raises(ValueError, match="names"):
        TrackersParams.model_validate(PARAMS["trackers"] | {"names": names})


# -- DVCLive -----------------------------------------------------------------------------------


@pytest.fixture
def repository(folder):
    pytest.importorskip("dvclive", reason="dvclive is not installed")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(f"plots:\n  - {FIGURES}:\n      x: step\n")
    (folder / ".gitignore").write_text(".dvclive/\n")
    subprocess.run(["git", "add", "."], cwd=folder, check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, "commit", "-qm", "all"], cwd=folder, check=True)
    return folder


def table(folder, name):
    with (folder / FIGURES / f"{name}.tsv").open() as file:
        return [
            (int(row["step"]), float(row[name])) for row in csv.DictReader(file, delimiter="\t")
        ]


def test_dvclive_has_a_table_of_each_figure_and_changes_no_file_of_git(repository):
    tell(repository, "dvclive")
    assert table(repository, "train_loss") == [(1, 0.75), (2, 0.5)]
    assert table(repository, "fold_dice") == [(2, 1.0)]
    last = json.loads((repository / ".dvclive/main/fold0/metrics.json").read_text())
    assert last == {"lr": 0.001, "train_loss": 0.5, "fold_dice": 1, "step": 2}
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    told = subprocess.run(status, cwd=repository, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["??", "kept.json"]


def test_dvc_draws_what_dvclive_has_written_though_git_ignores_it(repository):
    tell(repository, "dvclive")
    drawn = json.loads(dvc(repository, "plots", "show", "--json", "--split"))
    assert "errors" not in drawn
    assert drawn["data"].keys() == {f"{FIGURES}/{key}.tsv" for key in STEPS[2]}


def test_dvclive_goes_on_in_the_tables_and_begins_anew_without_what_was_kept(repository):
    die(repository, "dvclive", steps=[1])
    tell(repository, "dvclive")  # all steps, as a training that goes on tells them
    assert table(repository, "train_loss") == [(1, 0.75), (2, 0.5)]
    (repository / "kept.json").unlink()
    tell(repository, "dvclive", steps={1: {"train_loss": 9.0}})
    assert table(repository, "train_loss") == [(1, 9.0)]


def test_a_tracker_that_is_left_out_for_a_while_goes_on_in_its_run(repository):
    die(repository, "dvclive", steps=[1])
    die(repository, steps=[2])
    tell(repository, "dvclive")
    assert table(repository, "train_loss") == [(1, 0.75), (2, 0.5)]


# -- MLflow ------------------------------------------------------------------------------------


@pytest.fixture
def runs(folder):
    """Function that returns the runs of the experiment as another reader of the database."""
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")

    def runs(project="maskline"):
        client = mlflow.MlflowClient(f"sqlite:///{folder / '.mlflow/runs.db'}")
        found = client.search_runs([client.get_experiment_by_name(project).experiment_id])
        return [(run, lambda key, run=run: history(client, run, key)) for run in found]

    return runs


def history(client, run, key):
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)]


@pytest.mark.slow
@pytest.mark.filterwarnings(ITS_OWN)
def test_mlflow_has_figures_and_settings_in_one_run_also_after_a_death(folder, runs):
    die(folder, "mlflow", steps=[1])
    [(run, _)] = runs()
    assert run.info.status == "RUNNING"
    tell(folder, "mlflow")
    [(run, figures)] = runs()
    assert run.info.run_name == "main/fold0"
    assert run.info.status == "FINISHED"
    assert run.data.tags["experiment"] == "walnut"
    assert run.data.params == {"train.seed": "3", "model.mean": "[0.5, 0.25]"}
    assert figures("train_loss") == [(1, 0.75), (2, 0.5)]
    assert figures("fold_dice") == [(2, 1.0)]
    tell(folder, "mlflow", kept=False)
    assert len(runs()) == 2
    tell(folder, "mlflow", project="other")
    assert len(runs()) == 2


@pytest.mark.slow
def test_a_tracker_that_fails_is_named(folder, runs):
    with pytest.raises(InputError, match="trackers.names: mlflow fails: .*leave it out"):
        tell(folder, "mlflow", mlflow_uri="gopher://somewhere")


# -- Weights & Biases --------------------------------------------------------------------------


def entries(path):
    """Return the records of a file of W&B: a header of 7 bytes, then LevelDB's format of logs."""
    content, place, parts = path.read_bytes(), 7, []
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:  # a header of a part does not fit
            place += BLOCK - place % BLOCK
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts.append(content[place + 7 : place + 7 + size])
        place += 7 + size
        if kind in (WHOLE, LAST):
            yield b"".join(parts)
            parts = []


def records(folder):
    """Return what the files of offline runs hold: id -> what it is, its rows, their steps."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}
    for path in sorted((folder / ".wandb").glob("wandb/offline-run-*/*.wandb")):
        for entry in entries(path):
            record = Record.FromString(entry)
            if record.HasField("run"):
                run = record.run
                config = {one.key: json.loads(one.value_json) for one in run.config.update}
                told = (run.project, run.run_group, run.display_name, config)
                _, rows, steps = found.setdefault(run.run_id, (told, [], []))
            if record.HasField("history"):
                items = record.history.item
                row = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
                rows.append({key: value for key, value in row.items() if key[0] != "_"})
                steps.append(record.history.step.num)
    return found


@pytest.mark.slow
def test_wandb_offline_has_figures_and_settings_under_one_run_also_after_a_death(folder):
    pytest.importorskip("wandb", reason="wandb is not installed")
    script = (
        "import sys; from pathlib import Path; from tests.src.training import test_trackers as t\n"
        "t.tell(Path('.'), 'wandb', steps={n: t.STEPS[n] for n in map(int, sys.argv[1:])})"
    )
    for steps in (["1"], ["1", "2"]):  # the second as one that goes on
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        subprocess.run([sys.executable, "-c", script, *steps], check=True, env=environment)
    [(told, rows, steps)] = records(folder).values()
    assert told[:3] == ("maskline", "walnut", "main/fold0")
    assert {key: told[3][key] for key in TRACKED.settings} == TRACKED.settings
    assert rows == [STEPS[1], STEPS[2]]
    assert steps == [1, 2]
