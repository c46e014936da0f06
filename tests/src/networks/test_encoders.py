import copy

import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder

from src.base.errors import InputError
from src.networks.encoders import (
    add_attention,
    keep_stem_size,
    leave_out_stages,
    leave_out_stem_pooling,
)

IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
TINY = "tu-test_resnet"


def encoder_of(name=TINY, depth=4, in_channels=3, seed=0):
    torch.manual_seed(seed)
    return get_encoder(name, in_channels=in_channels, depth=depth, weights=None).eval()


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def stages_of(encoder):
    body = getattr(encoder, "model", encoder)
    return [getattr(body, f"layer{number}") for number in range(1, len(encoder.out_channels) - 1)]


@torch.no_grad()
@pytest.mark.parametrize("depth", [3, 4])
def test_stages_that_never_run_are_gone_and_the_answer_is_the_same(depth):
    encoder = encoder_of("resnet18", depth)
    before = encoder(IMAGE)
    deeper = [encoder.layer3, encoder.layer4][depth - 3 :]
    count = parameters(encoder)
    leave_out_stages(encoder, depth)
    assert parameters(encoder) == count - sum(parameters(stage) for stage in deeper)
    for old, new in zip(before, encoder(IMAGE), strict=True):
        assert torch.equal(old, new)
    encoder.requires_grad_(True)
    with torch.enable_grad():
        encoder(IMAGE)[-1].sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "depth", "blocks"),
    [
        ("tu-tf_efficientnet_lite0", 3, 3),
        ("tu-tf_efficientnet_lite0", 4, 5),
        ("tu-tf_efficientnet_lite0", 5, 7),
        ("tu-mobilenetv3_small_100", 3, 2),
        ("tu-mobilenetv3_small_100", 4, 4),
        ("tu-mobilenetv3_small_100", 5, 6),
    ],
)
def test_blocks_of_timm_that_would_run_for_nothing_are_gone(name, depth, blocks):
    encoder = encoder_of(name, depth)
    before, kept = encoder(IMAGE), list(encoder.model.blocks)[:blocks]
    leave_out_stages(encoder, depth)
    assert list(encoder.model.blocks) == kept
    for old, new in zip(before, encoder(IMAGE), strict=True):
        assert torch.equal(old, new)
    with torch.enable_grad():
        encoder(IMAGE)[-1].sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


@pytest.mark.parametrize("name", ["resnet18", TINY])
@pytest.mark.parametrize("depth", [3, 5])
def test_attention_adds_one_module_of_known_size_to_every_stage(name, depth):
    encoder = encoder_of(name, depth)
    before = parameters(encoder)
    add_attention(encoder, name)
    widths = encoder.out_channels[2:]
    assert len(widths) == depth - 1
    # squeeze and excite by two layers with biases, and one number per pixel
    expected = [c * (c // 16) + c // 16 + (c // 16) * c + c + c + 1 for c in widths]
    assert [parameters(stage.scse) for stage in stages_of(encoder)] == expected
    assert parameters(encoder) - before == sum(expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", TINY])
def test_attention_is_seen_by_the_next_stage(name):
    encoder = encoder_of(name)
    plain = encoder(IMAGE)
    add_attention(encoder, name)
    assert not torch.equal(encoder(IMAGE)[2], plain[2])
    for stage in stages_of(encoder):
        for weight in stage.scse.parameters():
            weight.zero_()  # both gates are one half: x / 2 + x / 2
    for old, new in zip(plain, encoder(IMAGE), strict=True):
        assert torch.equal(old, new)
    first, second = stages_of(encoder)[:2]
    first.scse.cSE[3].bias.fill_(100)
    first.scse.sSE[0].bias.fill_(100)  # both gates are open: x + x
    seen = encoder(IMAGE)
    assert torch.equal(seen[2], 2 * plain[2])
    assert torch.equal(seen[3], second(2 * plain[2]))
    assert not torch.equal(seen[3], plain[3])


def test_attention_leaves_the_names_of_other_weights_alone():
    encoder = encoder_of()
    before = set(encoder.state_dict())
    add_attention(encoder, TINY)
    added = set(encoder.state_dict()) - before
    assert before <= set(encoder.state_dict())
    assert all(key.split(".")[2] == "scse" for key in added)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet-b0", "tu-test_convnext"])
def test_encoders_without_the_stages_of_a_resnet_are_refused(name):
    with pytest.raises(InputError, match=f"model.encoder_attention scse: the encoder '{name}'"):
        add_attention(encoder_of(name), name)
    with pytest.raises(InputError, match=f"model.stem_stride 1: the encoder '{name}'"):
        keep_stem_size(encoder_of(name), name)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "se_resnet50", TINY, "tu-resnet26d"])
def test_a_stem_of_stride_1_doubles_all_maps_and_halves_the_stride(name):
    encoder = encoder_of(name, 5)
    wide = copy.deepcopy(encoder)
    keep_stem_size(wide, name)
    assert (encoder.output_stride, wide.output_stride) == (32, 16)
    assert parameters(wide) == parameters(encoder)
    for small, large in zip(encoder(IMAGE)[1:], wide(IMAGE)[1:], strict=True):
        assert large.shape[:2] == small.shape[:2]
        assert large.shape[2:] == (2 * small.shape[2], 2 * small.shape[3])


@torch.no_grad()
def test_every_second_pixel_of_a_wide_stem_is_that_of_the_plain_one():
    encoder = encoder_of("resnet18")
    plain = encoder(IMAGE)[1]
    keep_stem_size(encoder, "resnet18")
    torch.testing.assert_close(encoder(IMAGE)[1][:, :, ::2, ::2], plain)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "se_resnet50", TINY, "tu-resnet26d"])
def test_a_stem_without_pooling_doubles_what_is_deeper_and_halves_the_stride(name):
    encoder = encoder_of(name, 5)
    wide = copy.deepcopy(encoder)
    leave_out_stem_pooling(wide, name)
    assert (encoder.output_stride, wide.output_stride) == (32, 16)
    assert wide.state_dict().keys() == encoder.state_dict().keys()
    plain, maps = encoder(IMAGE), wide(IMAGE)
    assert torch.equal(maps[1], plain[1])
    for small, large in zip(plain[2:], maps[2:], strict=True):
        assert large.shape[2:] == (2 * small.shape[2], 2 * small.shape[3])
