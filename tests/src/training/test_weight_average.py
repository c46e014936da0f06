import copy

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from src.training.weight_average import (
    average_states,
    averaged_tensors,
    differing_statistics,
    images_in_full_company,
    refresh_batch_norm,
    snapshot_weights,
    update_average,
)


def network(value):
    net = nn.BatchNorm1d(1)
    with torch.no_grad():
        net.weight.fill_(value)
        net.running_mean.fill_(value)
        net.num_batches_tracked.fill_(int(value))
    return net


def test_weights_and_statistics_move_by_one_minus_decay():
    average = network(0)
    update_average(averaged_tensors(average, network(10)), decay=0.9, step=10**6)
    torch.testing.assert_close(average.weight.data, torch.tensor([1.0]))
    torch.testing.assert_close(average.running_mean, torch.tensor([1.0]))
    assert average.num_batches_tracked == 10


def test_the_first_steps_forget_the_random_start():
    average = network(0)
    update_average(averaged_tensors(average, network(10)), decay=0.999, step=0)
    torch.testing.assert_close(average.weight.data, torch.tensor([9.0]))  # keeps 1 / 10


def test_without_decay_the_average_is_the_model():
    average = network(0)
    update_average(averaged_tensors(average, network(3)), decay=0.0, step=5)
    assert average.weight.item() == 3


def test_the_moving_average_of_a_network_follows_its_closed_form():
    """After n steps: sum of (1 - d_i) model_i times all later d, and what is left of the start."""
    torch.manual_seed(0)
    model = smp.Linknet("tu-test_resnet", encoder_depth=3, encoder_weights=None)
    average = copy.deepcopy(model)
    states = [{k: v.numpy().copy() for k, v in model.state_dict().items()}]
    for step in range(12):
        with torch.no_grad():
            for value in model.state_dict().values():
                value.add_(torch.randn_like(value) if value.is_floating_point() else 1)
        states.append({k: v.numpy().copy() for k, v in model.state_dict().items()})
        update_average(averaged_tensors(average, model), decay=0.5, step=step)
    keep = [min(0.5, (1 + step) / (10 + step)) for step in range(12)]
    shares = [np.prod(keep)]
    shares += [(1 - keep[i]) * np.prod(keep[i + 1 :]) for i in range(12)]
    assert sum(shares) == pytest.approx(1)
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            expected = sum(share * s[key] for share, s in zip(shares, states, strict=True))
            np.testing.assert_allclose(value.numpy(), expected, rtol=1e-4, atol=1e-5)
        else:
            assert value.item() == 12


def test_a_network_without_counters_is_averaged():
    average, model = nn.Linear(1, 1), nn.Linear(1, 1)
    nn.init.zeros_(average.weight)
    nn.init.ones_(model.weight)
    update_average(averaged_tensors(average, model), decay=0.75, step=10**6)
    assert average.weight.item() == 0.25


@pytest.mark.parametrize(
    ("count", "decay", "expected"),
    [
        (0, 0.5, []),
        (1, 0.5, [1]),
        (3, 0.5, [4 / 7, 2 / 7, 1 / 7]),  # .5, .25, .125 over their sum
        (4, 1.0, [0.25] * 4),
    ],
)
def test_snapshot_weights_fall_by_the_decay_and_sum_to_one(count, decay, expected):
    assert snapshot_weights(count, decay) == pytest.approx(expected, abs=1e-15)


def test_averaged_states_are_those_of_numpy_in_the_dtypes_of_the_first():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 4, 5)) for _ in range(3)]
    dtypes = {"single": torch.float32, "half": torch.bfloat16, "double": torch.float64}
    states = [
        {name: torch.from_numpy(array).to(dtype) for name, dtype in dtypes.items()}
        for array in arrays
    ]
    copies = copy.deepcopy(states)
    found = average_states(states, [0.5, 0.3, 0.2])
    for name, dtype in dtypes.items():
        parts = [state[name].double().numpy() for state in states]
        expected = 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2]
        assert found[name].dtype == dtype
        torch.testing.assert_close(found[name], torch.from_numpy(expected).to(dtype))
    for state, before in zip(states, copies, strict=True):
        assert all(torch.equal(state[name], before[name]) for name in dtypes)


def test_the_average_is_computed_in_double_precision():
    states = [{"w": torch.tensor([value])} for value in (1e8, 1.0, -1e8)]
    assert average_states(states, [0.25, 0.5, 0.25])["w"].item() == 0.5  # 0 in single precision


def test_counters_are_those_of_the_first_and_not_shared_with_it():
    states = [network(7).state_dict(), network(3).state_dict()]
    found = average_states(states, [0.25, 0.75])
    assert found["num_batches_tracked"].item() == 7
    assert found["weight"].item() == 4
    found["num_batches_tracked"].add_(1)
    assert states[0]["num_batches_tracked"].item() == 7


def test_one_state_comes_out_as_it_went_in():
    model = smp.Linknet("tu-test_resnet", encoder_depth=3, encoder_weights=None)
    state = model.to(memory_format=torch.channels_last).state_dict()
    found = average_states([state], [1.0])
    assert list(found) == list(state)
    assert all(torch.equal(found[key], value) for key, value in state.items())
    assert all(found[key].stride() == value.stride() for key, value in state.items())


@pytest.mark.parametrize(
    ("states", "weights", "message"),
    [
        ([{"w": torch.zeros(1)}] * 2, [0.5, 0.4], "sum to 0.9, not to 1"),
        ([], [], "sum to 0.0, not to 1"),
        ([{"w": torch.zeros(1)}, {"w": torch.zeros(2)}], [0.5, 0.5], "differ in names or shapes"),
        ([{"w": torch.zeros(1)}, {"v": torch.zeros(1)}], [0.5, 0.5], "differ in names or shapes"),
        ([{"w": torch.zeros(1)}] * 3, [0.5, 0.5], "shorter"),
    ],
)
def test_states_and_weights_that_do_not_fit_are_refused(states, weights, message):
    with pytest.raises(ValueError, match=message):
        average_states(states, weights)


def two_norms():
    """A network whose second batch norm sees twice what the first one lets through."""
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        model[1].weight.copy_(2 * torch.eye(3)[..., None, None])
        for norm in (model[0], model[2]):
            norm.running_mean.fill_(100)
            norm.running_var.fill_(100)
            norm.num_batches_tracked.fill_(100)
    return model


def test_refreshed_statistics_are_those_of_the_data():
    rng = np.random.default_rng(0)
    batches = rng.normal(5, 3, size=(4, 2, 3, 8, 8)).astype(np.float32)
    model = two_norms()
    refresh_batch_norm(model, (torch.from_numpy(batch) for batch in batches), "02")
    axes = (1, 3, 4)  # all but batch and channel
    mean, variance = batches.mean(axes), batches.var(axes, ddof=1)
    np.testing.assert_allclose(model[0].running_mean, mean.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model[0].running_var, variance.mean(0), rtol=1e-5)
    # What passed the first has mean its bias and variance 1 (here over n, there over n - 1).
    np.testing.assert_allclose(model[2].running_mean, [2, 4, 6], rtol=1e-5)
    np.testing.assert_allclose(model[2].running_var, [4 * 128 / 127] * 3, rtol=1e-4)
    assert model[0].num_batches_tracked == 4


def test_refreshing_keeps_weights_momentum_and_mode():
    model = two_norms().eval()
    model[0].momentum = 0.3
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    refresh_batch_norm(model, [torch.randn(2, 3, 8, 8)], "02")
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert model[0].momentum == 0.3
    assert not any(module.training for module in model.modules())


def test_without_batch_norms_nothing_happens():
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    before = copy.deepcopy(model.state_dict())
    refresh_batch_norm(model, [torch.randn(4, 2)], [])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_statistics_of_no_data_are_refused_and_the_old_ones_kept():
    model = two_norms()
    with pytest.raises(ValueError, match="no batch to measure"):
        refresh_batch_norm(model, [], "0")
    assert model[0].running_mean.tolist() == [100] * 3


def test_other_batch_norms_stay_as_they_are():
    model = two_norms()
    refresh_batch_norm(model, [torch.randn(2, 3, 8, 8)], ["2"])
    assert model[0].running_mean.tolist() == [100] * 3
    assert model[0].num_batches_tracked == 100
    assert model[2].num_batches_tracked == 1


def test_batch_norms_that_differ_anywhere_are_named():
    one, other = two_norms().state_dict(), two_norms().state_dict()
    assert differing_statistics([one]) == []
    assert differing_statistics([one, one]) == []
    other["2.running_var"][1] = 7
    other["1.weight"][0] = 3
    other["0.num_batches_tracked"] += 1
    assert differing_statistics([one, one, other]) == ["2"]


@pytest.mark.parametrize(
    ("count", "size", "taken"), [(5, 4, 4), (9, 4, 8), (8, 4, 8), (6, 4, 6), (1, 4, 1), (3, 2, 2)]
)
def test_no_image_makes_up_the_last_batch_alone(count, size, taken):
    assert images_in_full_company(count, size) == taken
