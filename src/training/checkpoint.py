"""What a training that dies goes on from: all of its state in one file, without pickle."""

import hashlib
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src.base.changes import code_digests
from src.base.errors import InputError
from src.base.files import new_file
from src.base.running import Terminated
from src.training import processes

MINUTES = "CHECKPOINT_MINUTES"  # no param, of which a change would train a finished network again
DEFAULT_MINUTES = 2.0
SHARE = 50  # and, without MINUTES, as many times as long as writing took: it costs at most 2 %
FILE = "training.safetensors"

Tensors = dict[str, torch.Tensor]


class Kept(NamedTuple):
    """The weights after one epoch that may be the ones to keep."""

    rank: float  # by the hold-out; the number of the epoch where there is none
    state: Tensors


@dataclass
class Progress:
    """How far a training has come, beside its networks and its optimiser. The loop moves it on."""

    phase: int = 0
    done: int = 0  # epochs of the phase
    lr: float = 0.0  # at the begin of the epoch under way
    losses: list[float] = field(default_factory=list)  # of each batch of it, replays too
    steps: int = 0  # of the optimiser, in all phases
    images: int = 0  # fresh ones seen, in all epochs
    best: float = -math.inf  # rank of the phase by the hold-out
    looks: int = 0  # since then
    curve: list[dict] = field(default_factory=list)  # one row per epoch
    kept: list[Kept] = field(default_factory=list)


class Checkpoints:
    """Where the state of a training is kept, and when it is time to write it again.

    Of several processes the first writes, and all read.

    Parameters
    ----------
    folder : Path, optional
        Of this training alone, such as .checkpoints/main/fold0; None keeps nothing.
    fingerprint : str
        Of all that decides what the training comes to. What lies there of others is removed: it
        can never be gone on from.

    Raises
    ------
    InputError
        If the environment variable CHECKPOINT_MINUTES is no number from 0 up.
    """

    def __init__(self, folder: Path | None, fingerprint: str = ""):
        self.path = None if folder is None else folder / fingerprint / FILE
        self.seconds, self.share = 60 * _minutes(), 0 if MINUTES in os.environ else SHARE
        self.written = time.monotonic()
        self.asked = False  # to write and stop at the next step
        if folder is not None and folder.is_dir() and not processes.rank():
            for other in folder.iterdir():
                if other.name != fingerprint:
                    shutil.rmtree(other, ignore_errors=True)

    @contextmanager
    def watching(self) -> Generator[None]:
        """Let SIGTERM wait for the next step, and add to any early end where the state is."""
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        except BaseException as error:
            if self.path is not None and self.path.is_file():
                error.add_note(f"the same command goes on from {self.path}")
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True

    def due(self) -> bool:
        """Tell whether it is time to write, by the clock of the first process, or to stop."""
        waited = time.monotonic() - self.written
        late = self.path is not None and waited >= self.seconds and not processes.rank()
        self.asked, late = processes.any_of(self.asked, late)  # SIGTERM may reach but some
        return self.asked or late

    def write(self, state: dict[str, Any]) -> None:
        """Write a state of maps, lists, numbers, texts and tensors, whole or not at all.

        Raises
        ------
        OSError
            If there is no room for it; what was written before is still there.
        Terminated
            After SIGTERM, once it is written.
        """
        began = time.monotonic()
        if self.path is not None and not processes.rank():
            self._write(self.path, state)
        self.written = time.monotonic()
        self.seconds = max(self.seconds, self.share * (self.written - began))
        if self.asked:
            raise Terminated

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        tensors: Tensors = {}
        text = json.dumps(_without_tensors(state, tensors, ""))
        with new_file(path) as partial:
            try:
                save_file(tensors, partial, metadata={"state": text})
            except SafetensorError as error:
                raise OSError(f"{path}: {error}") from None
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # else a crash of the machine may leave the name alone

    def read(self) -> dict[str, Any] | None:
        """Return what was written last, tensors on the CPU; None if nothing was.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                state = json.loads(file.metadata()["state"])
                return _with_tensors(state, file)
        except (SafetensorError, ValueError, KeyError, TypeError):
            raise InputError(f"{self.path}: no checkpoint that can be read; remove it") from None

    def remove(self) -> None:
        """Remove what was written, and the folder; not that of another training that runs."""
        if self.path is not None:
            shutil.rmtree(self.path.parent.parent, ignore_errors=True)


def fingerprint(settings: Any, model: nn.Module, files: Iterable[Path]) -> str:
    """Digest all that decides what a training comes to.

    Parameters
    ----------
    settings
        What it obeys; anything whose `repr` tells all of it.
    model : nn.Module
        As training begins, whatever its weights come from.
    files : iterable of Path
        What is learnt from and looked at.

    Returns
    -------
    digest : str
        Of 16 hexadecimal digits. The code that is loaded and the version of torch go in besides.
    """
    total = hashlib.sha256(repr((settings, torch.__version__, code_digests())).encode())
    for key, value in model.state_dict().items():
        total.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def training_state(
    progress: Progress,
    model: nn.Module,
    average: nn.Module,
    optimiser: Optimizer | None = None,
    schedule: LRScheduler | None = None,
) -> dict[str, Any]:
    """Return all that a training goes on from; its tensors are those in use, not copies.

    All processes are to call it at once: each has random numbers of its own.

    Parameters
    ----------
    progress : Progress
    model, average : nn.Module
        May be the same.
    optimiser, schedule
        Of the phase; None after the last one.
    """
    state = {
        "progress": vars(progress),
        "model": model.state_dict(),
        "random": {"cpu": processes.gathered(torch.get_rng_state())},
    }
    if average is not model:
        state["average"] = average.state_dict()
    if torch.cuda.is_available():
        state["random"]["cuda"] = processes.gathered(torch.cuda.get_rng_state())
    if optimiser is not None and schedule is not None:
        state["optimiser"] = optimiser.state_dict()
        state["schedule"] = schedule.state_dict()
    return state


def progress_of(state: dict[str, Any]) -> Progress:
    """Return how far the training of a state had come."""
    found = state["progress"]
    return Progress(**found | {"kept": [Kept(*one) for one in found["kept"]]})


def restore_networks(state: dict[str, Any], model: nn.Module, average: nn.Module) -> None:
    """Put the weights of a state into the networks; their layout in memory stays."""
    model.load_state_dict(state["model"])
    if average is not model:
        average.load_state_dict(state["average"])


def restore_optimiser(state: dict[str, Any], optimiser: Optimizer, schedule: LRScheduler) -> None:
    """Put what a state holds of them into the fresh optimiser and schedule of its phase."""
    saved = state["optimiser"]
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    moments = {
        int(number): {key: _like(weights[int(number)], value) for key, value in of_one.items()}
        for number, of_one in saved["state"].items()
    }
    optimiser.load_state_dict({"state": moments, "param_groups": saved["param_groups"]})
    schedule.load_state_dict(state["schedule"])


def restore_random(state: dict[str, Any]) -> None:
    """Go on with the random numbers that this process had."""
    torch.set_rng_state(state["random"]["cpu"][processes.rank()])
    if torch.cuda.is_available() and "cuda" in state["random"]:
        torch.cuda.set_rng_state(state["random"]["cuda"][processes.rank()])


def _like(weight: torch.Tensor, value: Any) -> Any:
    """Lay a moment out in memory as its weight, which fused optimisers count on."""
    if isinstance(value, torch.Tensor) and value.shape == weight.shape:
        return torch.empty_like(weight).copy_(value)
    return value


def _minutes() -> float:
    text = os.environ.get(MINUTES, str(DEFAULT_MINUTES))
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not minutes >= 0:
        raise InputError(f"{MINUTES} {text!r}: must be a number of minutes from 0 up")
    return minutes


def _without_tensors(node: Any, tensors: Tensors, name: str) -> Any:
    """Put the tensors of nested maps and lists aside, and the name of each in its place."""
    if isinstance(node, torch.Tensor):
        tensors[name] = node.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(node, dict):
        return {str(k): _without_tensors(v, tensors, f"{name}/{k}") for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [_without_tensors(one, tensors, f"{name}/{i}") for i, one in enumerate(node)]
    return node


def _with_tensors(node: Any, file: Any) -> Any:
    if isinstance(node, dict):
        if node.keys() == {"tensor"}:
            return file.get_tensor(node["tensor"])
        return {key: _with_tensors(value, file) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_tensors(one, file) for one in node]
    return node
