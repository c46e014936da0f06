from copy import deepcopy

import pytest
import torch
from torch import nn

from src.networks.depthwise import keep_depthwise_in_float32


def _answer_and_gradient(model: nn.Module, maps: torch.Tensor, bf16: bool):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        answer = model(maps)
    answer.float().square().sum().backward()
    return answer, next(model.parameters()).grad


def _conv(groups: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=groups))


def test_depthwise_convolutions_are_not_rounded_to_bf16():
    exact, rounded, kept = _conv(8), _conv(8), _conv(8)
    keep_depthwise_in_float32(kept)
    maps = torch.randn(2, 8, 16, 16)
    answer, gradient = _answer_and_gradient(exact, maps, bf16=False)
    assert torch.equal(_answer_and_gradient(kept, maps, bf16=True)[0], answer)
    assert not torch.equal(_answer_and_gradient(rounded, maps, bf16=True)[0].float(), answer)
    assert torch.equal(next(kept.parameters()).grad, gradient)


def test_without_gradients_they_are_left_to_autocast():
    rounded, kept = _conv(8), _conv(8)
    keep_depthwise_in_float32(kept)
    maps = torch.randn(2, 8, 16, 16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert kept(maps).dtype == torch.bfloat16
        assert torch.equal(kept(maps), rounded(maps))


def test_what_comes_in_as_bf16_leaves_as_bf16():
    model = _conv(8)
    keep_depthwise_in_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.randn(1, 8, 4, 4).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("groups", [1, 2])
def test_other_convolutions_stay_in_bf16(groups):
    model = _conv(groups)
    keep_depthwise_in_float32(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.randn(1, 8, 4, 4)).dtype == torch.bfloat16


def test_a_copy_has_weights_of_its_own():
    model = _conv(8)
    keep_depthwise_in_float32(model)
    other = deepcopy(model)
    with torch.no_grad():
        other[0].weight.zero_()
        other[0].bias.zero_()
    maps = torch.ones(1, 8, 4, 4)
    assert other(maps).abs().sum() == 0
    assert model(maps).abs().sum() > 0
    assert list(other.state_dict()) == list(_conv(8).state_dict())
