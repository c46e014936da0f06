"""Statistics of batch norms, measured anew where weights were averaged."""

import torch
from torch import nn

from src.losses.batch_loss import batch_input
from src.networks.params import ModelParams
from src.training.batches import batches_of, loader_of, moved
from src.training.crops import TrainingCrops
from src.training.params import TrainParams
from src.training.weight_average import images_in_full_company, refresh_batch_norm


def refresh_statistics(
    model: nn.Module,
    stale: list[str],
    learnt: TrainingCrops,
    *,
    params: ModelParams,
    train: TrainParams,
    device: torch.device,
) -> None:
    """Measure the statistics of some batch norms anew on the images learnt from, in place.

    Parameters
    ----------
    model : nn.Module
        On `device`.
    stale : list of str
        Names of the batch norms; others, such as those of a frozen encoder, stay as they are.
    learnt : TrainingCrops
        At least one image. One that would make up the last batch alone is left out.
    params : ModelParams
        What the network is fed with.
    train : TrainParams
        The size of batches, and the processes that load them.
    device : torch.device
    """
    size = max(2, train.batch_size)  # some layers have one pixel, and one value has no variance
    count = images_in_full_company(len(learnt), size)
    batches = loader_of(learnt, batches_of([(i, 0) for i in range(count)], size), train)
    inputs = (batch_input(*batch, params) for batch in moved(batches, device))
    refresh_batch_norm(model, inputs, stale)
