"""The processes that train one network together: what each computes, and what all agree on.

A launcher such as torchrun starts them. Without one there is a single process, for which all of
this does nothing. With several each holds the whole network and takes a share of every batch. What
the network answers is gathered, so that every process computes the loss of the whole batch, by the
very code that a single one runs; the gradient goes back through its own share alone, and
DistributedDataParallel adds the gradients up. After every step all hold the same network.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from src.base.errors import InputError
from src.training.whole_batch_norm import whole_batch_norms

Item = TypeVar("Item")
SEEDS_APART = 1_000_003  # further than seeds of folds; a CPU takes the last 32 bits alone
GONE = (  # what gloo and NCCL say when another process is
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "remote process exited",
)


def is_launched() -> bool:
    """Tell whether a launcher has started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def joined() -> Generator[None]:
    """Meet the other processes, each with a GPU of its own where there are any, until `part`.

    Raises
    ------
    InputError
        If there are more processes on this machine than GPUs, or another process ends too early.
    """
    if not is_launched():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        number, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if number >= gpus:
            raise InputError(
                f"params.yaml: launcher.command starts {number + 1} processes or more on a machine "
                f"with {gpus} GPU(s); start one for each"
            )
        torch.cuda.set_device(number)
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend)
        yield
    except RuntimeError as error:
        if not any(saying in str(error) for saying in GONE):
            raise
        gone = InputError("another process of this training has ended before its time")
        gone.__notes__ = getattr(error, "__notes__", [])
        raise gone from None


def part() -> None:
    """Leave the others; each is then alone. Not after an error: they may wait for this process."""
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0. Process 0 writes, and tells how far it is."""
    return dist.get_rank() if dist.is_initialized() else 0


def own_share(whole: list[Item]) -> list[Item]:
    """Return what of a batch is for this process.

    Shares lie side by side in the order of the processes; where they cannot be equal the first
    ones have one more. A batch of fewer items than processes leaves some with nothing.
    """
    size, more = divmod(len(whole), count())
    start = rank() * size + min(rank(), more)
    return whole[start : start + size + (rank() < more)]


def replica(model: nn.Module, *, sync_batch_norm: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network as it learns: its gradients become their mean over the processes.

    Made anew when other weights are to learn. The gradients are ready after `backward`.

    Parameters
    ----------
    model : nn.Module
        After `src.training.freezing.thaw`.
    sync_batch_norm : bool
        Whether its batch norms normalise by the whole batch, or each by its own share.
    """
    if count() == 1:
        return model
    # Each process changes its buffers alike, or `share_statistics` evens them out. Weights that no
    # loss leads back to, those of a head whose loss is off or of a stage that no decoder asks for,
    # are to be looked for: a static graph would leave the gradients beside theirs unshared.
    shared = DistributedDataParallel(
        model, broadcast_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
    )

    def answer(given: torch.Tensor) -> torch.Tensor:
        with whole_batch_norms(sync_batch_norm):
            return shared(given)

    return answer


def whole_batch(own: torch.Tensor) -> torch.Tensor:
    """Gather the shares of all processes, (B, ...), in their order.

    Values are those of all. The gradient is that of the own share: the processes together have the
    gradient of each share once.

    Parameters
    ----------
    own : Tensor, shape (b, ...)
        b may differ between processes.
    """
    if count() == 1:
        return own
    sizes = [int(size) for size in torch.stack(gathered(torch.tensor(len(own))))]
    padded = own.detach().new_zeros(max(sizes), *own.shape[1:])
    padded[: len(own)] = own.detach()
    parts = [part[:size] for part, size in zip(gathered(padded), sizes, strict=True)]
    parts[rank()] = own
    return torch.cat(parts)


def gathered(own: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors of all processes, of one shape and type, in their order."""
    if count() == 1:
        return [own]
    parts = [torch.empty_like(own) for _ in range(count())]
    dist.all_gather(parts, own)
    return parts


def summed(own: torch.Tensor) -> torch.Tensor:
    """Return the sum over the processes."""
    return torch.stack(gathered(own)).sum(0)


def any_of(*flags: bool) -> list[bool]:
    """Tell for each flag whether it is up in any process."""
    own = torch.tensor(flags, dtype=torch.uint8)
    return torch.stack(gathered(own)).any(0).tolist()


def of_first(number: float) -> float:
    """Return the number that process 0 has: on a GPU equal sums may differ in their last bit."""
    return gathered(torch.tensor(number, dtype=torch.float64))[0].item()


def draw_own_numbers() -> None:
    """Let what the network draws, such as dropout, differ between processes; 0 goes on as ever."""
    if rank():
        torch.manual_seed(torch.initial_seed() + rank() * SEEDS_APART)


@torch.no_grad()
def share_statistics(model: nn.Module) -> None:
    """Bring the statistics of batch norms, in place, to their mean over the processes."""
    if count() == 1:
        return
    kept = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if kept:
        flat = torch.cat([buffer.flatten() for buffer in kept])
        dist.all_reduce(flat)
        means = (flat / count()).split([buffer.numel() for buffer in kept])
        for buffer, mean in zip(kept, means, strict=True):
            buffer.copy_(mean.view_as(buffer))
