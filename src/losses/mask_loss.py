"""The training loss of the mask: cross entropy, focal loss, overlap indices, Lovasz hinge."""

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from src.label_maps.labels import IGNORED
from src.losses.lovasz import lovasz_hinge
from src.losses.params import LossParams

PER = ("batch", "image")


def mask_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    soft: torch.Tensor | None,
    loss: LossParams,
) -> torch.Tensor:
    """Sum `weight * term` over the terms whose weight is not 0, ignored pixels left out.

    For the terms and options see `pixel_loss`, `overlap_loss` and `src.losses.lovasz.lovasz_hinge`.

    Parameters
    ----------
    logits : Tensor of any float type, shape (B, H, W)
    target : Tensor of uint8, shape (B, H, W)
        0 background, 1 object, 255 ignored.
    weights : Tensor of float32, shape (B, H, W), not negative
    soft : Tensor of float32, shape (B, H, W), or None
        The truth as a probability in [0, 1], in all terms but the Lovasz hinge, which orders pixels
        by whether they are right. Of 0 and 1 alone it gives the very loss that `target` gives.
    loss : LossParams

    Returns
    -------
    loss : Tensor
        A float32 scalar, not negative; 0 with a zero gradient if every pixel is ignored.
    """
    logits = logits.float()
    total = logits[:0].sum()  # 0, and keeps the graph where every term is off
    if loss.bce_weight or loss.focal_weight:
        total = total + pixel_loss(logits, target, weights, soft, loss)
    indices = (  # weight, cost of false positives, of false negatives, smoothing of the index
        (loss.dice_weight, 0.5, 0.5, 0.5),
        (loss.jaccard_weight, 1.0, 1.0, 1.0),
        (loss.tversky_weight, loss.tversky_alpha, loss.tversky_beta, 1.0),
    )
    if indices := [index for index in indices if index[0]]:
        importance = weights**2 if loss.overlap_weighted else torch.ones_like(weights)
        options = {"indices": indices, "log": loss.overlap_log, "per": loss.overlap_per}
        options |= {"squared": loss.overlap_squared}
        total = total + overlap_loss(logits, target, importance, soft, **options)
    if loss.lovasz_weight:
        options = {"symmetric": loss.lovasz_symmetric, "per": loss.lovasz_per}
        hinge = lovasz_hinge(logits, target, error=loss.lovasz_error, **options)
        total = total + loss.lovasz_weight * hinge
    return total


def pixel_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    soft: torch.Tensor | None,
    loss: LossParams,
) -> torch.Tensor:
    """Average weighted cross entropy and focal loss over the hardest pixels of the batch.

    A pixel costs `w * (bce_weight * CE + focal_weight * f(p_t) * CE)`, where `CE = -log p_t` and
    p_t is the probability of the truth. The factor f is `(1 - p_t)^gamma` (Lin et al. 2017, eq. 4)
    or, with a threshold th, 1 while p_t < th and `((1 - p_t) / th)^gamma` from there on (reduced
    focal loss, Sergievskiy and Ponamarev 2019); that one is continuous for th = 0.5 only. A soft
    truth t costs t times what an object does and 1 - t times what background does.

    Parameters
    ----------
    logits, weights, soft : Tensor of float32, shape (B, H, W), as in `mask_loss`
    target : Tensor of uint8, shape (B, H, W)
        0 background, 1 object, 255 ignored.
    loss : LossParams
        `bce_weight`, `focal_weight`: 0 leaves the term out; one of the two is not. `focal_gamma`: 0
        makes the focal loss the cross entropy. `focal_alpha`: what the focal loss of objects is
        multiplied by, 1 - `focal_alpha` that of background (a_t in eq. 5); 0 multiplies by none.
        `focal_threshold`: of the reduced focal loss; 0 is the plain focal loss. `ohem`: share of
        the valid pixels, those that cost most, that the sum is averaged over; rounded to whole
        pixels, at least one. `label_smoothing`: e; the truth counts for 1 - e and its contrary for
        e, in both terms.

    Returns
    -------
    loss : Tensor
        A float32 scalar; 0 with a zero gradient if every pixel is ignored.
    """
    valid, truth = target != IGNORED, (target == 1).float() if soft is None else soft
    costs, smoothing = 0, loss.label_smoothing
    if loss.bce_weight:
        smoothed = truth * (1 - 2 * smoothing) + smoothing if smoothing else truth
        entropy = binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        costs = loss.bce_weight * entropy
    if loss.focal_weight:
        if loss.focal_alpha:
            focal = _balanced_focal(logits, truth, loss)
        elif soft is None:
            focal = _focal(torch.where(truth > 0, logits, -logits), loss)
        else:
            both = _focal(torch.stack([logits, -logits]), loss)
            focal = (torch.stack([soft, 1 - soft]) * both).sum(0)
        costs = costs + loss.focal_weight * focal
    costs, pixels = (costs * (weights * valid)).flatten(), valid.sum()
    if loss.ohem < 1:
        pixels = (loss.ohem * pixels).round().clamp(min=1)
        costs = costs.sort(descending=True).values  # ignored pixels cost 0: last
        costs = costs * (torch.arange(costs.numel(), device=costs.device) < pixels)
    return costs.sum() / pixels.clamp(min=1)


def overlap_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    importance: torch.Tensor,
    soft: torch.Tensor | None = None,
    *,
    indices: list[tuple[float, float, float, float]],
    log: bool,
    per: str,
    squared: bool,
) -> torch.Tensor:
    """Sum `weight * (1 - index)` over soft overlap indices, or `-weight * log index`.

    `index = (TP + s) / (TP + a FP + b FN + s)`, where TP = sum(v p t), FP = sum(v p (1 - t)) and
    FN = sum(v (1 - p) t) for the importance v, probability p and truth t of the valid pixels
    (Salehi, Erdogmus and Gholipour 2017). a = b = 0.5 is Dice and s = 0.5 adds 1 above and below
    its usual form; a = b = 1 is Jaccard. A soft truth t stands in the same sums; an index is then
    largest for a p that is surer than t.

    Parameters
    ----------
    logits, importance, soft : Tensor of float32, shape (B, H, W)
    target : Tensor of uint8, shape (B, H, W)
        0 background, 1 object, 255 ignored.
    indices : list of (weight, a, b, s)
        s is positive, the others not negative.
    log : bool
        Whether the logarithm is taken.
    per : {"batch", "image"}
        Whether the sums run over the batch or over each image.
    squared : bool
        Whether FP and FN are sum(v p^2 (1 - t)) and sum(v (1 - p)^2 t), so that Dice has squares
        of p below (Milletari, Navab and Ahmadi 2016): 2 sum(p t) / (sum p^2 + sum t).

    Returns
    -------
    loss : Tensor
        A float32 scalar, the mean over the images (or the batch) with object pixels in `target`; 0
        with a zero gradient if there are none: there is no overlap to measure.

    Raises
    ------
    ValueError
        If `per` is unknown.
    """
    if per not in PER:
        raise ValueError(f"'{per}' is unknown; known: {', '.join(PER)}")
    dims = (1, 2) if per == "image" else (0, 1, 2)
    truth, probability = target == 1, logits.sigmoid()
    inside, outside = importance * truth, importance * (target == 0)
    if soft is not None:
        valid = importance * (target != IGNORED)
        inside, outside = valid * soft, valid * (1 - soft)
    hit = (inside * probability).sum(dims)
    if squared:
        false = (outside * probability**2).sum(dims)
        missed = (inside * (1 - probability) ** 2).sum(dims)
    else:
        false = (outside * probability).sum(dims)
        missed = inside.sum(dims) - hit
    has_object = truth.any(-1).any(-1) if per == "image" else truth.any()
    loss = torch.zeros_like(hit)
    for weight, false_cost, missed_cost, smooth in indices:
        top = hit + smooth
        index = top / (top + false_cost * false + missed_cost * missed)
        loss = loss + weight * (-index.log() if log else 1 - index)
    return (loss * has_object).sum() / has_object.sum().clamp(min=1)


def _balanced_focal(logits: torch.Tensor, truth: torch.Tensor, loss: LossParams) -> torch.Tensor:
    """Return the focal loss of pixels, smoothed, with a weight of its own for either class."""
    gamma, threshold, smoothing = loss.focal_gamma, loss.focal_threshold, loss.label_smoothing
    share = truth * (1 - 2 * smoothing) + smoothing
    as_object = loss.focal_alpha * _sharp_focal(logits, gamma, threshold)
    as_background = (1 - loss.focal_alpha) * _sharp_focal(-logits, gamma, threshold)
    return share * as_object + (1 - share) * as_background


def _focal(margin: torch.Tensor, loss: LossParams) -> torch.Tensor:
    """Return the focal loss of pixels whose truth has the logit `margin`, smoothed."""
    gamma, threshold, smoothing = loss.focal_gamma, loss.focal_threshold, loss.label_smoothing
    focal = _sharp_focal(margin, gamma, threshold)
    if not smoothing:
        return focal
    return (1 - smoothing) * focal + smoothing * _sharp_focal(-margin, gamma, threshold)


def _sharp_focal(margin: torch.Tensor, gamma: float, threshold: float) -> torch.Tensor:
    """Return the focal loss of pixels whose truth has the logit `margin`."""
    log_truth, log_rest = logsigmoid(margin), logsigmoid(-margin)  # log p_t, log (1 - p_t)
    if not threshold:
        return -torch.exp(gamma * log_rest) * log_truth
    log_threshold = math.log(threshold)
    factor = torch.exp(gamma * (log_rest - log_threshold))
    return -torch.where(log_truth < log_threshold, 1.0, factor) * log_truth
