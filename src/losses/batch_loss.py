"""The loss of one batch: from image bytes through the network to the sum of all terms."""

from collections.abc import Callable

import torch

from src.losses.head_losses import head_loss
from src.losses.mask_loss import mask_loss
from src.losses.params import LossParams
from src.losses.pixel_weights import pixel_weights
from src.networks.heads import head_outputs
from src.networks.network_input import network_input
from src.networks.params import ModelParams
from src.networks.positions import BYTES, needs_positions


def batch_loss(
    model: Callable[[torch.Tensor], torch.Tensor],
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    loss: LossParams,
    params: ModelParams,
    heads: list[str],
    plane_names: tuple[str, ...],
    bf16: bool,
    whole: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run a batch through the network and sum its loss terms.

    Parameters
    ----------
    model : callable
        A network as `src.networks.model.build_model` makes it.
    batch : (images, planes, numbers)
        uint8 (B, 3, S, S), uint8 (B, P, S, S), float32 (B, 2): relative depth and image weight; on
        the model's device.
    loss : LossParams
    params : ModelParams
        What the network is fed with.
    heads : list of str
        What it answers with; see `src.networks.heads`.
    plane_names : tuple of str
        Names of the first planes, in order. With "soft" among them the mask learns that probability
        * 255 in place of the target; further heads follow the target always.
    bf16 : bool
        Whether the network computes in bfloat16; the loss is float32 always.
    whole : callable, optional
        Makes the whole batch of a share of it, (b, ...) to (B, ...), where several processes have
        one each. The network sees the share, the loss is that of the whole.

    Returns
    -------
    loss, logits, target : Tensor
        A float32 scalar; the mask's logits and target, (B, S, S).
    """
    images, planes, numbers = batch
    given = batch_input(images, planes, numbers, params)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        outputs = head_outputs(model(given), heads, params.embedding_size)
    if whole:
        outputs = {head: whole(output) for head, output in outputs.items()}
        planes, numbers = whole(planes), whole(numbers)
    planes = dict(zip(plane_names, planes[:, : len(plane_names)].unbind(1), strict=True))
    weights = pixel_weights(planes, numbers[:, 1], loss)
    logits, target = outputs["mask"], planes["target"]
    soft = planes["soft"] / 255 if "soft" in planes else None
    total = mask_loss(logits, target, weights, soft, loss)
    if len(heads) > 1:
        total = total + head_loss(outputs, planes, loss)
    return total, logits, target


def batch_input(
    images: torch.Tensor, planes: torch.Tensor, numbers: torch.Tensor, params: ModelParams
) -> torch.Tensor:
    """Return what the network is given of a batch, on its device; see `batch_loss`.

    Where it is fed with positions, they are the last of the planes (`src.networks.positions`).
    """
    if needs_positions(params.extra_channels):
        images = torch.cat([images, planes[:, -BYTES:].to(images)], dim=1)
    return network_input(
        images,
        numbers[:, 0],
        image_channels=params.image_channels,
        extra_channels=params.extra_channels,
        mean=params.mean,
        std=params.std,
    )
