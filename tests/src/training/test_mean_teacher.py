import math

import numpy as np
import pytest
import torch

from src.training.checkpoint import Progress
from src.training.mean_teacher import Consistency, consistent, teacher_probability
from tests.sections import section

PARAMS = section("model", mean=[0.0] * 3, std=[1.0] * 3, image_channels="rgb")


def batch(height=8, width=8):
    images = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
    )
    return images, torch.zeros(2, 4, height, width, dtype=torch.uint8), torch.zeros(2, 2)


def red(given):
    """A network whose logit is the red channel."""
    return given[:, :1]


def column(given):
    """A network whose logit is the number of the column."""
    return torch.arange(float(given.shape[3])).expand(len(given), 1, *given.shape[2:])


def said(teacher, seed=0, size=(8, 8), allowed="d4"):
    return teacher_probability(
        teacher,
        batch(*size),
        np.random.default_rng(seed),
        allowed=allowed,
        params=PARAMS,
        heads=["mask"],
        bf16=False,
    )


def test_what_the_teacher_says_is_turned_back():
    """A pixelwise network says the same of every view but for the levels."""
    images = batch()[0]
    for seed in range(20):
        logits = torch.logit(said(red, seed).double())
        factor = (logits * 255 / images[:, 0]).nanmedian().item()
        assert 0.9 <= factor <= 1.1
        wanted = (images[:, 0] * factor).clamp(max=255) / 255
        np.testing.assert_allclose(logits, wanted, atol=1.01 / 255)  # both are rounded


def test_levels_differ_from_batch_to_batch():
    factors = {round(said(red, seed).sum().item(), 3) for seed in range(10)}
    assert len(factors) == 10


@pytest.mark.parametrize(
    ("allowed", "size", "views"),
    [("none", (8, 8), 1), ("hflip", (8, 8), 2), ("d2", (8, 8), 2), ("d4", (8, 8), 4)]
    + [("d4", (4, 8), 2)],
)
def test_views_are_those_allowed_that_fit(allowed, size, views):
    """Columns look alike upside down, so four of the eight views are told apart."""
    seen = {tuple(said(column, seed, size, allowed)[0].flatten().tolist()) for seed in range(60)}
    assert len(seen) == views


def test_the_loss_is_the_mean_squared_difference_with_a_weight_that_rises():
    logits = torch.tensor([[[0.0, 2.0]]], requires_grad=True)
    answer = torch.tensor([[[0.25, 0.5]]])
    drawn = []

    def say(teacher, given, rng):
        drawn.append(rng.random())
        return answer

    def add(over, losses=()):
        progress = Progress(curve=[{}] * over, losses=list(losses))
        given = {"learn": lambda b: (torch.tensor(3.0), logits, "target"), "teacher": None}
        given |= {"consistency": Consistency(4.0, say), "progress": progress}
        return consistent(None, **given, epochs=20, seed=1)

    difference = ((logits.sigmoid() - answer) ** 2).mean().item()
    for over, share in ((0, math.exp(-5)), (5, math.exp(-5 / 4)), (10, 1), (19, 1)):
        loss, found, target = add(over)
        assert loss.item() == pytest.approx(3 + 4 * share * difference)
        assert (found is logits, target) == (True, "target")
    assert drawn[0] != drawn[1]  # another epoch
    add(0)
    assert drawn[-1] == drawn[0]
    add(0, [0.5])
    assert drawn[-1] != drawn[0]  # another batch
    loss.backward()
    assert (logits.grad.sign() == torch.tensor([[[1.0, 1.0]]])).all()
