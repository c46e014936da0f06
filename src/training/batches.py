"""The batches of an epoch, loaded and brought to the device."""

from collections.abc import Iterable, Iterator

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from src.training.crops import TrainingCrops
from src.training.params import TrainParams

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Draws = list[tuple[int, int]]  # index and augmentation seed of images


def batches_of(draws: Draws, size: int) -> list[Draws]:
    """Cut draws into batches of `size` in their order; the last may be smaller."""
    return [draws[start : start + size] for start in range(0, len(draws), size)]


def loader_of(crops: TrainingCrops, batches: list[Draws], train: TrainParams) -> DataLoader:
    """Make the loader of these batches; each time around it looks at the list anew."""
    return DataLoader(
        crops,
        batch_sampler=batches,
        num_workers=train.workers,
        persistent_workers=train.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def moved(
    loader: Iterable, device: torch.device, bar: tqdm | None = None, images: int = 0
) -> Iterator[Batch]:
    """Yield the batches on the device, each counted as so many images by a progress bar."""
    for batch in loader:
        if bar is not None:
            bar.update(images)
        yield tuple(part.to(device, non_blocking=True) for part in batch)


def load_batch(draws: Draws, crops: TrainingCrops, train: TrainParams, device) -> Batch:
    """Load a single batch."""
    return next(moved(loader_of(crops, [draws], train), device))
