"""Exponential moving average of a network's weights."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """Move the averaged weights towards the current ones, in place.

    `average = d average + (1 - d) model` with d = min(decay, (1 + step) / (10 + step)): the first
    steps forget the random start quickly. Batch-norm statistics are averaged alike; counters are
    copied.

    Parameters
    ----------
    average, model : nn.Module
        Two networks of one architecture.
    decay : float
        In [0, 1); 0 copies the model.
    step : int
        Updates made before this one, from 0.
    """
    keep = min(decay, (1 + step) / (10 + step))
    current = model.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[key], 1 - keep)
        else:
            value.copy_(current[key])
