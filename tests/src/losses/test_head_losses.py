import math

import numpy as np
import pytest
import torch

from src.losses import head_losses
from src.losses.embedding_losses import embedding_loss
from src.losses.head_losses import boundary_distance_errors
from tests.sections import section

OFF = {
    "border_weight": 0.0,
    "border_width": 2.0,
    "contact_weight": 0.0,
    "contact_width": 6.0,
    "boundary_distance_weight": 0.0,
    "boundary_distance_loss": "smooth_l1",
    "empty_weight": 0.0,
    "embedding_weight": 0.0,
    "embedding_loss": "discriminative",
}
WEIGHTS = [name for name in OFF if name.endswith("_weight")]


def head_loss(outputs, planes, **options):
    return head_losses.head_loss(outputs, planes, section("loss", **options))


def plane(*values):
    return torch.tensor([[list(values)]], dtype=torch.uint8)


def drawn(seed=0):
    """Draw planes and outputs of three crops, the second without objects, the last ignored."""
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 255], (3, 6, 6), p=[0.4, 0.4, 0.2]).astype(np.uint8)
    target[1][target[1] == 1] = 0
    target[2] = 255
    on_object = target == 1
    planes = {
        "target": target,
        "d1": rng.integers(0, 20, target.shape).astype(np.uint8),
        "d2": rng.integers(0, 30, target.shape).astype(np.uint8),
        "inside": (rng.integers(4, 20, target.shape) * on_object).astype(np.uint8),
        "inside_relative": (rng.integers(1, 256, target.shape) * on_object).astype(np.uint8),
        "id_low": (rng.integers(1, 3, target.shape) * on_object).astype(np.uint8),
        "id_high": (rng.integers(0, 2, target.shape) * on_object).astype(np.uint8),
    }
    maps = ("mask", "border", "contact", "boundary_distance")
    outputs = {name: rng.normal(0, 2, target.shape).astype(np.float32) for name in maps}
    outputs["empty"] = rng.normal(0, 2, 3).astype(np.float32)
    outputs["embedding"] = rng.normal(0, 2, (3, 2, 6, 6)).astype(np.float32)
    planes = {name: torch.from_numpy(values) for name, values in planes.items()}
    return {name: torch.from_numpy(values) for name, values in outputs.items()}, planes


def cross_entropy(logit, truth):
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if truth else 1 - probability)


def slow_term(name, logits, planes, o):
    """Average one map head's loss pixel by pixel, in float64; the regression's is mse."""
    losses, planes = [], {key: values.numpy() for key, values in planes.items()}
    for index in np.ndindex(planes["target"].shape):
        at = {key: int(values[index]) for key, values in planes.items()}
        z = float(logits[index])
        if at["target"] == 255:
            continue
        if name == "border":
            truth = at["target"] == 1 and at["inside"] / 4 <= o["border_width"]
            losses.append(cross_entropy(z, truth))
        elif name == "contact":
            truth = at["d1"] / 4 + at["d2"] / 4 <= o["contact_width"]
            losses.append(cross_entropy(z, truth))
        else:
            losses.append((z - at["inside_relative"] / 255) ** 2)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("name", ["border", "contact", "boundary_distance"])
def test_values_and_gradients_of_map_heads_are_those_of_a_slow_reference(name):
    outputs, planes = drawn()
    options = OFF | {f"{name}_weight": 2.0, "boundary_distance_loss": "mse"}
    logits = outputs[name].requires_grad_()
    value = head_loss(outputs, planes, **options)
    value.backward()
    start = logits.detach().double().numpy()
    assert value.item() == pytest.approx(2 * slow_term(name, start, planes, options), rel=1e-5)
    slopes = np.zeros(start.shape)
    for index in np.ndindex(start.shape):
        step = np.zeros(start.shape)
        step[index] = 1e-6
        high, low = (slow_term(name, start + s, planes, options) for s in (step, -step))
        slopes[index] = 2 * (high - low) / 2e-6
    np.testing.assert_allclose(logits.grad.numpy(), slopes, rtol=1e-4, atol=1e-6)


def test_border_by_hand_is_the_rim_inside_objects_up_to_its_width():
    outputs = {"border": torch.zeros(1, 1, 5) + torch.tensor([3.0, 3.0, -3.0, -3.0, 9.0])}
    planes = {"target": plane(1, 1, 1, 0, 255), "inside": plane(4, 8, 9, 0, 0)}
    value = head_loss(outputs, planes, **OFF | {"border_weight": 1.0})
    assert value.item() == pytest.approx(math.log1p(math.exp(-3)))


def test_contact_by_hand_does_not_wrap_around_and_includes_its_width():
    # sums: 24 (6 px), 25, 270 (14 as a byte)
    outputs = {"contact": torch.tensor([[[3.0, -3.0, -3.0]]])}
    planes = {"target": plane(0, 0, 1), "d1": plane(12, 12, 140), "d2": plane(12, 13, 130)}
    value = head_loss(outputs, planes, **OFF | {"contact_weight": 1.0})
    assert value.item() == pytest.approx(math.log1p(math.exp(-3)))


@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [
        ("mse", -0.3, 0.09),
        ("smooth_l1", 0.05, 0.1 * 0.5**2 / 2),
        ("smooth_l1", -0.3, 0.1 * (3 - 0.5)),
        ("cauchy", 0.1, 0.1 * math.log(1.5)),
        ("cauchy", -0.4, 0.1 * math.log(9)),
        ("wing", 0.05, 0.1 * 5 * math.log(2)),  # y = e
        ("wing", -0.3, 0.1 * 5 * math.log(7)),
        ("wing", 0.5, 0.1 * 5 * math.log(11)),  # y = w, where both parts meet
        ("wing", -0.9, 0.1 * (9 - 5 + 5 * math.log(11))),
        ("wing", 0.0, 0.0),
    ],
)
def test_errors_of_the_boundary_distance_by_hand(kind, error, expected):
    assert boundary_distance_errors(torch.tensor(error), kind=kind).item() == pytest.approx(
        expected, rel=1e-5, abs=1e-9
    )


@pytest.mark.parametrize("kind", ["mse", "smooth_l1", "wing", "cauchy"])
@pytest.mark.parametrize("error", [-0.8, -0.3, -0.04, 0.06, 0.44, 0.7])
def test_slopes_of_the_boundary_distance_errors_are_finite_differences(kind, error):
    x = torch.tensor(error, dtype=torch.float64, requires_grad=True)
    boundary_distance_errors(x, kind=kind).backward()
    around = torch.tensor([error + 1e-6, error - 1e-6], dtype=torch.float64)
    high, low = boundary_distance_errors(around, kind=kind)
    assert x.grad.item() == pytest.approx(((high - low) / 2e-6).item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["mse", "smooth_l1", "wing", "cauchy"])
def test_the_kind_of_the_boundary_distance_loss_is_used_on_valid_pixels(kind):
    outputs = {"boundary_distance": torch.tensor([[[0.7, 0.1, 0.0, 40.0]]])}
    planes = {"target": plane(1, 1, 0, 255), "inside_relative": plane(51, 255, 0, 0)}
    options = {"boundary_distance_weight": 3.0, "boundary_distance_loss": kind}
    errors = boundary_distance_errors(torch.tensor([0.5, -0.9, 0.0]), kind=kind)
    value = head_loss(outputs, planes, **OFF | options)
    assert value.item() == pytest.approx(3 * errors.mean().item())


def test_the_empty_head_by_hand_leaves_ignored_crops_out():
    outputs = {"empty": torch.tensor([2.0, -1.0, 5.0], requires_grad=True)}
    target = torch.tensor([[[0, 255]], [[1, 0]], [[255, 255]]], dtype=torch.uint8)
    value = head_loss(outputs, {"target": target}, **OFF | {"empty_weight": 2.0})
    value.backward()
    assert value.item() == pytest.approx(math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)))
    away = [-1 / (1 + math.exp(2)), 1 / (1 + math.exp(1)), 0]
    np.testing.assert_allclose(outputs["empty"].grad, away, rtol=1e-5)


@pytest.mark.parametrize("kind", ["discriminative", "cosface"])
def test_the_embedding_head_sees_instances_put_together_from_two_bytes(kind):
    outputs, planes = drawn()
    planes["id_low"] = torch.where(planes["id_low"] == 2, 255, 0).byte()
    instances = planes["id_low"].long() + 256 * planes["id_high"].long()
    instances[planes["target"] == 255] = 65535
    planes["id_low"][planes["target"] == 255] = 1  # ignored, whatever the planes say
    value = head_loss(outputs, planes, **OFF | {"embedding_weight": 2.0, "embedding_loss": kind})
    assert instances.unique().tolist() == [0, 255, 256, 511, 65535]
    torch.testing.assert_close(
        value, 2 * embedding_loss(outputs["embedding"], instances, kind=kind)
    )


def test_terms_add_up_with_their_weights():
    outputs, planes = drawn()
    alone = [head_loss(outputs, planes, **OFF | {name: 1.0}).item() for name in WEIGHTS]
    assert min(alone) > 0
    together = OFF | {name: float(i) for i, name in enumerate(WEIGHTS, 2)}
    expected = sum(i * value for i, value in enumerate(alone, 2))
    assert head_loss(outputs, planes, **together).item() == pytest.approx(expected)


def test_heads_that_are_not_there_or_do_not_weigh_give_zero():
    outputs, planes = drawn()
    every = OFF | dict.fromkeys(WEIGHTS, 1.0)
    assert head_loss(outputs, planes, **OFF).item() == 0
    assert head_loss({"mask": outputs["mask"]}, planes, **every).item() == 0
    assert head_loss(outputs, planes, **OFF).dtype == torch.float32


@pytest.mark.parametrize("name", WEIGHTS)
def test_all_ignored_is_zero_with_a_zero_gradient(name):
    outputs, planes = drawn()
    planes["target"] = torch.full_like(planes["target"], 255)
    head = outputs[name.removesuffix("_weight")].requires_grad_()
    value = head_loss(outputs, planes, **OFF | {name: 1.0})
    value.backward()
    assert value.item() == 0
    assert (head.grad == 0).all()


def test_half_precision_outputs_are_taken_as_their_values():
    outputs, planes = drawn()
    half = {name: values.bfloat16() for name, values in outputs.items()}
    every = OFF | dict.fromkeys(WEIGHTS, 1.0)
    value = head_loss(half, planes, **every)
    as_float = {name: values.float() for name, values in half.items()}
    assert value.dtype == torch.float32
    assert torch.equal(value, head_loss(as_float, planes, **every))


def test_an_unknown_boundary_distance_loss_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'l1' is unknown; known: smooth_l1, wing, cauchy, mse"):
        boundary_distance_errors(torch.zeros(1), kind="l1")
