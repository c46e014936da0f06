from copy import deepcopy

import pytest
import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from src.networks.model import stride
from src.networks.network_input import EXTRA_CHANNELS
from src.predicting.folded import DoublingBlock, folded
from tests.src.networks.test_model import ALL_HEADS, network

ARCHITECTURES = ["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3"]
ARCHITECTURES += ["DeepLabV3Plus", "PAN", "UPerNet", "Segformer"]


def learnt(**change):
    """Return a network whose batch norms and biases are what training might make of them."""
    model = network(**change)
    drawn = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in [
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ]:
                values.uniform_(low, high, generator=drawn)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format


def answers(model, side, in_channels=3):
    image = torch.rand(2, in_channels, *side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = model(image.contiguous(memory_format=torch.channels_last))
    return found if isinstance(found, tuple) else (found,)


def expect_same(model, in_channels=3):
    light, step = folded(model, in_channels), stride(model)
    for side in [(4 * step, 4 * step), (2 * step, 5 * step)]:
        for found, wanted in zip(
            answers(light, side, in_channels), answers(model, side, in_channels), strict=True
        ):
            assert (found - wanted).abs().max() <= 1e-4 * max(1.0, float(wanted.abs().max()))
    return light


def count(model, kind):
    return sum(isinstance(module, kind) for module in model.modules())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_decoder_answers_as_before(architecture):
    light = expect_same(learnt(architecture=architecture))
    assert count(light, nn.BatchNorm2d) < count(network(architecture=architecture), nn.BatchNorm2d)


@pytest.mark.parametrize(
    ("change", "norms", "doubling"),
    [
        ({"encoder": "tu-tf_efficientnet_lite0"}, 0, 4),
        ({"encoder": "tu-tf_efficientnet_lite0", "encoder_depth": 5}, 0, 5),
        ({"encoder": "resnet18"}, 0, 4),
        ({"encoder": "mobilenet_v2"}, 0, 4),
        ({"encoder": "tu-test_convnext", "encoder_depth": 4}, 0, 4),
        ({"encoder": "efficientnet-b0"}, None, 4),  # pads in a class of its own
        ({"hypercolumn": True}, 0, 4),
        ({"stem_stride": 1}, 0, 3),  # the last block does not enlarge
        ({"decoder_attention": "scse"}, 0, 0),  # which looks at the doubled maps
        ({"encoder_attention": "scse"}, 0, 4),
        ({"heads": ALL_HEADS}, 0, 4),
        ({"in_channels": 3 + sum(EXTRA_CHANNELS.values())}, 0, 4),
    ],
)
def test_what_is_made_of_a_unet(change, norms, doubling):
    light = expect_same(learnt(**change), change.get("in_channels", 3))
    assert count(light, DoublingBlock) == doubling
    assert norms is None or count(light, nn.BatchNorm2d) == norms
    padded = [one for one in light.modules() if type(one) is Conv2dSame and one.stride == (2, 2)]
    assert not padded


def test_the_network_itself_stays_as_it_is():
    model = learnt()
    before, kept = list(model.modules()), deepcopy(model.state_dict())
    light = folded(model, 3)
    assert list(model.modules()) == before
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())
    for weight in light.parameters():
        weight.data.zero_()
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())


def test_doubled_maps_are_convolved_as_by_hand():
    block = UnetDecoderBlock(1, 0, 1, use_norm="identity").eval()
    conv = block.conv1[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(torch.arange(1.0, 10).view(1, 1, 3, 3))
        conv.bias.zero_()
        found = DoublingBlock(block, 1).small(torch.tensor([[[[1.0, 10.0]]]]))
    # two rows 1 1 10 10 and zeros around them, under the weights 1 2 3, 4 5 6, 7 8 9
    assert found[0, 0].tolist() == [[28, 174, 291, 240], [16, 102, 165, 120]]


def test_a_norm_that_others_look_past_stays():
    class Split(nn.Module):
        """A convolution whose answer goes around its batch norm too."""

        def __init__(self, conv):
            super().__init__()
            self.conv, self.norm = conv, nn.BatchNorm2d(conv.out_channels)

        def forward(self, maps):
            found = self.conv(maps)
            return self.norm(found) + found

    model = learnt()
    first = model.segmentation_head[0]
    model.segmentation_head[0] = Split(first).eval()
    model.segmentation_head[0].norm.running_mean.fill_(3.0)
    light = expect_same(model)
    assert count(light, nn.BatchNorm2d) == count(model, nn.BatchNorm2d)


def test_group_norms_stay():
    model = learnt()
    block = model.decoder.blocks[0]
    block.conv1[1] = nn.GroupNorm(4, block.conv1[0].out_channels)
    light = expect_same(model)
    assert count(light, nn.GroupNorm) == 1
    assert count(light, DoublingBlock) == 4
