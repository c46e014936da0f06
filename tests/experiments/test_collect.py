import pytest

from experiments.collect import METRICS, collect
from src.errors import InputError

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
