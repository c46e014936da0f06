"""The training loop: phases of epochs of steps, written out."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from src.base.errors import InputError
from src.formats.labels import IGNORED
from src.training.crops import TrainingCrops
from src.training.epoch_draws import epoch_draws
from src.training.freezing import parameter_groups, set_training_mode, thaw
from src.training.hard_examples import with_replays
from src.training.schedules import phase_optimiser
from src.training.weight_average import (
    average_states,
    averaged_tensors,
    snapshot_weights,
    update_average,
)

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Trained(NamedTuple):
    """What `fit` makes."""

    state: dict[str, torch.Tensor]  # of the network to keep
    curve: list[dict]  # one row per epoch
    averaged: int  # epochs the state is the mean of; from 2 up its batch-norm statistics are off


class Kept(NamedTuple):
    """The weights after one epoch that may be the ones to keep."""

    rank: float  # Dice of the hold-out; the number of the epoch where there is none
    state: dict[str, torch.Tensor]


def fit(
    model: nn.Module,
    batch_loss: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    learnt: TrainingCrops,
    watched: dict[str, TrainingCrops],
    *,
    regime: dict,
    losses: list[dict],
    sampling: np.ndarray | None,
    device: torch.device,
    title: str,
    on_epoch: Callable[[dict], None],
) -> Trained:
    """Train a network, in place, through all phases.

    Parameters
    ----------
    model : nn.Module
        On `device`.
    batch_loss : callable
        `batch_loss(model, batch, loss=...)` returns loss, logits and target of a batch.
    learnt : TrainingCrops
        What is learnt from.
    watched : dict of TrainingCrops
        "fold" is looked at only; by "holdout" the epoch is chosen. Either may have no image.
    regime : dict
        The section `train` of the params.
    losses : list of dict
        The section `loss` as each phase has it.
    sampling : ndarray of float, shape (images,), optional
        Images are drawn in proportion to it; None draws each once an epoch.
    device : torch.device
    title : str
        Stands before the progress bar.
    on_epoch : callable
        Gets every row of the curve as soon as it is made.

    Returns
    -------
    trained : Trained
        The best epoch by the Dice of the hold-out, or the last one where there is no hold-out;
        with `snapshots` the weighted mean of as many, the best (or last) weighing most.

    Raises
    ------
    InputError
        If the loss becomes no finite number, or `early_stopping` has nothing to look at.
    """
    chooses = bool(watched["holdout"].names and regime["evaluate_every"])
    if regime["early_stopping"] and not chooses:
        raise InputError(
            f"params.yaml: train.early_stopping {regime['early_stopping']} has nothing to look at; "
            "set train.holdout and train.evaluate_every above 0"
        )
    phases = list(zip(regime["phases"], losses, strict=True)) * regime["repeat"]
    epochs = sum(phase["epochs"] for phase, _ in phases)
    images = sum(p["epochs"] * len(_draw(learnt, p, regime, sampling, 0)) for p, _ in phases)
    average = copy.deepcopy(model).eval() if regime["ema_decay"] else model
    look = partial(batch_loss, average, loss=losses[0])
    curve, kept, steps = [], [], itertools.count()
    with tqdm(total=images, desc=f"train {title}", unit="image", smoothing=0.05) as bar:
        for number, (phase, loss) in enumerate(phases):
            best, looks = -1.0, 0  # of this phase, at the hold-out
            learn = partial(batch_loss, model, loss=loss)
            shared = {"regime": regime, "sampling": sampling, "device": device, "bar": bar}
            for row in _epochs(model, average, learn, learnt, phase, len(curve), steps, **shared):
                row |= {"phase": number}
                if not math.isfinite(row["train_loss"]):
                    raise InputError(
                        f"params.yaml: train.phases.{number % len(losses)}: the loss became "
                        f"{row['train_loss']} in epoch {row['epoch']}; lower lr {phase['lr']}, set "
                        "train.gradient_clip, or compute in train.precision float32"
                    )
                every = regime["evaluate_every"]
                due = every and (row["epoch"] % every == 0 or row["epoch"] == epochs)
                for kind, crops in watched.items():
                    row |= _watch(average, crops if due else None, look, regime, device, kind)
                curve.append(row)
                on_epoch(row)
                rank = row["holdout_dice"] if chooses else float(row["epoch"])
                late = row["epoch"] > epochs - max(regime["snapshots"], 1)
                if late if not chooses else not math.isnan(rank):
                    kept = _keep(kept, rank, average, max(regime["snapshots"], 1))
                if regime["early_stopping"] and not math.isnan(rank):
                    best, looks = (rank, 0) if rank > best else (best, looks + 1)
                    if looks == regime["early_stopping"]:
                        break
    weights = snapshot_weights(len(kept), regime["snapshot_decay"])
    state = average_states([state for _, state in kept], weights)
    return Trained(state, curve, len(kept))


def _epochs(
    model: nn.Module,
    average: nn.Module,
    learn: Callable,
    learnt: TrainingCrops,
    phase: dict,
    epochs_before: int,
    steps: Iterator[int],
    *,
    regime: dict,
    sampling: np.ndarray | None,
    device: torch.device,
    bar: tqdm,
) -> Iterator[dict]:
    """Train epoch by epoch through one phase; yield what is known after each."""
    draws = _draw(learnt, phase, regime, sampling, 0)
    loader = loader_of(learnt, draws, regime)
    optimiser, schedule = _fresh_optimiser(model, phase, regime, len(loader))
    averaged = averaged_tensors(average, model)
    for done in range(phase["epochs"]):
        row = {"epoch": epochs_before + done + 1, "lr": optimiser.param_groups[0]["lr"]}
        draws[:] = _draw(learnt, phase, regime, sampling, row["epoch"])  # the loader's sampler
        thaw(model, freeze=phase["freeze"], progress=done / phase["epochs"])
        set_training_mode(model, freeze_batch_norm=regime["freeze_batch_norm"])
        losses = []  # of every batch, in order
        batches = with_replays(_moved(loader, device, bar), losses, regime["replay"])
        for _ in _steps(model, batches, learn, losses, optimiser, regime):
            schedule.step()
            if regime["ema_decay"]:
                update_average(averaged, decay=regime["ema_decay"], step=next(steps))
            bar.set_postfix(epoch=row["epoch"], loss=f"{losses[-1]:.3f}", refresh=False)
        yield row | {"train_loss": float(np.mean(losses))}


def _steps(model, batches: Iterable[Batch], learn, losses: list[float], optimiser, regime):
    """Step the optimiser once for every `accumulate` batches; yield after each step.

    A step follows the mean over all its images, so accumulation equals the large batch for every
    loss that is a mean over images. Ends early at a loss that is not finite.
    """
    batches, accumulate = iter(batches), regime["accumulate"]
    learning = [weight for group in optimiser.param_groups for weight in group["params"]]
    while True:
        optimiser.zero_grad(set_to_none=True)
        images = 0
        for batch in itertools.islice(batches, accumulate):
            loss = learn(batch)[0]
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                return
            (loss if accumulate == 1 else loss * len(batch[0])).backward()
            images += len(batch[0])
        if not images:
            return
        if accumulate > 1:
            torch._foreach_div_([w.grad for w in learning if w.grad is not None], images)
        if regime["gradient_clip"]:
            torch.nn.utils.clip_grad_norm_(learning, regime["gradient_clip"])
        optimiser.step()
        yield


@torch.inference_mode()
def _watch(
    model: nn.Module, crops: TrainingCrops | None, look, regime: dict, device, kind: str
) -> dict[str, float]:
    """Return loss and mean Dice on images that are not learnt from, NaN where there are none."""
    if crops is None or not crops.names:
        return {f"{kind}_loss": math.nan, f"{kind}_dice": math.nan}
    model.eval()
    total, dices = 0.0, []
    loader = loader_of(crops, [(i, 0) for i in range(len(crops))], regime)
    for batch in _moved(loader, device):
        loss, logits, target = look(batch)
        total += loss.item() * len(logits)
        found, truth = (logits > 0) & (target != IGNORED), target == 1
        both, either = (found & truth).sum((1, 2)), found.sum((1, 2)) + truth.sum((1, 2))
        dices += torch.where(either > 0, 2 * both / either.clamp(min=1), 1.0).tolist()
    return {f"{kind}_loss": total / len(crops), f"{kind}_dice": float(np.mean(dices))}


def _keep(kept: list[Kept], rank: float, model: nn.Module, count: int) -> list[Kept]:
    """Add a copy of the weights if they are among the `count` best; of equals the earlier one."""
    if len(kept) == count and rank <= kept[-1].rank:
        return kept
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    return sorted([*kept, Kept(rank, state)], key=lambda one: -one.rank)[:count]


def _draw(crops: TrainingCrops, phase: dict, regime: dict, sampling, epoch: int) -> list:
    return epoch_draws(
        len(crops),
        fraction=phase["fraction"],
        batch_size=regime["batch_size"],
        seed=regime["seed"],
        epoch=epoch,
        weights=sampling,
    )


def loader_of(crops: TrainingCrops, draws: list[tuple[int, int]], regime: dict) -> DataLoader:
    """Make the loader of the batches of these draws, (index, augmentation seed), in their order."""
    return DataLoader(
        crops,
        regime["batch_size"],
        sampler=draws,
        num_workers=regime["workers"],
        persistent_workers=regime["workers"] > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _moved(loader: DataLoader, device: torch.device, bar: tqdm | None = None) -> Iterator[Batch]:
    """Yield the batches on the device."""
    for batch in loader:
        yield tuple(part.to(device, non_blocking=True) for part in batch)
        if bar is not None:
            bar.update(len(batch[0]))


def _fresh_optimiser(model: nn.Module, phase: dict, regime: dict, batches: int):
    """Make the optimiser and the schedule of a phase from its batches per epoch."""
    batches += batches // regime["replay"] if regime["replay"] else 0
    steps = -(-batches // regime["accumulate"])
    return phase_optimiser(
        parameter_groups(model, lr=phase["lr"], encoder_lr=phase["encoder_lr"]),
        optimiser=phase["optimiser"],
        schedule=phase["schedule"],
        weight_decay=regime["weight_decay"],
        min_lr=phase["min_lr"],
        cycle_steps=phase["cycle_epochs"] * steps,
        step_factor=phase["step_factor"],
        steps=phase["epochs"] * steps,
    )
