"""Depthwise convolutions learn in float32 on a CPU, where bf16 makes their backward pass slow."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn


def keep_depthwise_in_float32(model: nn.Module) -> None:
    """Leave the convolutions of one channel each out of autocast, on a CPU, where they learn.

    There the gradient of a 5 x 5 one costs about six times as much in bf16 as in float32
    (torch 2.12), and such encoders would train slower with bf16 than they need to. Without
    gradients bf16 is the faster one, up to 1.6 times for a whole network. What comes out has the
    type of what goes in; names and values of weights stay as they are. In place.

    Parameters
    ----------
    model : nn.Module
        Without such a convolution it stays as it is.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = partial(_in_float32, module.forward)  # pyright: ignore[reportAttributeAccessIssue]  a name differs


def _in_float32(
    forward: Callable[[torch.Tensor], torch.Tensor], maps: torch.Tensor
) -> torch.Tensor:
    if maps.device.type != "cpu" or not torch.is_grad_enabled():
        return forward(maps)
    with torch.autocast("cpu", enabled=False):
        return forward(maps.float()).to(maps.dtype)
