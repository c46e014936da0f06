"""Optimisers and learning-rate schedules of one training phase."""

from collections.abc import Iterable
from functools import partial

import torch
from torch.optim import lr_scheduler

OPTIMISERS = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
}
SCHEDULES = {
    "constant": lambda optimiser, steps, lr: lr_scheduler.ConstantLR(optimiser, factor=1),
    "cosine": lambda optimiser, steps, lr: lr_scheduler.CosineAnnealingLR(optimiser, steps),
    "one_cycle": lambda optimiser, steps, lr: lr_scheduler.OneCycleLR(
        optimiser, max_lr=lr, total_steps=steps, cycle_momentum=False
    ),
}


def phase_optimiser(
    weights: Iterable[torch.nn.Parameter],
    *,
    optimiser: str,
    schedule: str,
    lr: float,
    weight_decay: float,
    steps: int,
) -> tuple[torch.optim.Optimizer, lr_scheduler.LRScheduler]:
    """Make the fresh optimiser of a phase and its schedule, stepped once a batch.

    Parameters
    ----------
    weights : iterable of Parameter
        Those that learn in this phase.
    optimiser : {"adam", "adamw", "sgd"}
        SGD has Nesterov momentum 0.9.
    schedule : {"constant", "cosine", "one_cycle"}
        Cosine falls from `lr` to 0; one cycle (Smith 2018) rises to `lr` over the first 30 % of
        the steps and falls to near 0.
    lr, weight_decay : float
        The highest learning rate; the decay.
    steps : int
        Batches of the phase; at least 1.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    for name, known in ((optimiser, OPTIMISERS), (schedule, SCHEDULES)):
        if name not in known:
            raise ValueError(f"'{name}' is unknown; known: {', '.join(known)}")
    made = OPTIMISERS[optimiser](list(weights), lr=lr, weight_decay=weight_decay)
    return made, SCHEDULES[schedule](made, steps, lr)
