import math

import pytest
import torch

from src.schedules import phase_optimiser


def rates(schedule, steps=20):
    weights = [torch.nn.Parameter(torch.zeros(1))]
    optimiser, scheduler = phase_optimiser(
        weights, optimiser="adamw", schedule=schedule, lr=0.1, weight_decay=0.0, steps=steps
    )
    seen = []
    for _ in range(steps):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return seen


def test_constant_stays():
    assert rates("constant") == [0.1] * 20


def test_cosine_falls_by_its_closed_form():
    expected = [0.05 * (1 + math.cos(math.pi * i / 20)) for i in range(20)]
    assert rates("cosine") == pytest.approx(expected)


def test_one_cycle_rises_then_falls_and_fits_its_steps():
    seen = rates("one_cycle")
    top = seen.index(max(seen))
    assert seen[top] == pytest.approx(0.1)
    assert seen[0] == pytest.approx(0.004)
    assert seen[: top + 1] == sorted(seen[: top + 1])
    assert seen[top:] == sorted(seen[top:], reverse=True)
    assert seen[-1] < 1e-5


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_a_phase_of_one_step_works(schedule):
    assert len(rates(schedule, steps=1)) == 1


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_every_optimiser_goes_downhill(optimiser):
    weight = torch.nn.Parameter(torch.ones(1))
    made, _ = phase_optimiser(
        [weight], optimiser=optimiser, schedule="constant", lr=0.1, weight_decay=0.0, steps=1
    )
    (weight**2).sum().backward()
    made.step()
    assert weight.item() < 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"optimiser": "lion"}, "'lion' is unknown; known: adam, adamw, sgd"),
        ({"schedule": "step"}, "'step' is unknown; known: constant, cosine, one_cycle"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(names, message):
    settings = {"optimiser": "adam", "schedule": "constant"} | names
    with pytest.raises(ValueError, match=message):
        phase_optimiser([], **settings, lr=0.1, weight_decay=0.0, steps=1)
