"""Room on the disk for what a training writes, looked at before it begins."""

import os
import shutil
from collections import defaultdict
from pathlib import Path

from torch import nn

from src.base.errors import InputError
from src.training.params import TrainParams

MOMENTS = 2  # numbers that an optimiser keeps of each weight, at most
COPIES = 2  # of a checkpoint: the former one stays until the next is whole


def bytes_of_training(model: nn.Module, train: TrainParams) -> tuple[int, int]:
    """Tell what a training writes at most.

    Parameters
    ----------
    model : nn.Module
    train : TrainParams
        `ema_decay` and `snapshots` are looked at.

    Returns
    -------
    checkpoints : int
        Bytes of all that it goes on from: weights, their moving average, the epochs kept and the
        moments of the optimiser, twice.
    weights : int
        Bytes of the network at its end.
    """
    weights = sum(one.numel() * one.element_size() for one in model.state_dict().values())
    learnt = sum(one.numel() * one.element_size() for one in model.parameters())
    networks = 1 + bool(train.ema_decay) + max(train.snapshots, 1)
    return COPIES * (networks * weights + MOMENTS * learnt), weights


def refuse_full_disk(needs: dict[Path, int]) -> None:
    """Refuse to begin what there is no room to end.

    Parameters
    ----------
    needs : dict of Path to int
        Bytes to be written below each folder, which need not exist yet. Those of folders on one
        disk are added.

    Raises
    ------
    InputError
        If a disk has less that is free; the message names a folder on it and the bytes.
    """
    of_disk: defaultdict[int, list[Path]] = defaultdict(list)
    for folder in needs:
        of_disk[os.stat(_existing(folder)).st_dev].append(folder)
    for folders in of_disk.values():
        needed = sum(needs[folder] for folder in folders)
        free = shutil.disk_usage(_existing(folders[0])).free
        if needed > free:
            raise InputError(
                f"{folders[0]}: training writes up to {needed:,} bytes to its disk, of which "
                f"{free:,} are free; make room (`dvc gc --workspace` removes what former runs left)"
            )


def _existing(folder: Path) -> Path:
    """Return a folder that is there: this one, or the nearest around it."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
