"""Batch norms that normalise by a whole batch, of which each process has a share."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode


def whole_batch_norms(sync: bool) -> AbstractContextManager:
    """Let batch norms in training mode normalise by the batch of all processes while it is open.

    torch.nn.SyncBatchNorm takes tensors on a GPU alone, and putting it in the place of a layer of
    timm loses the activation that is part of that layer. This takes the place of the function that
    all such layers call, on any device.

    Parameters
    ----------
    sync : bool
        False, or a single process, leaves all as it is.
    """
    if sync and dist.is_initialized() and dist.get_world_size() > 1:
        return _WholeBatchNorms()
    return nullcontext()


class _WholeBatchNorms(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        replaced = _batch_norm if func is batch_norm else func
        return replaced(*args, **(kwargs or {}))


class _Sum(torch.autograd.Function):
    """The sum over the processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx, own):
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *gradients):
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _batch_norm(
    given, kept_mean, kept_variance, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """Do as `torch.nn.functional.batch_norm`, with mean and variance over all processes.

    Computed in float32; two sums cross the processes, so that no variance is a difference of
    large numbers, and two more on the way back.
    """
    if not training:
        return batch_norm(given, kept_mean, kept_variance, weight, bias, False, momentum, eps)
    over, shape = [0, *range(2, given.ndim)], [1, -1, *[1] * (given.ndim - 2)]
    own = given.float()
    values = own.new_tensor([own.numel() / own.shape[1]])
    sums, total = _Sum.apply(torch.cat([own.sum(over), values])).split([own.shape[1], 1])
    mean = sums / total
    centred = own - mean.view(shape)
    variance = _Sum.apply((centred * centred).sum(over)) / total
    if kept_mean is not None:
        with torch.no_grad():
            kept_mean.lerp_(mean, momentum)
            kept_variance.lerp_(variance * (total / (total - 1)), momentum)
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    found = centred * scale.view(shape)
    return (found if bias is None else found + bias.view(shape)).to(given.dtype)
