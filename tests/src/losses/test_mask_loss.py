import math

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, JaccardLoss, TverskyLoss

from src.losses import mask_loss as losses
from src.losses.lovasz import lovasz_hinge
from tests.sections import section

OFF = {
    "bce_weight": 0.0,
    "focal_weight": 0.0,
    "focal_gamma": 2.0,
    "focal_alpha": 0.0,
    "focal_threshold": 0.0,
    "ohem": 1.0,
    "label_smoothing": 0.0,
    "dice_weight": 0.0,
    "jaccard_weight": 0.0,
    "tversky_weight": 0.0,
    "tversky_alpha": 0.3,
    "tversky_beta": 0.7,
    "overlap_log": False,
    "overlap_per": "batch",
    "overlap_weighted": False,
    "overlap_squared": False,
    "lovasz_weight": 0.0,
    "lovasz_error": "relu",
    "lovasz_symmetric": False,
    "lovasz_per": "image",
}
EVERY_TERM = {
    "bce_weight": 1.0,
    "focal_weight": 1.0,
    "dice_weight": 1.0,
    "jaccard_weight": 1.0,
    "tversky_weight": 1.0,
    "lovasz_weight": 1.0,
}
LOGITS = torch.logit(torch.tensor([[[0.8, 0.4, 0.5]]]))
TARGET = torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
WEIGHTS = torch.tensor([[[1.0, 3.0, 100.0]]])


def mask_loss(logits, target, weights, soft=None, **terms):
    return losses.mask_loss(logits, target, weights, soft, section("loss", **terms))


def loss(**terms):
    return mask_loss(LOGITS, TARGET, WEIGHTS, **OFF | terms).item()


def batch(seed=0):
    """Draw three images: objects and ignored pixels, no object, everything ignored."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (3, 4, 5)).astype(np.float32)
    target = rng.choice([0, 1, 255], (3, 4, 5), p=[0.5, 0.3, 0.2]).astype(np.uint8)
    target[1][target[1] == 1] = 0
    target[2] = 255
    weights = rng.uniform(0.5, 3, (3, 4, 5)).astype(np.float32)
    return logits, target, weights


def slow_loss(logits, target, weights, options, soft=None):
    """Compute the terms in float64, pixel by pixel; Lovasz has its own test."""
    o = OFF | options
    e, costs = o["label_smoothing"], []
    sums = {}
    for index in np.ndindex(target.shape):
        t, w, key = int(target[index]), float(weights[index]), index[0]
        if o["overlap_per"] == "batch":
            key = 0
        tp, fp, fn, objects = sums.get(key, (0.0, 0.0, 0.0, 0))
        if t != 255:
            objects += t == 1
            t = t if soft is None else float(soft[index])
            p = 1 / (1 + math.exp(-float(logits[index])))
            bce = focal = 0.0
            a = o["focal_alpha"]
            of_object, of_rest = (a, 1 - a) if a else (1, 1)
            for share, right, a_t, a_f in (
                (t, p, of_object, of_rest),
                (1 - t, 1 - p, of_rest, of_object),
            ):
                for part, q, alpha in ((share * (1 - e), right, a_t), (share * e, 1 - right, a_f)):
                    bce -= part * math.log(q)
                    factor = (1 - q) ** o["focal_gamma"]
                    if o["focal_threshold"]:
                        factor /= o["focal_threshold"] ** o["focal_gamma"]
                        factor = 1.0 if q < o["focal_threshold"] else factor
                    focal -= alpha * part * factor * math.log(q)
            costs.append(w * (o["bce_weight"] * bce + o["focal_weight"] * focal))
            v = w**2 if o["overlap_weighted"] else 1.0
            tp += v * p * t
            power = 2 if o["overlap_squared"] else 1
            fp += v * p**power * (1 - t)
            fn += v * (1 - p) ** power * t
        sums[key] = (tp, fp, fn, objects)
    total = 0.0
    if costs:
        hardest = sorted(costs, reverse=True)[: max(round(o["ohem"] * len(costs)), 1)]
        total += sum(hardest) / len(hardest)
    overlaps = []
    for tp, fp, fn, objects in sums.values():
        dice = (2 * tp + 1) / (2 * tp + fp + fn + 1)
        jaccard = (tp + 1) / (tp + fp + fn + 1)
        tversky = (tp + 1) / (tp + o["tversky_alpha"] * fp + o["tversky_beta"] * fn + 1)
        value = 0.0
        for name, index in (("dice", dice), ("jaccard", jaccard), ("tversky", tversky)):
            value += o[f"{name}_weight"] * (-math.log(index) if o["overlap_log"] else 1 - index)
        if objects:
            overlaps.append(value)
    return total + (sum(overlaps) / len(overlaps) if overlaps else 0.0)


CASES = [
    {"bce_weight": 1.5},
    {"bce_weight": 1.0, "label_smoothing": 0.1},
    {"bce_weight": 1.0, "ohem": 0.3},
    {"focal_weight": 2.0},
    {"focal_weight": 1.0, "focal_gamma": 0.5, "label_smoothing": 0.2},
    {"focal_weight": 1.0, "focal_threshold": 0.5},
    {"focal_weight": 1.0, "focal_threshold": 0.3, "focal_gamma": 1.5, "label_smoothing": 0.05},
    {"bce_weight": 0.5, "focal_weight": 1.5, "ohem": 0.25},
    {"focal_weight": 1.0, "focal_alpha": 0.25},
    {"focal_weight": 1.0, "focal_alpha": 0.8, "focal_threshold": 0.5, "label_smoothing": 0.1},
    {"dice_weight": 1.0},
    {"dice_weight": 1.0, "overlap_squared": True},
    {"tversky_weight": 1.0, "overlap_squared": True, "overlap_weighted": True},
    {"jaccard_weight": 2.0, "overlap_per": "image"},
    {"tversky_weight": 1.0, "overlap_log": True},
    {"tversky_weight": 1.0, "tversky_alpha": 0.9, "tversky_beta": 0.2, "overlap_weighted": True},
    {
        "dice_weight": 1.0,
        "jaccard_weight": 2.0,
        "tversky_weight": 3.0,
        "overlap_log": True,
        "overlap_per": "image",
        "overlap_weighted": True,
    },
]


def soft_truth(target, seed=0):
    """Draw the truth as a probability: from 0.5 up on objects, below elsewhere."""
    low = np.random.default_rng(seed).uniform(0, 0.5, target.shape)
    return (np.where(target == 1, 0.5, 0) + low).astype(np.float32)


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("is_soft", [False, True])
def test_values_and_gradients_are_those_of_a_slow_reference(options, is_soft):
    logits, target, weights = batch()
    soft = soft_truth(target) if is_soft else None
    tensor = torch.from_numpy(logits).requires_grad_()
    given = [torch.from_numpy(part) for part in (target, weights, soft) if part is not None]
    value = mask_loss(tensor, *given, **OFF | options)
    value.backward()
    assert value.item() == pytest.approx(
        slow_loss(logits, target, weights, options, soft), rel=1e-5
    )
    slopes = np.zeros(logits.shape)
    for index in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[index] = 1e-6
        high, low = (slow_loss(logits + s, target, weights, options, soft) for s in (step, -step))
        slopes[index] = (high - low) / 2e-6
    np.testing.assert_allclose(tensor.grad.numpy(), slopes, rtol=1e-4, atol=1e-6)


SOFT = torch.tensor([[[0.9, 0.3, 0.6]]])


def soft_loss(**terms):
    return mask_loss(LOGITS, TARGET, WEIGHTS, SOFT, **OFF | terms).item()


def test_soft_truth_by_hand_in_each_term():
    first = -0.9 * math.log(0.8) - 0.1 * math.log(0.2)
    second = -0.3 * math.log(0.4) - 0.7 * math.log(0.6)
    assert soft_loss(bce_weight=1.0) == pytest.approx((first + 3 * second) / 2)
    first = -0.9 * 0.2**2 * math.log(0.8) - 0.1 * 0.8**2 * math.log(0.2)
    second = -0.3 * 0.6**2 * math.log(0.4) - 0.7 * 0.4**2 * math.log(0.6)
    assert soft_loss(focal_weight=1.0) == pytest.approx((first + 3 * second) / 2)
    hit, found, truth = 0.9 * 0.8 + 0.3 * 0.4, 0.8 + 0.4, 0.9 + 0.3
    assert soft_loss(dice_weight=1.0) == pytest.approx(1 - (2 * hit + 1) / (found + truth + 1))
    jaccard = (hit + 1) / (found + truth - hit + 1)
    assert soft_loss(jaccard_weight=1.0) == pytest.approx(1 - jaccard)
    tversky = (hit + 1) / (hit + 0.3 * (found - hit) + 0.7 * (truth - hit) + 1)
    assert soft_loss(tversky_weight=1.0) == pytest.approx(1 - tversky)
    assert soft_loss(lovasz_weight=1.0) == loss(lovasz_weight=1.0)


@pytest.mark.parametrize("options", [*CASES, EVERY_TERM | {"ohem": 0.5}], ids=str)
def test_a_soft_truth_of_zeros_and_ones_is_the_hard_truth_to_the_bit(options):
    logits, target, weights = (torch.from_numpy(part) for part in batch())
    found = []
    for soft in (None, (target != 0) * 255 / 255):  # ignored pixels have 255 in the plane
        leaf = logits.clone().requires_grad_()
        value = mask_loss(leaf, target, weights, soft, **OFF | options)
        value.backward()
        found.append((value, leaf.grad))
    assert all(map(torch.equal, *found))


def test_a_soft_image_leaves_the_gradient_of_hard_ones_as_it_is():
    logits, target, weights = (torch.from_numpy(part) for part in batch())
    soft = (target == 1).float()
    soft[1] = 0.3
    gradients = []
    for truth in (None, soft):
        leaf = logits.clone().requires_grad_()
        terms = {"bce_weight": 1.0, "focal_weight": 1.0, "jaccard_weight": 1.0}
        mask_loss(leaf, target, weights, truth, **OFF | terms | {"overlap_per": "image"}).backward()
        gradients.append(leaf.grad)
    assert torch.equal(gradients[0][[0, 2]], gradients[1][[0, 2]])
    assert not torch.equal(gradients[0][1], gradients[1][1])


def test_an_image_whose_soft_truth_has_no_object_has_no_overlap_to_measure():
    soft = torch.full((1, 1, 3), 0.4)
    target = torch.tensor([[[0, 0, 255]]], dtype=torch.uint8)
    terms = {"dice_weight": 1.0, "jaccard_weight": 1.0, "tversky_weight": 1.0}
    assert mask_loss(LOGITS, target, WEIGHTS, soft, **OFF | terms).item() == 0


def test_weighted_cross_entropy_by_hand_leaves_ignored_pixels_out():
    assert loss(bce_weight=1.0) == pytest.approx((-math.log(0.8) - 3 * math.log(0.6)) / 2)


def test_smoothed_cross_entropy_by_hand():
    first = -0.9 * math.log(0.8) - 0.1 * math.log(0.2)
    second = -0.9 * math.log(0.6) - 0.1 * math.log(0.4)
    expected = (first + 3 * second) / 2
    assert loss(bce_weight=1.0, label_smoothing=0.1) == pytest.approx(expected)


def test_focal_loss_by_hand():
    expected = (-(0.2**2) * math.log(0.8) - 3 * 0.4**2 * math.log(0.6)) / 2
    assert loss(focal_weight=1.0) == pytest.approx(expected)


def test_reduced_focal_loss_by_hand_spares_nothing_below_its_threshold():
    expected = (-((0.2 / 0.7) ** 2) * math.log(0.8) - 3 * math.log(0.6)) / 2
    assert loss(focal_weight=1.0, focal_threshold=0.7) == pytest.approx(expected)


def test_a_focal_loss_without_gamma_is_the_cross_entropy():
    assert loss(focal_weight=1.0, focal_gamma=0.0) == pytest.approx(loss(bce_weight=1.0))


def test_hardest_pixels_by_hand_are_those_that_cost_most_with_their_weight():
    assert loss(bce_weight=1.0, ohem=0.5) == pytest.approx(-3 * math.log(0.6))
    assert loss(bce_weight=1.0, ohem=0.01) == pytest.approx(-3 * math.log(0.6))  # one at least


def test_easy_pixels_learn_nothing_from_the_hardest():
    logits = LOGITS.clone().requires_grad_()
    mask_loss(logits, TARGET, WEIGHTS, **OFF | {"bce_weight": 1.0, "ohem": 0.5}).backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[[0.0, 3 * 0.4, 0.0]]]))


def test_soft_dice_by_hand():
    assert loss(dice_weight=1.0) == pytest.approx(1 - (2 * 0.8 + 1) / (0.8 + 0.4 + 1 + 1))


def test_squares_in_the_denominator_of_dice_by_hand():
    expected = 1 - (2 * 0.8 + 1) / (0.8**2 + 0.4**2 + 1 + 1)
    assert loss(dice_weight=1.0, overlap_squared=True) == pytest.approx(expected)


@pytest.mark.parametrize("costs", [(0.9, 0.1), (0.5, 0.5), (0.1, 0.9)])
def test_squares_keep_every_index_at_one_at_most(costs):
    target = torch.ones(1, 1, 1, dtype=torch.uint8)
    for probability in np.linspace(0.02, 0.98, 25):
        logits = torch.logit(torch.tensor([[[probability]]], dtype=torch.float32))
        options = {"tversky_weight": 1.0, "overlap_squared": True}
        options |= dict(zip(("tversky_alpha", "tversky_beta"), costs, strict=True))
        assert mask_loss(logits, target, torch.ones(1, 1, 1), **OFF | options).item() > 0


def test_the_weight_of_objects_in_the_focal_loss_by_hand():
    expected = (-0.25 * 0.2**2 * math.log(0.8) - 0.75 * 3 * 0.4**2 * math.log(0.6)) / 2
    assert loss(focal_weight=1.0, focal_alpha=0.25) == pytest.approx(expected)


def test_soft_jaccard_by_hand():
    assert loss(jaccard_weight=1.0) == pytest.approx(1 - (0.8 + 1) / (1.2 + 1 - 0.8 + 1))


def test_tversky_by_hand():
    expected = 1 - (0.8 + 1) / (0.8 + 0.3 * 0.4 + 0.7 * 0.2 + 1)
    assert loss(tversky_weight=1.0) == pytest.approx(expected)


def test_tversky_with_equal_costs_of_one_is_jaccard():
    tversky = loss(tversky_weight=1.0, tversky_alpha=1.0, tversky_beta=1.0)
    assert tversky == pytest.approx(loss(jaccard_weight=1.0))


def test_logarithm_of_dice_by_hand():
    expected = -math.log((2 * 0.8 + 1) / (0.8 + 0.4 + 1 + 1))
    assert loss(dice_weight=1.0, overlap_log=True) == pytest.approx(expected)


def test_weighted_dice_by_hand_squares_the_weights():
    expected = 1 - (2 * 0.8 + 1) / (0.8 + 9 * 0.4 + 1 + 1)
    assert loss(dice_weight=1.0, overlap_weighted=True) == pytest.approx(expected)


def test_overlap_per_image_by_hand_is_the_mean_over_images_with_objects():
    logits = torch.logit(torch.tensor([[[0.8, 0.4]], [[0.5, 0.3]], [[0.9, 0.9]]]))
    target = torch.tensor([[[1, 0]], [[1, 1]], [[0, 0]]], dtype=torch.uint8)
    options = OFF | {"jaccard_weight": 1.0, "overlap_per": "image"}
    value = mask_loss(logits, target, torch.ones(3, 1, 2), **options)
    assert value.item() == pytest.approx((1 - 1.8 / 2.4 + 1 - 1.8 / 3) / 2)


@pytest.mark.parametrize(
    ("options", "measure"),
    [
        ({"dice_weight": 1.0}, DiceLoss("binary", smooth=0.5)),
        ({"jaccard_weight": 1.0}, JaccardLoss("binary", smooth=1.0)),
        ({"tversky_weight": 1.0}, TverskyLoss("binary", smooth=1.0, alpha=0.3, beta=0.7)),
        (
            {"jaccard_weight": 1.0, "overlap_log": True},
            JaccardLoss("binary", smooth=1.0, log_loss=True),
        ),
        ({"focal_weight": 1.0}, FocalLoss("binary", gamma=2.0)),
        ({"focal_weight": 1.0, "focal_alpha": 0.25}, FocalLoss("binary", alpha=0.25, gamma=2.0)),
        (
            {"focal_weight": 1.0, "focal_threshold": 0.6},
            FocalLoss("binary", gamma=2.0, reduced_threshold=0.6),
        ),
    ],
)
def test_terms_agree_with_a_public_library(options, measure):
    logits, target, _ = (torch.from_numpy(part) for part in batch())
    target = (target == 1).byte()
    value = mask_loss(logits, target, torch.ones_like(logits), **OFF | options)
    torch.testing.assert_close(value, measure(logits[:, None], target[:, None].long()))


def test_terms_add_up_with_their_weights():
    options = {"ohem": 0.5, "label_smoothing": 0.1, "overlap_log": True}
    parts = sum(i * loss(**{name: 1.0}, **options) for i, name in enumerate(EVERY_TERM, 2))
    together = {name: float(i) for i, name in enumerate(EVERY_TERM, 2)}
    assert loss(**together, **options) == pytest.approx(parts)


@pytest.mark.parametrize("error", ["relu", "elu"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_the_lovasz_term_passes_its_options_on(error, symmetric, per):
    logits, target, weights = (torch.from_numpy(part) for part in batch())
    options = {"lovasz_error": error, "lovasz_symmetric": symmetric, "lovasz_per": per}
    value = mask_loss(logits, target, weights, **OFF | {"lovasz_weight": 2.0} | options)
    alone = lovasz_hinge(logits, target, error=error, symmetric=symmetric, per=per)
    torch.testing.assert_close(value, 2 * alone)


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("ohem", [1.0, 0.5])
def test_all_ignored_is_zero_with_a_gradient(per, ohem):
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    ignored = torch.full((1, 2, 2), 255, dtype=torch.uint8)
    options = OFF | EVERY_TERM | {"overlap_per": per, "lovasz_per": per, "ohem": ohem}
    value = mask_loss(logits, ignored, torch.ones(1, 2, 2), **options)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_every_term_off_is_zero_with_a_gradient():
    logits = LOGITS.clone().requires_grad_()
    value = mask_loss(logits, TARGET, WEIGHTS, **OFF)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("per", ["image", "batch"])
def test_an_ignored_image_changes_nothing(per):
    logits, target, weights = (torch.from_numpy(part) for part in batch())
    options = OFF | EVERY_TERM | {"overlap_per": per, "lovasz_per": per, "ohem": 0.5}
    with_ignored = mask_loss(logits, target, weights, **options)
    without = mask_loss(logits[:2], target[:2], weights[:2], **options)
    torch.testing.assert_close(with_ignored, without)


@pytest.mark.parametrize("per", ["image", "batch"])
def test_an_empty_mask_still_pushes_probabilities_down_through_cross_entropy(per):
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    empty = torch.zeros(1, 2, 2, dtype=torch.uint8)
    terms = {"bce_weight": 1.0, "dice_weight": 1.0, "jaccard_weight": 1.0, "tversky_weight": 1.0}
    mask_loss(logits, empty, torch.ones(1, 2, 2), **OFF | terms | {"overlap_per": per}).backward()
    torch.testing.assert_close(logits.grad, torch.full((1, 2, 2), 0.5 / 4))


def test_certain_logits_keep_loss_and_gradient_finite():
    logits = torch.tensor([[[200.0, -200.0, 200.0, -200.0]]], requires_grad=True)
    target = torch.tensor([[[1, 1, 0, 0]]], dtype=torch.uint8)
    options = {"label_smoothing": 0.1, "focal_gamma": 0.5, "focal_threshold": 0.4}
    value = mask_loss(
        logits, target, torch.ones(1, 1, 4), **OFF | EVERY_TERM | options | {"overlap_log": True}
    )
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_half_precision_logits_are_summed_in_full_precision():
    logits = torch.full((1, 300, 300), 4.0, dtype=torch.bfloat16)
    target = torch.ones(1, 300, 300, dtype=torch.uint8)
    value = mask_loss(logits, target, torch.ones(1, 300, 300), **OFF | {"bce_weight": 1.0})
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(math.log1p(math.exp(-4)), rel=1e-5)


def test_every_term_takes_half_precision_logits_as_their_values():
    logits, target, weights = (torch.from_numpy(part) for part in batch())
    half = logits.bfloat16()
    options = OFF | EVERY_TERM | {"ohem": 0.5}
    expected = mask_loss(half.float(), target, weights, **options)
    assert torch.equal(mask_loss(half, target, weights, **options), expected)


def test_an_unknown_reach_of_the_overlap_is_answered_with_the_known_ones():
    options = {"indices": [(1.0, 0.5, 0.5, 0.5)], "log": False, "per": "object"}
    options |= {"squared": False}
    with pytest.raises(ValueError, match="'object' is unknown; known: batch, image"):
        losses.overlap_loss(LOGITS, TARGET, WEIGHTS, **options)
