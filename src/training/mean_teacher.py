"""Consistency with the moving average of a network's own weights, on images without labels too.

Mean teacher (Tarvainen and Valpola 2017), for masks.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from src.losses.batch_loss import batch_input
from src.networks.heads import head_outputs
from src.networks.network_input import full_value
from src.networks.params import ModelParams
from src.predicting.allowed_views import Views
from src.predicting.views import VIEWS, undo_view, view
from src.training import processes
from src.training.batches import Batch
from src.training.checkpoint import Progress

LEVELS = 0.1  # largest relative change of what the teacher sees, of each channel
RISE = 5.0  # how slowly the weight begins
RISING = 0.5  # of all epochs

Learn = Callable[[Batch], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
Answer = Callable[[nn.Module, Batch, np.random.Generator], torch.Tensor]


class Consistency(NamedTuple):
    """How a network is held to its own average."""

    weight: float  # of the squared difference of probabilities, at its most; above 0
    answer: Answer  # what the average says of a batch, see `teacher_probability`


def teacher_probability(
    teacher: nn.Module,
    batch: Batch,
    rng: np.random.Generator,
    *,
    allowed: Views,
    params: ModelParams,
    heads: list[str],
    bf16: bool,
) -> torch.Tensor:
    """Return what the average says of the crops of a batch, seen otherwise.

    Parameters
    ----------
    teacher : nn.Module
        In evaluation mode.
    batch : (images, planes, numbers)
        As `src.losses.batch_loss.batch_loss` takes it.
    rng : numpy.random.Generator
        Draws the view, mirrored and turned as is allowed, and by how much each channel is brighter
        or darker: the same for the whole batch, so that shares of it do not matter.
    allowed : {"none", "hflip", "d2", "d4"}
        Of crops that are not square, the views that turn them by a quarter are left out.
    params : ModelParams
    heads : list of str
    bf16 : bool
        Whether it computes in bfloat16.

    Returns
    -------
    probability : Tensor of float32, shape (B, S, S)
        Of the mask, turned back; without a gradient.
    """
    images, planes, numbers = batch
    square = images.shape[-2] == images.shape[-1]
    views = [one for one in VIEWS[allowed] if square or one[0] % 2 == 0]
    chosen = views[rng.integers(len(views))]
    factors = torch.from_numpy(rng.uniform(1 - LEVELS, 1 + LEVELS, (1, images.shape[1], 1, 1)))
    full = full_value(images)
    changed = (images * factors.float().to(images.device)).round().clamp(0, full).to(images.dtype)
    with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        given = batch_input(view(changed, *chosen), view(planes, *chosen), numbers, params)
        found = head_outputs(teacher(given), heads, params.embedding_size)["mask"]
    return undo_view(found.float().sigmoid(), *chosen)


def consistent(
    batch: Batch,
    *,
    learn: Learn,
    teacher: nn.Module,
    consistency: Consistency,
    progress: Progress,
    epochs: int,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Add to the loss of a batch how far the network is from its average.

    The mean over all pixels, ignored ones too, of the squared difference of probabilities, times a
    weight that rises as exp(-5 (1 - t)^2) over the first half of all epochs.

    Parameters
    ----------
    batch
        The share of this process.
    learn : callable
        Returns loss, logits and target, of the whole batch.
    teacher : nn.Module
    consistency : Consistency
    progress : Progress
        The epochs that are over, and the batches of this one: what is drawn is a function of them
        and the seed, so that a training that goes on draws the same.
    epochs : int
        Of all phases.
    seed : int

    Returns
    -------
    loss, logits, target : Tensor
        As `learn` returns them, but for the loss.
    """
    loss, logits, target = learn(batch)
    over = len(progress.curve)
    rng = np.random.default_rng([seed, over, len(progress.losses), 2])
    said = processes.whole_batch(consistency.answer(teacher, batch, rng))
    weight = consistency.weight * math.exp(-RISE * (1 - min(1.0, over / (RISING * epochs))) ** 2)
    return loss + weight * ((logits.float().sigmoid() - said) ** 2).mean(), logits, target
