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
from tqdm import tqdm

from src.base.errors import InputError
from src.losses.params import LossParams
from src.training import processes
from src.training.batches import Batch, Draws, batches_of, load_batch, loader_of, moved
from src.training.checkpoint import (
    Checkpoints,
    Kept,
    Progress,
    Tensors,
    progress_of,
    restore_networks,
    restore_optimiser,
    restore_random,
    training_state,
)
from src.training.crops import TrainingCrops
from src.training.epoch_draws import epoch_draws
from src.training.freezing import parameter_groups, set_training_mode, thaw
from src.training.hard_examples import round_so_far, with_replays
from src.training.looks import rank_of, watch
from src.training.mean_teacher import Consistency, consistent
from src.training.params import Phase, TrainParams
from src.training.schedules import phase_optimiser
from src.training.weight_average import (
    average_states,
    averaged_tensors,
    differing_statistics,
    snapshot_weights,
    update_average,
)


class Trained(NamedTuple):
    """What `fit` makes."""

    state: Tensors  # of the network to keep
    curve: list[dict]  # one row per epoch
    stale: list[str]  # batch norms that differ between the epochs the state is the mean of


def fit(
    model: nn.Module,
    batch_loss: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    learnt: TrainingCrops,
    watched: dict[str, TrainingCrops],
    *,
    train: TrainParams,
    losses: list[LossParams],
    sampling: np.ndarray | None,
    device: torch.device,
    title: str,
    on_epoch: Callable[[dict], None],
    checkpoints: Checkpoints,
    consistency: Consistency | None = None,
) -> Trained:
    """Train a network, in place, through all phases, or go on with a training that died.

    Such a training ends with the same bits as one that did not (on a CPU): what is drawn is a
    function of seed and epoch, and the rest lies in the checkpoint, inside an epoch too.

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
    train : TrainParams
    losses : list of LossParams
        The section `loss` as each phase has it.
    sampling : ndarray of float, shape (images,), optional
        Images are drawn in proportion to it; None draws each once an epoch.
    device : torch.device
    title : str
        Stands before the progress bar.
    on_epoch : callable
        Gets every row of the curve as soon as it is made, first those of a training that goes on.
    checkpoints : Checkpoints
        Where its state is kept; `remove` them when what is returned is safe.
    consistency : Consistency, optional
        How the network is held to its moving average, which there must be.

    Returns
    -------
    trained : Trained
        The best epoch by the hold-out, as `choose_by` says, or the last one where there is none;
        with `snapshots` the weighted mean of as many, the best (or last) weighing most.

    Raises
    ------
    InputError
        If the loss becomes no finite number.
    """
    chooses = bool(len(watched["holdout"]) and train.evaluate_every)
    phases = list(zip(train.phases, losses, strict=True)) * train.repeat
    epochs = sum(phase.epochs for phase, _ in phases)
    draws = partial(epoch_draws, len(learnt), train=train, weights=sampling)
    images = sum(phase.epochs * len(draws(phase, epoch=0)) for phase, _ in phases)
    average = copy.deepcopy(model).eval() if train.ema_decay else model
    look = partial(watch, average, partial(batch_loss, loss=losses[0]), train=train, device=device)
    progress, saved = _progress(checkpoints, model, average)
    if saved:
        title += f", goes on from epoch {min(len(progress.curve) + 1, epochs)}"
    for row in progress.curve:
        on_epoch(row)
    with _bar(title, images, progress.images) as bar, checkpoints.watching():
        while progress.phase < len(phases):
            phase, loss = phases[progress.phase]
            learn = partial(batch_loss, loss=loss, whole=processes.whole_batch)
            shared = {"train": train, "draws": draws, "device": device, "bar": bar}
            shared |= {"checkpoints": checkpoints, "saved": saved}
            if consistency:
                held = {"consistency": consistency, "progress": progress, "epochs": epochs}
                shared["hold"] = partial(consistent, teacher=average, seed=train.seed, **held)
            for row in _epochs(model, average, learn, learnt, phase, progress, **shared):
                row |= {"phase": progress.phase}
                _refuse_endless(row, phase, progress.phase % len(losses))
                every = train.evaluate_every
                due = every and (row["epoch"] % every == 0 or row["epoch"] == epochs)
                for kind, crops in watched.items():
                    row |= look(crops if due else None, kind)
                progress.curve.append(row)
                on_epoch(row)
                rank = rank_of(row, train.choose_by) if chooses else float(row["epoch"])
                if chooses or row["epoch"] > epochs - max(train.snapshots, 1):
                    progress.kept = _keep(progress.kept, rank, average, max(train.snapshots, 1))
                if train.early_stopping and _gains_no_more(progress, rank, train.early_stopping):
                    break
            progress.phase, progress.done, progress.losses = progress.phase + 1, 0, []
            progress.best, progress.looks, saved = -math.inf, 0, None
        checkpoints.write(training_state(progress, model, average))
    weights = snapshot_weights(len(progress.kept), train.snapshot_decay)
    states = [state for _, state in progress.kept]
    return Trained(average_states(states, weights), progress.curve, differing_statistics(states))


def _progress(
    checkpoints: Checkpoints, model: nn.Module, average: nn.Module
) -> tuple[Progress, dict | None]:
    """Begin a training, or put back what an earlier run of it left and return that too."""
    saved = checkpoints.read()
    if not saved:
        processes.draw_own_numbers()
        return Progress(), None
    restore_networks(saved, model, average)
    restore_random(saved)
    return progress_of(saved), saved


def _bar(title: str, images: int, seen: int) -> tqdm:
    """Show how many of the images that all epochs have together were seen, in one process."""
    shown = {"unit": "image", "smoothing": 0.05, "disable": processes.rank() > 0}
    return tqdm(total=images, initial=seen, desc=f"train {title}", **shown)


def _epochs(
    model: nn.Module,
    average: nn.Module,
    learn: Callable,
    learnt: TrainingCrops,
    phase: Phase,
    progress: Progress,
    *,
    train: TrainParams,
    draws: Callable[..., Draws],
    device: torch.device,
    bar: tqdm,
    checkpoints: Checkpoints,
    saved: dict | None,
    hold: Callable | None = None,
) -> Iterator[dict]:
    """Train the epochs that are left of one phase; yield what is known after each."""
    shares = _shares(draws(phase, epoch=0), train)
    loader = loader_of(learnt, shares, train)
    optimiser, schedule = _fresh_optimiser(model, phase, train, len(loader))
    if saved and "optimiser" in saved:
        restore_optimiser(saved, optimiser, schedule)
    averaged = averaged_tensors(average, model)

    def write_if_due() -> None:
        if checkpoints.due():
            progress.images = bar.n
            checkpoints.write(training_state(progress, model, average, optimiser, schedule))

    while progress.done < phase.epochs:
        if not progress.losses:
            progress.lr = optimiser.param_groups[0]["lr"]
        row = {"epoch": len(progress.curve) + 1, "lr": progress.lr}
        drawn = draws(phase, epoch=row["epoch"])
        all_shares = _shares(drawn, train)
        fresh, worst = round_so_far(progress.losses, train.replay)
        shares[:] = all_shares[fresh:]  # the loader looks there
        replay = None if worst is None else load_batch(all_shares[worst], learnt, train, device)
        thaw(model, freeze=phase.freeze, progress=progress.done / phase.epochs)
        set_training_mode(model, freeze_batch_norm=train.freeze_batch_norm)
        learn_share = partial(
            learn, processes.replica(model, sync_batch_norm=train.sync_batch_norm)
        )
        if hold:
            learn_share = partial(hold, learn=learn_share)
        loaded = iter(loader)  # draws a random number
        if saved:
            restore_random(saved)
            saved = None
        write_if_due()
        fresh_batches = moved(loaded, device, bar, min(train.batch_size, len(drawn)))
        batches = with_replays(fresh_batches, progress.losses, train.replay, replay)
        for _ in _steps(batches, learn_share, progress.losses, optimiser, train):
            schedule.step()
            processes.share_statistics(model)
            if train.ema_decay:
                update_average(averaged, decay=train.ema_decay, step=progress.steps)
            progress.steps += 1
            bar.set_postfix(epoch=row["epoch"], loss=f"{progress.losses[-1]:.3f}", refresh=False)
            write_if_due()
        yield row | {"train_loss": float(np.mean(progress.losses))}
        progress.done, progress.losses = progress.done + 1, []


def _shares(drawn: Draws, train: TrainParams) -> list[Draws]:
    """Return what of each batch of an epoch is for this process."""
    return [processes.own_share(batch) for batch in batches_of(drawn, train.batch_size)]


def _refuse_endless(row: dict, phase: Phase, number: int) -> None:
    """Refuse to go on from an epoch whose loss is no finite number."""
    if not math.isfinite(row["train_loss"]):
        raise InputError(
            f"params.yaml: train.phases.{number}: the loss became {row['train_loss']} in epoch "
            f"{row['epoch']}; lower lr {phase.lr}, set train.gradient_clip, or compute in "
            "train.precision float32"
        )


def _steps(
    batches: Iterable[Batch], learn, losses: list[float], optimiser, train: TrainParams
) -> Iterator[None]:
    """Step the optimiser once for every `accumulate` batches; yield after each step.

    A step follows the mean over all its images, so accumulation equals the large batch for every
    loss that is a mean over images; not for means over the pixels of a batch that count, of which
    batches have different numbers, see docs/techniques.md. Ends early at a loss that is not finite.
    """
    batches, accumulate = iter(batches), train.accumulate
    learning = [weight for group in optimiser.param_groups for weight in group["params"]]
    while True:
        optimiser.zero_grad(set_to_none=True)
        images = 0
        for batch in itertools.islice(batches, accumulate):
            loss, logits, _ = learn(batch)
            losses.append(processes.of_first(loss.item()))
            if not math.isfinite(losses[-1]):
                return
            weight = 1 if accumulate == 1 else len(logits)
            (loss * (weight * processes.count())).backward()  # their gradients become a mean
            images += len(logits)
        if not images:
            return
        if accumulate > 1:
            gradients = [weight.grad for weight in learning if weight.grad is not None]
            torch._foreach_div_(gradients, images)  # pyright: ignore[reportPrivateImportUsage]  no public name
        if train.gradient_clip:
            torch.nn.utils.clip_grad_norm_(learning, train.gradient_clip)
        optimiser.step()
        yield


def _gains_no_more(progress: Progress, rank: float, looks: int) -> bool:
    """Count the looks since the hold-out gained; tell whether they are so many."""
    if math.isnan(rank):
        return False
    progress.looks = 0 if rank > progress.best else progress.looks + 1
    progress.best = max(rank, progress.best)
    return progress.looks == looks


def _keep(kept: list[Kept], rank: float, model: nn.Module, count: int) -> list[Kept]:
    """Add a copy of the weights if they are among the `count` best; of equals the earlier one.

    An epoch without a look, whose rank is NaN, is not.
    """
    if math.isnan(rank) or (len(kept) == count and rank <= kept[-1].rank):
        return kept
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    return sorted([*kept, Kept(rank, state)], key=lambda one: -one.rank)[:count]


def _fresh_optimiser(model: nn.Module, phase: Phase, train: TrainParams, batches: int):
    """Make the optimiser and the schedule of a phase from its batches per epoch."""
    batches += batches // train.replay if train.replay else 0
    groups = parameter_groups(model, lr=phase.lr, encoder_lr=phase.encoder_lr)
    steps = -(-batches // train.accumulate)
    return phase_optimiser(groups, phase, train, epoch_steps=steps)
