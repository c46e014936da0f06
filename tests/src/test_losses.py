import math

import pytest
import torch

from src.losses import segmentation_loss

OFF = {"bce_weight": 0.0, "dice_weight": 0.0, "jaccard_weight": 0.0}
LOGITS = torch.logit(torch.tensor([[[0.8, 0.4, 0.5]]]))
TARGET = torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
WEIGHTS = torch.tensor([[[1.0, 3.0, 100.0]]])


def loss(**terms):
    return segmentation_loss(LOGITS, TARGET, WEIGHTS, **OFF | terms).item()


def test_weighted_cross_entropy_by_hand_leaves_ignored_pixels_out():
    assert loss(bce_weight=1.0) == pytest.approx((-math.log(0.8) - 3 * math.log(0.6)) / 2)


def test_soft_dice_by_hand():
    assert loss(dice_weight=1.0) == pytest.approx(1 - (2 * 0.8 + 1) / (0.8 + 0.4 + 1 + 1))


def test_soft_jaccard_by_hand():
    assert loss(jaccard_weight=1.0) == pytest.approx(1 - (0.8 + 1) / (1.2 + 1 - 0.8 + 1))


def test_terms_add_up_with_their_weights():
    parts = 2 * loss(bce_weight=1.0) + 3 * loss(dice_weight=1.0) + 4 * loss(jaccard_weight=1.0)
    assert loss(bce_weight=2.0, dice_weight=3.0, jaccard_weight=4.0) == pytest.approx(parts)


def test_all_ignored_is_zero_with_a_gradient():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    ignored = torch.full((1, 2, 2), 255, dtype=torch.uint8)
    value = segmentation_loss(
        logits, ignored, torch.ones(1, 2, 2), bce_weight=1.0, dice_weight=1.0, jaccard_weight=1.0
    )
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_an_empty_mask_still_pushes_probabilities_down_through_cross_entropy():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    segmentation_loss(
        logits,
        torch.zeros(1, 2, 2, dtype=torch.uint8),
        torch.ones(1, 2, 2),
        bce_weight=1.0,
        dice_weight=1.0,
        jaccard_weight=0.0,
    ).backward()
    torch.testing.assert_close(logits.grad, torch.full((1, 2, 2), 0.5 / 4))


def test_half_precision_logits_are_summed_in_full_precision():
    logits = torch.full((1, 300, 300), 4.0, dtype=torch.bfloat16)
    target = torch.ones(1, 300, 300, dtype=torch.uint8)
    value = segmentation_loss(logits, target, torch.ones(1, 300, 300), **OFF | {"bce_weight": 1.0})
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(math.log1p(math.exp(-4)), rel=1e-5)
