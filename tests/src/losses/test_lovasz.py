import math

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import LovaszLoss

from src.losses.lovasz import lovasz_hinge

PLAIN = {"error": "relu", "symmetric": False, "per": "image"}


def hinge(logits, target, **options):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    target = torch.as_tensor(target, dtype=torch.uint8)
    return lovasz_hinge(logits, target, **PLAIN | options)


def batch(seed=0):
    """Draw four images: two with objects and ignored pixels, one empty, one ignored."""
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 255], (4, 3, 5), p=[0.5, 0.3, 0.2]).astype(np.uint8)
    target[2][target[2] == 1] = 0
    target[3] = 255
    return rng.normal(0, 2, (4, 3, 5)).astype(np.float32), target


def slow_pixels(logits, truth, error):
    """Compute 1 - Jaccard anew for every set of the k pixels with the largest errors."""
    errors = [1 - z if t else 1 + z for z, t in zip(logits, truth, strict=True)]
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    total, before = 0.0, 0.0
    for k in range(1, len(order) + 1):
        wrong = set(order[:k])
        found = [t != (i in wrong) for i, t in enumerate(truth)]
        both = sum(f and t for f, t in zip(found, truth, strict=True))
        either = sum(f or t for f, t in zip(found, truth, strict=True))
        loss = 1 - both / either if either else 0.0
        e = errors[order[k - 1]]
        cost = max(e, 0.0) if error == "relu" else (e + 1 if e > 0 else math.exp(e))
        total += cost * (loss - before)
        before = loss
    return total


def slow_hinge(logits, target, options):
    o = PLAIN | options
    if o["per"] == "batch":
        logits, target = logits.reshape(1, -1), target.reshape(1, -1)
    values = []
    for scores, labels in zip(logits, target, strict=True):
        scores, labels = scores[labels != 255].tolist(), labels[labels != 255].tolist()
        if not labels:
            continue
        value = slow_pixels(scores, [t == 1 for t in labels], o["error"])
        if o["symmetric"]:
            other = slow_pixels([-z for z in scores], [t == 0 for t in labels], o["error"])
            value = (value + other) / 2
        values.append(value)
    return sum(values) / len(values)


@pytest.mark.parametrize("error", ["relu", "elu"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_values_and_gradients_are_those_of_a_slow_reference(error, symmetric, per):
    logits, target = batch()
    options = {"error": error, "symmetric": symmetric, "per": per}
    tensor = torch.from_numpy(logits).requires_grad_()
    value = hinge(tensor, torch.from_numpy(target), **options)
    value.backward()
    assert value.item() == pytest.approx(slow_hinge(logits, target, options), rel=1e-5)
    slopes = np.zeros(logits.shape)
    for index in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[index] = 1e-6
        high, low = (slow_hinge(logits + s, target, options) for s in (step, -step))
        slopes[index] = (high - low) / 2e-6
    np.testing.assert_allclose(tensor.grad.numpy(), slopes, rtol=1e-4, atol=1e-6)


def test_a_row_of_three_by_hand():
    # errors 1.5 (missed object), 1.2 (false pixel), 0.5 (object); 1 - J: 1/2, 2/3, 1
    value = hinge([[[-0.5, 0.2, 0.5]]], [[[1, 0, 1]]])
    assert value.item() == pytest.approx(1.5 / 2 + 1.2 / 6 + 0.5 / 3)


def test_elu_by_hand_counts_pixels_beyond_the_margin_and_is_never_negative():
    # errors -1 (object), -2 (background); 1 - J: 1, 1
    value = hinge([[[2.0, -3.0]]], [[[1, 0]]], error="elu")
    assert value.item() == pytest.approx(math.exp(-1))
    assert hinge([[[2.0, -3.0]]], [[[1, 0]]]).item() == 0


def test_symmetric_by_hand():
    # errors 1.5 (object), 1.2 (background): 1 - J goes 1, 1 for objects; 1/2, 1 for background
    value = hinge([[[-0.5, 0.2]]], [[[1, 0]]], symmetric=True)
    assert value.item() == pytest.approx((1.5 + (1.5 / 2 + 1.2 / 2)) / 2)


@pytest.mark.parametrize("per_image", [False, True])
def test_plain_hinge_agrees_with_a_public_library(per_image):
    logits, target = (torch.from_numpy(part)[:3] for part in batch(1))
    value = hinge(logits, target, per="image" if per_image else "batch")
    other = LovaszLoss("binary", per_image=per_image, ignore_index=255)(logits, target)
    torch.testing.assert_close(value, other)


def test_binary_errors_give_the_jaccard_index_itself():
    # logits +-1: a right pixel has error 0, a wrong one 2
    truth, found = np.array([[1, 1, 1, 0, 0, 0]]), np.array([[1, 1, 0, 1, 1, 0]])
    value = hinge(2.0 * found[None] - 1, truth[None])
    assert value.item() == pytest.approx(2 * (1 - 2 / 5))


def test_an_empty_image_pays_for_its_largest_error_alone():
    logits = torch.tensor([[[-3.0, 0.5, 2.0]]], requires_grad=True)
    value = hinge(logits, [[[0, 0, 0]]])
    value.backward()
    assert value.item() == 3
    assert logits.grad.tolist() == [[[0, 0, 1]]]


@pytest.mark.parametrize("error", ["relu", "elu"])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_all_ignored_is_zero_with_a_zero_gradient(error, per):
    logits = torch.full((2, 2, 2), 5.0, requires_grad=True)
    value = hinge(logits, torch.full((2, 2, 2), 255), error=error, per=per)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("error", ["relu", "elu"])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_ignored_pixels_count_for_nothing(error, symmetric, per):
    options = {"error": error, "symmetric": symmetric, "per": per}
    padded = hinge([[[9.0, 0.3, -9.0, -0.7, 50.0]]], [[[255, 1, 255, 0, 255]]], **options)
    torch.testing.assert_close(padded, hinge([[[0.3, -0.7]]], [[[1, 0]]], **options))


def test_growths_of_many_pixels_are_not_lost_to_rounding():
    # all false pixels come before the objects: the union grows from n by 1 each time
    n = 100_000
    logits = torch.cat([torch.linspace(9, 1, n), torch.ones(n)]).view(1, 1, -1).requires_grad_()
    target = torch.cat([torch.zeros(n), torch.ones(n)]).view(1, 1, -1).byte()
    hinge(logits, target, error="elu").backward()
    union = n + torch.arange(1, n + 1, dtype=torch.float64)
    expected = n / ((union - 1) * union)
    torch.testing.assert_close(logits.grad[0, 0, :n].double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("option", [{"error": "softplus"}, {"per": "object"}])
def test_unknown_options_are_answered_with_the_known_ones(option):
    name = next(iter(option.values()))
    with pytest.raises(ValueError, match=f"'{name}' is unknown; known: "):
        hinge([[[0.0]]], [[[1]]], **option)
