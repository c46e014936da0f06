"""The section `trackers`: where the figures of each epoch go, beside TensorBoard and the curve.

The packages are no requirement of a run: each is imported where params.yaml names it. None of
what they write is an output of DVC, which would remove it when a training that died goes on.
"""

import importlib
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pydantic import Field, field_validator

from src.base.errors import InputError
from src.base.files import write_text
from src.base.params import Params

LIVE = Path(".dvclive")  # beside params.yaml, as the folder of a queued experiment has its own
HOME = "DVC_ROOT"  # of the environment: the repository, also in the folder of an experiment
EXPERIMENT = "DVC_EXP_NAME"  # likewise: what `dvc exp run` calls it
KEPT_SOON = {"x_transaction_log_flush_interval": 0.1}  # s; W&B has 15, which a kill would lose
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}

Name = Literal["dvclive", "mlflow", "wandb"]


class TrackersParams(Params):
    names: list[Name]
    project: str = Field(min_length=1)
    mlflow_uri: str = Field(min_length=1)
    wandb_mode: Literal["offline", "online"]

    @field_validator("names")
    @classmethod
    def _once(cls, names: list[Name]) -> list[Name]:
        if len(set(names)) < len(names):
            raise ValueError("each may be named once")
        return names


class Tracked(NamedTuple):
    """A training as its trackers know it."""

    name: str  # such as main/fold0
    settings: dict[str, Any]  # what it obeys: section -> its keys


class Tracker(NamedTuple):
    """A run of a tracker that is open."""

    run: str  # by which it is found again
    log: Callable[[int, dict[str, float]], None]
    end: Callable[[], object]


@contextmanager
def tracking(
    params: TrackersParams, tracked: Tracked, kept: Path | None
) -> Generator[Callable[[int, dict[str, float]], None]]:
    """Open a run of every tracker named, or the one that a training which died has begun.

    Parameters
    ----------
    params : TrackersParams
    tracked : Tracked
    kept : Path, optional
        JSON file of the runs that are open and the last step that each was told, with what the
        training goes on from: where that is gone, new runs begin. None keeps nothing.

    Yields
    ------
    log : callable
        `log(step, scalars)` tells all of them a step, one after the other; one that was told a
        step before is not told it again. Without trackers it does nothing.

    Raises
    ------
    InputError
        If a package is absent, or a tracker fails, as when its server cannot be reached. The runs
        are left as they are then, as after any error; else they are ended with the block.
    """
    # Not by `read_json`, which would hold this process to what it is going to write.
    before = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    open_, told = {}, dict(before)  # also those that are left out for a while
    for name in params.names:
        run = before.get(name, {}).get("run")
        with _sentence(name):
            open_[name] = OPEN[name](params, tracked, run)
        told[name] = {"run": open_[name].run, "step": before[name]["step"] if run else 0}

    def log(step: int, scalars: dict[str, float]) -> None:
        due = [name for name in open_ if told[name]["step"] < step]
        for name in due:
            with _sentence(name):
                open_[name].log(step, scalars)
            told[name]["step"] = step
            if kept is not None:
                write_text(kept, json.dumps(told))

    yield log
    for name, tracker in open_.items():
        with _sentence(name):
            tracker.end()


def _dvclive(params: TrackersParams, tracked: Tracked, run: str | None) -> Tracker:
    """Write tables that DVC can draw, and tell DVC Studio where the environment has its token."""
    folder = str(LIVE / tracked.name)
    # It writes no dvc.yaml: by default it would change that of the repository while a stage runs.
    live = _module("dvclive").Live(folder, resume=run is not None, dvcyaml=None, save_dvc_exp=False)

    def log(step: int, scalars: dict[str, float]) -> None:
        live.step = step
        for key, value in scalars.items():
            live.log_metric(key, value)
        live.next_step()

    return Tracker(folder, log, live.end)


def _mlflow(params: TrackersParams, tracked: Tracked, run: str | None) -> Tracker:
    mlflow = _module("mlflow")
    uri = params.mlflow_uri
    if uri == "none":
        uri = f"sqlite:///{_folder('.mlflow') / 'runs.db'}"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    if run is None:
        of = mlflow.set_experiment(params.project).experiment_id
        run = cast("str", client.create_run(of, run_name=tracked.name, tags=_tags()).info.run_id)
        for key, value in _flat(tracked.settings):
            client.log_param(run, key, value)
    else:
        client.update_run(run, status="RUNNING")

    def log(step: int, scalars: dict[str, float]) -> None:
        for key, value in scalars.items():
            client.log_metric(run, key, value, step=step)

    return Tracker(run, log, lambda: client.set_terminated(run))


def _wandb(params: TrackersParams, tracked: Tracked, run: str | None) -> Tracker:
    wandb = _module("wandb")
    live = wandb.init(
        project=params.project,
        group=os.environ.get(EXPERIMENT, "workspace"),
        name=tracked.name,
        id=run,
        resume="allow",
        mode=params.wandb_mode,
        dir=str(_folder(".wandb")),
        config=tracked.settings,
        settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, **KEPT_SOON),
    )

    def log(step: int, scalars: dict[str, float]) -> None:
        live.log(scalars, step=step, commit=True)

    return Tracker(live.id, log, live.finish)


OPEN: dict[str, Callable[[TrackersParams, Tracked, str | None], Tracker]] = {
    "dvclive": _dvclive,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def _module(name: str) -> Any:
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"params.yaml: trackers.names: {name} cannot be imported ({error}); "
            "pip install -r requirements-trackers.txt, or leave it out"
        ) from None


def _folder(name: str) -> Path:
    """Make a folder of the repository, which outlives that of a queued experiment."""
    folder = Path(os.environ.get(HOME, ".")).absolute() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tags() -> dict[str, str]:
    return {"experiment": os.environ[EXPERIMENT]} if EXPERIMENT in os.environ else {}


def _flat(settings: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Name each value of nested maps by its way through them."""
    found = []
    for key, value in settings.items():
        name = f"{above}{key}"
        found += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found


@contextmanager
def _sentence(name: str) -> Generator[None]:
    """Let an exception of a tracker's own be told in a sentence; any other passes."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] != name:
            raise
        first = str(error).partition("\n")[0]
        raise InputError(
            f"params.yaml: trackers.names: {name} fails: {first}; mend it or leave it out, which "
            "trains nothing again"
        ) from error
