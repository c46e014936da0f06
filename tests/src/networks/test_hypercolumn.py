import segmentation_models_pytorch as smp
import torch
from torch.nn.functional import interpolate

from src.networks.hypercolumn import HypercolumnDecoder, add_hypercolumn

WIDTHS = [64, 32, 16]


def unet(**options):
    torch.manual_seed(0)
    return smp.create_model(
        "Unet",
        "resnet18",
        encoder_depth=3,
        encoder_weights=None,
        decoder_channels=WIDTHS,
        **options,
    ).eval()


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


@torch.no_grad()
def test_the_decoder_gives_every_map_of_the_plain_one_enlarged_to_the_input():
    model, image, maps = unet(), torch.rand(1, 3, 32, 48), []
    for block in model.decoder.blocks:
        block.register_forward_hook(lambda module, given, answer: maps.append(answer))
    features = model.encoder(image)
    last = model.decoder(features)
    plain = [part.clone() for part in maps]
    column = HypercolumnDecoder(model.decoder)(features)
    assert [tuple(part.shape[1:]) for part in plain] == [(64, 8, 12), (32, 16, 24), (16, 32, 48)]
    assert column.shape == (1, 112, 32, 48)
    for part, found in zip(plain, column.split(WIDTHS, dim=1), strict=True):
        assert torch.equal(found, interpolate(part, (32, 48), mode="bilinear"))
    assert torch.equal(column[:, -16:], last)


@torch.no_grad()
def test_the_head_reads_all_maps_and_its_biases_start_at_zero():
    model = unet()
    before = parameters(model)
    add_hypercolumn(model, WIDTHS, 2)
    head = model.segmentation_head[0]
    assert head.weight.shape == (2, 112, 3, 3)
    assert not head.bias.any()
    # the old head: one channel of 16 x 3 x 3 weights and a bias
    assert parameters(model) - before == 2 * (112 * 9 + 1) - (16 * 9 + 1)
    image = torch.rand(1, 3, 32, 48)
    answer = model(image)
    assert answer.shape == (1, 2, 32, 48)
    head.weight[:, :64] = 0  # what comes from the deepest block
    assert not torch.equal(model(image), answer)


@torch.no_grad()
def test_weights_keep_the_names_they_have_in_the_plain_decoder():
    model = unet(decoder_attention_type="scse")
    names = list(model.decoder.state_dict())
    add_hypercolumn(model, WIDTHS, 1)
    assert list(model.decoder.state_dict()) == names


def test_every_decoder_block_learns_directly_from_the_head():
    model = unet()
    add_hypercolumn(model, WIDTHS, 1)
    model(torch.rand(1, 3, 32, 32)).sum().backward()
    assert all(block.conv2[0].weight.grad.any() for block in model.decoder.blocks)
