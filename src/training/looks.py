"""Looks at images that are not learnt from, by which an epoch may be chosen."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from src.label_maps.labels import IGNORED
from src.training import processes
from src.training.batches import Batch, batches_of, loader_of, moved
from src.training.crops import TrainingCrops
from src.training.object_scores import (
    MOST,
    detection_accuracy,
    found_objects,
    precision_of,
    ranked_hits,
)
from src.training.params import OBJECT_SCORES, TrainParams

Look = Callable[[nn.Module, Batch], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


@torch.inference_mode()
def watch(
    model: nn.Module,
    look: Look,
    crops: TrainingCrops | None,
    kind: str,
    *,
    train: TrainParams,
    device: torch.device,
) -> dict[str, float]:
    """Return loss and mean Dice, and the score of objects that `choose_by` names, if it does.

    Each process looks at whole batches, one after the other in turn.

    Parameters
    ----------
    model : nn.Module
        Put into evaluation mode.
    look : callable
        Returns loss, logits and target of a batch.
    crops : TrainingCrops, optional
        All values are NaN where there are none.
    kind : str
        Begins the names of the values.
    train : TrainParams
    device : torch.device
    """
    of_objects = train.choose_by if train.choose_by in OBJECT_SCORES else None
    keys = ["loss", "dice", *([of_objects] if of_objects else [])]
    if crops is None or not len(crops):
        return {f"{kind}_{key}": math.nan for key in keys}
    model.eval()
    batches = batches_of([(i, 0) for i in range(len(crops))], train.batch_size)
    losses = torch.zeros(len(batches), dtype=torch.float64)
    dices = torch.zeros(len(batches), len(batches[0]), dtype=torch.float64)
    width = 1 + 2 * MOST if of_objects == "ap50" else 1  # objects and their ranking, or a score
    scores = torch.zeros(len(batches), len(batches[0]), width, dtype=torch.float64)
    own = range(processes.rank(), len(batches), processes.count())
    loader = loader_of(crops, [batches[number] for number in own], train)
    for number, batch in zip(own, moved(loader, device), strict=True):
        loss, logits, target = look(model, batch)
        losses[number] = loss.item() * len(logits)
        dices[number, : len(logits)] = _dices(logits, target)
        if of_objects:
            values = _object_values(logits, batch, crops.images.plane_names, of_objects)
            scores[number, : len(logits)] = torch.from_numpy(values)
    total = sum(processes.summed(losses).tolist())
    of_all = processes.summed(dices).flatten()[: len(crops)].tolist()
    found = [total / len(crops), float(np.mean(of_all))]
    if of_objects:
        together = processes.summed(scores).reshape(-1, width)[: len(crops)].numpy()
        found.append(_together(together, of_objects))
    return {f"{kind}_{key}": value for key, value in zip(keys, found, strict=True)}


def rank_of(row: dict[str, float], choose_by: str) -> float:
    """Return what the best epoch has most of, from a row of the curve."""
    return -row["holdout_loss"] if choose_by == "loss" else row[f"holdout_{choose_by}"]


def _dices(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    found, truth = (logits > 0) & (target != IGNORED), target == 1
    both, either = (found & truth).sum((1, 2)), found.sum((1, 2)) + truth.sum((1, 2))
    return torch.where(either > 0, 2 * both / either.clamp(min=1), 1.0)


def _object_values(
    logits: torch.Tensor, batch: Batch, names: tuple[str, ...], score: str
) -> np.ndarray:
    """Return what a score is made of, for each crop of a batch, float64 (B, width)."""
    low, high = (batch[1][:, names.index(name)].int() for name in ("id_low", "id_high"))
    instances = (256 * high + low).cpu().numpy()
    probabilities = logits.float().sigmoid().cpu().numpy()
    found = [found_objects(*pair) for pair in zip(probabilities, instances, strict=True)]
    if score == "detection_accuracy":
        return np.array([[detection_accuracy(one)] for one in found])
    return np.array([[one.objects, *ranked_hits(one).ravel()] for one in found])


def _together(values: np.ndarray, score: str) -> float:
    if score == "detection_accuracy":
        return float(np.mean(values))
    return precision_of(values[:, 1:].reshape(len(values), MOST, 2), int(values[:, 0].sum()))
