import torch
from torch import nn

from src.weight_average import update_average


def network(value):
    net = nn.BatchNorm1d(1)
    with torch.no_grad():
        net.weight.fill_(value)
        net.running_mean.fill_(value)
        net.num_batches_tracked.fill_(int(value))
    return net


def test_weights_and_statistics_move_by_one_minus_decay():
    average = network(0)
    update_average(average, network(10), decay=0.9, step=10**6)
    torch.testing.assert_close(average.weight.data, torch.tensor([1.0]))
    torch.testing.assert_close(average.running_mean, torch.tensor([1.0]))
    assert average.num_batches_tracked == 10


def test_the_first_steps_forget_the_random_start():
    average = network(0)
    update_average(average, network(10), decay=0.999, step=0)
    torch.testing.assert_close(average.weight.data, torch.tensor([9.0]))  # keeps 1 / 10


def test_without_decay_the_average_is_the_model():
    average = network(0)
    update_average(average, network(3), decay=0.0, step=5)
    assert average.weight.item() == 3
