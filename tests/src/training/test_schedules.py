import math
from typing import get_args

import pytest
import torch

from src.base.errors import InputError
from src.training import schedules
from src.training.params import Phase
from tests.sections import phase, section

DEFAULTS = {"min_lr": 0.0, "cycle_steps": 6, "step_factor": 0.5, "steps": 20}
SCHEDULES = get_args(Phase.model_fields["schedule"].annotation)


def phase_optimiser(groups, *, steps, cycle_steps, train=None, **settings):
    """Take epochs of one step each."""
    one = phase(epochs=steps, cycle_epochs=cycle_steps, **settings)
    keys = {"weight_decay": 0.0} | (train or {})
    return schedules.phase_optimiser(groups, one, section("train", **keys), epoch_steps=1)


def rates(schedule, lrs=(0.1,), **changes):
    """Return the learning rates of all groups at each step of a phase."""
    settings = DEFAULTS | changes
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    optimiser, scheduler = phase_optimiser(groups, optimiser="adamw", schedule=schedule, **settings)
    seen = []
    for _ in range(settings["steps"]):
        seen.append(tuple(group["lr"] for group in optimiser.param_groups))
        optimiser.step()
        scheduler.step()
    return seen


def half_cosine(high, low, part):
    return low + (high - low) * (1 + math.cos(math.pi * part)) / 2


def one_cycle(step, low):
    start, end, top = max(1 / 25, low), max(4e-6, low), 0.3 * 20 - 1
    if step <= top:
        return half_cosine(start, 1, step / top)
    return half_cosine(1, end, (step - top) / (20 - 1 - top))


CLOSED_FORMS = {  # of 20 steps with cycles of 6, as fractions of the highest rate
    "constant": lambda step, low: 1,
    "step": lambda step, low: max(low, 0.5 ** (step // 6)),
    "cosine": lambda step, low: half_cosine(1, low, step / 20),
    "one_cycle": one_cycle,
    "triangular2": lambda step, low: (
        low + (1 - low) * (1 - abs(step % 6 / 3 - 1)) / 2 ** (step // 6)
    ),
    "warm_restarts": lambda step, low: half_cosine(1, low, step % 6 / 6),
}


@pytest.mark.parametrize("low", [0.0, 0.01, 0.2, 0.99])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_follows_its_closed_form_in_every_group(schedule, low):
    seen = rates(schedule, lrs=(0.1, 0.003), min_lr=low)
    expected = [CLOSED_FORMS[schedule](step, low) for step in range(20)]
    assert [lr for lr, _ in seen] == pytest.approx([0.1 * part for part in expected], abs=1e-12)
    assert [lr for _, lr in seen] == pytest.approx([0.003 * part for part in expected], abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("step", [1, 1, 0.5, 0.5, 0.25]),
        ("cosine", [1, 0.9045085, 0.6545085, 0.3454915, 0.0954915]),
        ("triangular2", [0, 1, 0, 0.5, 0]),
        ("warm_restarts", [1, 0.5, 1, 0.5, 1]),
    ],
)
def test_five_steps_by_hand(schedule, expected):
    seen = rates(schedule, lrs=(1.0,), cycle_steps=2, steps=5)
    assert [lr for (lr,) in seen] == pytest.approx(expected, abs=1e-7)


def test_one_cycle_without_a_lowest_rate_is_the_librarys_own():
    made = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    library = torch.optim.lr_scheduler.OneCycleLR(
        made, max_lr=0.1, total_steps=20, cycle_momentum=False
    )
    expected = []
    for _ in range(20):
        expected.append((made.param_groups[0]["lr"],))
        made.step()
        library.step()
    assert rates("one_cycle") == expected


def test_an_odd_triangle_is_symmetric():
    seen = [lr for (lr,) in rates("triangular2", lrs=(1.0,), cycle_steps=5, steps=6)]
    assert seen == pytest.approx([0, 0.4, 0.8, 0.8, 0.4, 0], abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_phase_of_one_step_works(schedule):
    assert len(rates(schedule, steps=1)) == 1


def test_a_triangle_of_one_step_is_refused():
    with pytest.raises(
        InputError, match="triangular2: a cycle of 1 step never rises.*cycle_epochs"
    ):
        rates("triangular2", cycle_steps=1)


@pytest.mark.parametrize(
    ("optimiser", "gradient", "expected"),
    [
        # Adam's first step is the sign of the gradient; the decay 0.1 * 2 turns that of -0.1 ...
        ("adam", -0.1, 2 - 0.1),
        # ... but not where it shrinks the weight by itself.
        ("adamw", -0.1, 2 * (1 - 0.1 * 0.1) + 0.1),
        # Nesterov: the gradient and 0.9 times the momentum, which is the gradient at first.
        ("sgd", 0.5, 2 - 0.1 * (1 + 0.9) * (0.5 + 0.1 * 2)),
        # The mean square starts with a hundredth: its root is a tenth of the gradient.
        ("rmsprop", 0.5, 2 - 0.1 / 0.1),
    ],
)
def test_the_first_step_of_every_optimiser_by_hand(optimiser, gradient, expected):
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    made, _ = phase_optimiser(
        [{"params": [weight], "lr": 0.1}],
        optimiser=optimiser,
        schedule="constant",
        train={"weight_decay": 0.1},
        **DEFAULTS,
    )
    weight.grad = torch.tensor([gradient])
    made.step()
    assert weight.item() == pytest.approx(expected, abs=1e-6)


def test_momentum_adds_up():
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    groups = [{"params": [weight], "lr": 1.0}]
    made, _ = phase_optimiser(groups, optimiser="sgd", schedule="constant", **DEFAULTS)
    for _ in range(2):
        weight.grad = torch.tensor([1.0])
        made.step()
    assert weight.item() == pytest.approx(-(1 + 0.9) - (1 + 0.9 * (1 + 0.9)))


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({"momentum": 0.5, "nesterov": True}, -(1 + 0.5) - (1 + 0.5 * (1 + 0.5))),
        ({"momentum": 0.5, "nesterov": False}, -1 - (1 + 0.5)),
        ({"momentum": 0.0, "nesterov": False}, -1 - 1),
    ],
)
def test_sgd_has_the_momentum_it_is_told(train, expected):
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    groups = [{"params": [weight], "lr": 1.0}]
    made, _ = phase_optimiser(groups, optimiser="sgd", schedule="constant", train=train, **DEFAULTS)
    for _ in range(2):
        weight.grad = torch.tensor([1.0])
        made.step()
    assert weight.item() == pytest.approx(expected)


def test_the_given_groups_stay_as_they_are():
    weight = torch.nn.Parameter(torch.zeros(1))
    groups = [{"params": [weight], "lr": 0.1}]
    phase_optimiser(groups, optimiser="adam", schedule="triangular2", **DEFAULTS)
    assert groups == [{"params": [weight], "lr": 0.1}]


@pytest.mark.parametrize("key", ["optimiser", "schedule"])
def test_every_name_that_the_section_knows_is_there(key):
    for name in get_args(Phase.model_fields[key].annotation):
        settings = {"optimiser": "adam", "schedule": "constant"} | {key: name}
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1}]
        phase_optimiser(groups, **settings, **DEFAULTS)


def test_cycles_and_phases_are_measured_in_epochs_of_so_many_steps():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1.0}]
    one = phase(epochs=2, cycle_epochs=1, schedule="warm_restarts", min_lr=0.0)
    optimiser, schedule = schedules.phase_optimiser(groups, one, section("train"), epoch_steps=2)
    seen = []
    for _ in range(4):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert seen == pytest.approx([1, 0.5, 1, 0.5])


@pytest.mark.parametrize("name", schedules.OPTIMISERS)
def test_weights_may_begin_to_learn_later_than_others(name):
    """As those of an encoder that thaws stage by stage."""
    early, late = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimiser, _ = phase_optimiser(
        [{"params": [early, late], "lr": 0.1}],
        optimiser=name,
        schedule="constant",
        **DEFAULTS,
    )
    for learning in ([early], [early, late]):
        for weight in learning:
            weight.grad = torch.ones(3)
        optimiser.step()
    assert (early < late).all()
    assert (late < 1).all()
