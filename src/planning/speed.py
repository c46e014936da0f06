"""How long a training step takes on this device: a few of them, timed on random images."""

import time

import numpy as np
import torch

from src.base.errors import InputError
from src.networks.device import choose_device
from src.networks.heads import head_outputs
from src.networks.model import build_model
from src.networks.network_input import BANDS, input_channels
from src.networks.params import ModelParams
from src.networks.precision import Precision

WARM_UP, TIMED = 2, 5  # steps
FURTHER = 1.15  # reading, augmenting, the loss and the looks at other images cost about so much


def seconds_per_step(
    params: ModelParams, heads: list[str], *, crop_size: int, batch_size: int, precision: Precision
) -> float:
    """Time the steps of a network with random weights on random images.

    Parameters
    ----------
    params : ModelParams
        Without any `auto` in what a network is built from.
    heads : list of str
        "mask" first; see `src.networks.heads`.
    crop_size : int
        px, a multiple of the encoder's stride.
    batch_size : int
        Images.
    precision : {"auto", "float32", "bf16"}

    Returns
    -------
    seconds : float
        Of the median step, and a share for all that a training does besides. It differs by some
        per cent from call to call.

    Raises
    ------
    InputError
        If the network cannot be built.
    """
    if params.image_channels == BANDS:
        raise InputError(
            "params.yaml: plan.minutes: networks of bands are not timed; set it to 0 and choose "
            "plan.steps"
        )
    device, bf16 = choose_device(precision)
    channels = input_channels(params.image_channels, params.extra_channels)
    model = build_model(params, in_channels=channels, heads=heads, encoder_weights=None)
    model = model.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format
    optimiser = torch.optim.AdamW(model.parameters())
    images = torch.randn(batch_size, channels, crop_size, crop_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(WARM_UP + TIMED):
        began = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = head_outputs(model(images), heads, params.embedding_size)
        sum(map_.float().square().mean() for map_ in outputs.values()).backward()  # pyright: ignore[reportAttributeAccessIssue]  a tensor
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return FURTHER * float(np.median(seconds[WARM_UP:]))
