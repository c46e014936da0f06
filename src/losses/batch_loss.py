"""The loss of one batch: from image bytes through the network to the sum of all terms."""

import torch
from torch import nn

from src.losses.head_losses import head_loss
from src.losses.mask_loss import mask_loss
from src.losses.pixel_weights import pixel_weights
from src.networks.heads import head_outputs
from src.networks.network_input import network_input

# Which keys of the section `loss` belong to which function.
PIXEL_WEIGHTS = ("distance", "w0", "sigma", "size_weight", "boundary_weight", "boundary_kernel")
PIXEL_WEIGHTS += ("max_weight", "normalise_weights")
MASK = ("bce_weight", "focal_weight", "focal_gamma", "focal_threshold", "ohem", "label_smoothing")
MASK += ("dice_weight", "jaccard_weight", "tversky_weight", "tversky_alpha", "tversky_beta")
MASK += ("overlap_log", "overlap_per", "overlap_weighted")
MASK += ("lovasz_weight", "lovasz_error", "lovasz_symmetric", "lovasz_per")
HEADS = ("border_weight", "border_width", "contact_weight", "contact_width", "empty_weight")
HEADS += ("boundary_distance_weight", "boundary_distance_loss")
HEADS += ("embedding_weight", "embedding_loss")


def batch_loss(
    model: nn.Module,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    loss: dict,
    heads: list[str],
    plane_names: tuple[str, ...],
    embedding_size: int,
    inputs: dict,
    bf16: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run a batch through the network and sum its loss terms.

    Parameters
    ----------
    model : nn.Module
        As `src.networks.model.build_model` makes it.
    batch : (images, planes, numbers)
        uint8 (B, 3, S, S), uint8 (B, P, S, S), float32 (B, 2): relative depth and image weight; on
        the model's device.
    loss : dict
        The keys of PIXEL_WEIGHTS, MASK and HEADS.
    heads, embedding_size
        What the network answers with; see `src.networks.heads`.
    plane_names : tuple of str
        Names of the P planes, in order. With "soft" among them the mask learns that probability
        * 255 in place of the target; further heads follow the target always.
    inputs : dict
        Keyword arguments of `network_input`.
    bf16 : bool
        Whether the network computes in bfloat16; the loss is float32 always.

    Returns
    -------
    loss, logits, target : Tensor
        A float32 scalar; the mask's logits and target, (B, S, S).
    """
    images, planes, numbers = batch
    planes = dict(zip(plane_names, planes.unbind(1), strict=True))
    depth, image_weights = numbers.unbind(1)
    given = network_input(images, depth, **inputs)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        outputs = head_outputs(model(given), heads, embedding_size)
    weights = pixel_weights(planes, image_weights, **{key: loss[key] for key in PIXEL_WEIGHTS})
    logits, target = outputs["mask"], planes["target"]
    soft = planes["soft"] / 255 if "soft" in planes else None
    total = mask_loss(logits, target, weights, soft, **{key: loss[key] for key in MASK})
    if len(heads) > 1:
        total = total + head_loss(outputs, planes, **{key: loss[key] for key in HEADS})
    return total, logits, target
