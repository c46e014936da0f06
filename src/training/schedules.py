"""Optimisers and learning-rate schedules of one training phase."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch.optim import lr_scheduler

from src.base.errors import InputError
from src.training.params import Phase, TrainParams

OPTIMISERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    # Its fused form fails where a weight has its first gradient later (torch 2.12), as thawed ones.
    "sgd": partial(torch.optim.SGD, foreach=True),
    "rmsprop": torch.optim.RMSprop,
}


def phase_optimiser(
    groups: list[dict], phase: Phase, train: TrainParams, *, epoch_steps: int
) -> tuple[torch.optim.Optimizer, lr_scheduler.LRScheduler]:
    """Make the fresh optimiser of a phase and its schedule.

    The schedule is stepped once after every step of the optimiser, and takes each group along the
    same curve below its own learning rate.

    Parameters
    ----------
    groups : list of dict
        Parameter groups of torch with "params" and "lr", the highest learning rate; not changed.
    phase : Phase
        `optimiser`: but for what is told of `train` with the library's constants.
        `min_lr`: the lowest rate as a fraction of the highest; a constant rate has none.
        `schedule`: "step" multiplies by `step_factor` every `cycle_epochs`. "cosine" falls to the
        lowest rate over the phase, "warm_restarts" over each `cycle_epochs` (SGDR, Loshchilov and
        Hutter 2017, eq. 5). "one_cycle" (Smith 2018) starts at 1 / 25, rises over the first 30 % of
        the steps and falls to the lowest rate, 4e-6 if `min_lr` is below that. "triangular2" (Smith
        2017) starts at the lowest rate, goes up and down in `cycle_epochs`, each time half as high.
    train : TrainParams
        `weight_decay`: an L2 penalty, but for AdamW, whose decay is decoupled from the gradient.
        `momentum`, `nesterov`: of SGD.
    epoch_steps : int
        Steps of an epoch; at least 1.

    Raises
    ------
    InputError
        If triangular2 has cycles of a single step: its rate would never rise.
    """
    groups = [dict(group) for group in groups]
    further = {"weight_decay": train.weight_decay}
    if phase.optimiser == "sgd":
        further |= {"momentum": train.momentum, "nesterov": train.nesterov}
    made = OPTIMISERS[phase.optimiser](groups, **further)
    steps, cycle_steps = phase.epochs * epoch_steps, phase.cycle_epochs * epoch_steps
    if phase.schedule == "one_cycle":
        return made, _one_cycle(made, phase.min_lr, steps)
    if phase.schedule == "triangular2":
        return made, _triangular2(made, phase.min_lr, cycle_steps)
    return made, lr_scheduler.LambdaLR(made, _curve(phase, cycle_steps, steps))


def _curve(phase: Phase, cycle_steps: int, steps: int) -> Callable[[int], float]:
    """Return the fraction of the highest rate at a step; torch's own know one minimum for all."""
    min_lr = phase.min_lr

    def cosine(part: float) -> float:
        return min_lr + (1 - min_lr) * (1 + math.cos(math.pi * part)) / 2

    curves = {
        "constant": lambda step: 1.0,
        "step": lambda step: max(min_lr, phase.step_factor ** (step // cycle_steps)),
        "cosine": lambda step: cosine(step / steps),
        "warm_restarts": lambda step: cosine(step % cycle_steps / cycle_steps),
    }
    return curves[phase.schedule]


def _one_cycle(made: torch.optim.Optimizer, min_lr: float, steps: int) -> lr_scheduler.OneCycleLR:
    """Start at 1 / 25 and end at 4e-6 of the highest rate, or at `min_lr` where that is more."""
    lowest = 1 / min_lr if min_lr else math.inf
    start = min(25.0, lowest)
    return lr_scheduler.OneCycleLR(
        made,
        max_lr=[group["lr"] for group in made.param_groups],
        total_steps=steps,
        cycle_momentum=False,
        div_factor=start,
        final_div_factor=min(1e4, lowest / start),
    )


def _triangular2(
    made: torch.optim.Optimizer, min_lr: float, cycle_steps: int
) -> lr_scheduler.CyclicLR:
    """Go up and down between `min_lr` and half of the last height (of an odd cycle: nearly)."""
    if cycle_steps < 2:
        raise InputError(
            "params.yaml: train.phases.schedule triangular2: a cycle of 1 step never rises above "
            "the lowest learning rate, raise cycle_epochs"
        )
    highest = [group["lr"] for group in made.param_groups]
    return lr_scheduler.CyclicLR(
        made,
        base_lr=[min_lr * lr for lr in highest],
        max_lr=highest,
        step_size_up=cycle_steps / 2,  # pyright: ignore[reportArgumentType]  torch takes halves too
        mode="triangular2",
        cycle_momentum=False,
    )
