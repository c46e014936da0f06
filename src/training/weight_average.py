"""Averages of a network's weights: over its steps, over its snapshots, over networks."""

import math
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Averaged(NamedTuple):
    """The tensors of an averaged network beside those of the network it follows."""

    averages: list[torch.Tensor]
    weights: list[torch.Tensor]
    counter_copies: list[torch.Tensor]
    counters: list[torch.Tensor]


def averaged_tensors(average: nn.Module, model: nn.Module) -> Averaged:
    """Pair the weights and batch-norm statistics, and the counters, of two equal networks.

    Once for all updates: collecting them costs more than a step of the average.
    """
    current = model.state_dict()
    pairs = [(value, current[key]) for key, value in average.state_dict().items()]
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    counts = [pair for pair in pairs if not pair[0].is_floating_point()]
    columns = [[pair[side] for pair in kind] for kind in (floats, counts) for side in (0, 1)]
    return Averaged(*columns)


@torch.no_grad()
def update_average(tensors: Averaged, *, decay: float, step: int) -> None:
    """Move the averaged weights towards the current ones, in place.

    `average = d average + (1 - d) model` with d = min(decay, (1 + step) / (10 + step)): the first
    steps forget the random start quickly. Batch-norm statistics are averaged alike; counters are
    copied. All tensors move in one call: on a GPU a few kernels do what took one for each.

    Parameters
    ----------
    tensors : Averaged
        Of `averaged_tensors`; the averages are changed.
    decay : float
        In [0, 1); 0 copies the model.
    step : int
        Updates made before this one, from 0.
    """
    keep = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(tensors.averages, tensors.weights, 1 - keep)  # pyright: ignore[reportPrivateImportUsage]  no public name
    if tensors.counters:
        torch._foreach_copy_(tensors.counter_copies, tensors.counters)  # pyright: ignore[reportPrivateImportUsage]  no public name


def snapshot_weights(count: int, decay: float) -> list[float]:
    """Weigh snapshots, the best first: each `decay` times the one before, their sum 1.

    Parameters
    ----------
    count : int
        Snapshots; 0 gives an empty list.
    decay : float
        In (0, 1]; 1 weighs all alike.
    """
    powers = [decay**place for place in range(count)]
    return [power / math.fsum(powers) for power in powers]


def average_states(
    states: list[dict[str, torch.Tensor]], weights: list[float]
) -> dict[str, torch.Tensor]:
    """Average the states of networks of one architecture, computed in float64.

    Wortsman et al. 2022 (model soups) for networks, Izmailov et al. 2018 for snapshots. Refresh
    the batch norms afterwards: an average of statistics is not the statistics of the average.

    Parameters
    ----------
    states : list of dict of str to Tensor
        Of `state_dict()`; at least one. Not changed.
    weights : list of float
        One for each state; their sum is 1.

    Returns
    -------
    state : dict of str to Tensor
        Of the dtypes of the first; whole numbers (the counters of batch norms) are the first's.

    Raises
    ------
    ValueError
        If the weights do not sum to 1, or the states differ in names or shapes.
    """
    if not math.isclose(math.fsum(weights), 1, abs_tol=1e-6):
        raise ValueError(f"the weights sum to {math.fsum(weights)}, not to 1")
    shapes = [{key: value.shape for key, value in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("the states differ in names or shapes: not of one architecture")
    result = {}
    for key, first in states[0].items():
        if not first.is_floating_point():
            result[key] = first.clone()
            continue
        total = torch.zeros_like(first, dtype=torch.float64)
        for state, weight in zip(states, weights, strict=True):
            total.add_(state[key].double(), alpha=weight)
        result[key] = total.to(first.dtype)
    return result


def differing_statistics(states: list[dict[str, torch.Tensor]]) -> list[str]:
    """Name the batch norms whose statistics differ between states of one architecture.

    The mean of these is not the statistics of the mean of the networks; that of the others, which
    were frozen all the while, is.
    """
    ends = (".running_mean", ".running_var")
    return sorted(
        {
            key.rpartition(".")[0]
            for key, first in states[0].items()
            if key.endswith(ends) and any(not torch.equal(first, one[key]) for one in states[1:])
        }
    )


def images_in_full_company(count: int, batch_size: int) -> int:
    """Return how many of `count` images to take so that none makes up the last batch alone.

    All of them, or all but one; a lone image is taken. `batch_size` is at least 2.
    """
    return count - 1 if count > 1 and count % batch_size == 1 else count


@torch.no_grad()
def refresh_batch_norm(
    model: nn.Module, batches: Iterable[torch.Tensor], names: Iterable[str]
) -> None:
    """Measure the statistics of batch norms anew, in place.

    Each becomes the mean over the batches of the mean and the variance (unbiased) of its input.
    The mode of the network is kept.

    Parameters
    ----------
    model : nn.Module
        Its forward pass runs in training mode, but for the other batch norms.
    batches : iterable of Tensor
        Inputs of the network on its device, augmented as in training, of one size; at least one.
    names : iterable of str
        Of the batch norms in the network; without any nothing happens.

    Raises
    ------
    ValueError
        If there is no batch.
    """
    chosen = [cast("_BatchNorm", model.get_submodule(name)) for name in names]
    if not chosen:
        return
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("no batch to measure the statistics of batch norms on")
    mode, momenta = model.training, [norm.momentum for norm in chosen]
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module not in chosen:
            module.eval()
    for norm in chosen:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for batch in chain([first], batches):
        model(batch)
    for norm, momentum in zip(chosen, momenta, strict=True):
        norm.momentum = momentum
    model.train(mode)
