"""The training loss: weighted binary cross entropy, soft Dice and soft Jaccard."""

import torch
from segmentation_models_pytorch.losses import DiceLoss, JaccardLoss
from torch.nn.functional import binary_cross_entropy_with_logits

from src.labels import IGNORED


def segmentation_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    *,
    bce_weight: float,
    dice_weight: float,
    jaccard_weight: float,
) -> torch.Tensor:
    """Sum the weighted terms, each over the pixels that are not ignored.

    `bce_weight * mean(w * BCE) + dice_weight * (1 - Dice) + jaccard_weight * (1 - Jaccard)`; Dice
    and Jaccard are soft, over the whole batch, with 1 added above and below the fraction.

    Parameters
    ----------
    logits : Tensor, shape (B, H, W)
        Any float type; computed in float32.
    target : Tensor of uint8, shape (B, H, W)
        0 background, 1 object, 255 ignored.
    weights : Tensor of float32, shape (B, H, W)
        Pixel weights of the cross entropy.
    bce_weight, dice_weight, jaccard_weight : float
        Not negative; 0 leaves the term out.

    Returns
    -------
    loss : Tensor
        A float32 scalar; 0 if every pixel is ignored. A batch without a single object pixel has no
        Dice or Jaccard term: there is no overlap to measure, the cross entropy does the work.
    """
    valid = target != IGNORED
    truth = (target == 1).float()
    logits = logits.float()
    loss = logits.sum() * 0  # keeps the graph where every term is off or every pixel ignored
    if bce_weight:
        bce = binary_cross_entropy_with_logits(logits, truth, weights * valid, reduction="sum")
        loss = loss + bce_weight * bce / valid.sum().clamp(min=1)
    if dice_weight or jaccard_weight:
        probability = logits.sigmoid() * valid
        # The library halves numerator and denominator of Dice: its 0.5 is the 1 of the formula.
        terms = ((DiceLoss, 0.5, dice_weight), (JaccardLoss, 1.0, jaccard_weight))
        for term, smooth, weight in terms:
            if weight:
                measure = term("binary", from_logits=False, smooth=smooth)
                loss = loss + weight * measure(probability, truth)
    return loss
