"""The batches of an epoch, loaded and brought to the device."""

from collections.abc import Iterable, Iterator

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from src.training.crops import TrainingCrops
from src.training.params import TrainParams

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def loader_of(crops: TrainingCrops, draws: list[tuple[int, int]], train: TrainParams) -> DataLoader:
    """Make the loader of the batches of these draws, (index, augmentation seed), in their order."""
    return DataLoader(
        crops,
        train.batch_size,
        sampler=draws,
        num_workers=train.workers,
        persistent_workers=train.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def moved(loader: Iterable, device: torch.device, bar: tqdm | None = None) -> Iterator[Batch]:
    """Yield the batches on the device, counted by a progress bar where there is one."""
    for batch in loader:
        if bar is not None:
            bar.update(len(batch[0]))
        yield tuple(part.to(device, non_blocking=True) for part in batch)


def batch_of(
    number: int, drawn: list[tuple[int, int]], crops: TrainingCrops, train: TrainParams, device
) -> Batch:
    """Load one batch, by its number from 0, of an epoch that draws these images."""
    of_batch = drawn[number * train.batch_size : (number + 1) * train.batch_size]
    return next(moved(loader_of(crops, of_batch, train), device))
