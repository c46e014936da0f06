import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from src.training import processes
from src.training.whole_batch_norm import whole_batch_norms
from tests.processes import run_in

SHAPES = {"maps": (5, 3, 4, 6), "numbers": (5, 3)}


def norm_of(shape):
    torch.manual_seed(1)
    norm = BatchNormAct2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)  # with and without a ReLU
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return norm


def batch_of(shape):
    """A batch far from 0, whose images differ: no share of it has its mean."""
    draw = torch.Generator().manual_seed(2)
    steps = torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))
    return 100 + 3 * steps + torch.randn(shape, generator=draw)


def learn(norm, given, factors):
    """Answer, then follow the gradient of a sum with these factors; return what came of it."""
    given = given.clone().requires_grad_()
    found = norm(given)
    (found * factors).sum().backward()
    return {
        "found": found.detach(),
        "given": given.grad,
        "weight": norm.weight.grad,
        "bias": norm.bias.grad,
        "mean": norm.running_mean,
        "variance": norm.running_var,
    }


def learn_share(folder, shape, bf16):
    with processes.joined():
        norm, given = norm_of(shape), batch_of(shape)
        factors = torch.randn(shape, generator=torch.Generator().manual_seed(3))
        own = processes.own_share(list(range(shape[0])))
        with whole_batch_norms(True), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            of_share = learn(norm, given[own], factors[own])
        norm.eval()
        with whole_batch_norms(True):
            of_share["later"] = norm(given[own]).detach()
        np.savez(folder / f"{processes.rank()}.npz", **of_share)


@pytest.mark.parametrize("name", SHAPES)
def test_a_share_is_normalised_as_in_the_whole_batch(tmp_path, name):
    shape = SHAPES[name]
    run_in(2, learn_share, tmp_path, shape, False)  # shares of three and of two
    norm = norm_of(shape)
    factors = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    whole = learn(norm, batch_of(shape), factors)
    whole["later"] = norm.eval()(batch_of(shape)).detach()
    parts = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for key in ("found", "given", "later"):
        joined = np.concatenate([part[key] for part in parts])
        np.testing.assert_allclose(joined, whole[key], rtol=1e-4, atol=2e-5, err_msg=key)
    for key in ("weight", "bias"):
        total = sum(part[key] for part in parts)
        np.testing.assert_allclose(total, whole[key], rtol=1e-4, atol=1e-4, err_msg=key)
    for key in ("mean", "variance"):
        for part in parts:
            np.testing.assert_allclose(part[key], whole[key], rtol=1e-5, err_msg=key)


def test_one_process_and_a_param_that_is_off_leave_the_layer_alone():
    for sync in (False, True):
        with whole_batch_norms(sync):
            found = learn(norm_of((5, 3)), batch_of((5, 3)), torch.ones(5, 3))
        plain = learn(norm_of((5, 3)), batch_of((5, 3)), torch.ones(5, 3))
        assert all(torch.equal(found[key], plain[key]) for key in plain)
