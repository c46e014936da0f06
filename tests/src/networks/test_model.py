import copy
import json

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import BatchNorm2d

from src.base.errors import InputError
from src.networks.encoder_weights import load_encoder_weights, packaged_state
from src.networks.heads import head_outputs
from src.networks.model import REBUILT_FROM, build_model, load_model, save_model, stride
from src.networks.params import LATER, NetworkParams

SMALL = {
    "architecture": "Unet",
    "encoder": "tu-test_resnet",
    "encoder_depth": 4,
    "encoder_attention": "none",
    "stem_stride": 2,
    "stem_pooling": True,
    "decoder_width": 16,
    "decoder_attention": "none",
    "decoder_upsampling": "nearest",
    "decoder_norm": "batchnorm",
    "hypercolumn": False,
    "embedding_size": 8,
    "in_channels": 3,
    "heads": ["mask"],
}
ALL_HEADS = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


DEPTHS = [slow(3), 4, slow(5)]


def network(encoder_weights=None, seed=0, **change):
    torch.manual_seed(seed)
    arguments = SMALL | change
    params = NetworkParams(**{key: arguments[key] for key in NetworkParams.model_fields})
    beside = {key: arguments[key] for key in ("in_channels", "heads")}
    return build_model(params, **beside, encoder_weights=encoder_weights).eval()


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


@torch.no_grad()
def answers_at_input_size(model, in_channels=3):
    """Tell whether sides of several multiples of the stride, not square, come back."""
    step = stride(model)
    height = max(32 // step, 1) * step
    image = torch.rand(1, in_channels, height, height + step)
    return model(image).shape == (1, 1, *image.shape[2:])


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "architecture",
    ["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus"]
    + ["PAN", "UPerNet", "Segformer"],
)
def test_every_decoder_answers_at_the_size_of_the_input(architecture, depth):
    assert answers_at_input_size(network(architecture=architecture, encoder_depth=depth))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "architecture",
    ["Unet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer"],
)
def test_a_stem_of_stride_1_answers_at_the_size_of_the_input_too(architecture, depth):
    change = {
        "architecture": architecture,
        "encoder_depth": max(depth, 4 * (architecture == "FPN")),
    }
    wide = network(**change, stem_stride=1)
    assert answers_at_input_size(wide)
    assert stride(wide) == stride(network(**change)) // 2


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [
        ("Unet", "resnet18"),
        ("Unet", "tu-test_convnext"),
        ("Linknet", "mobilenet_v2"),
        ("DeepLabV3Plus", "efficientnet-b0"),
        ("FPN", "tu-test_resnet"),
    ],
)
def test_other_encoders_answer_at_the_size_of_the_input(architecture, encoder):
    model = network(architecture=architecture, encoder=encoder, encoder_depth=5)
    assert answers_at_input_size(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "DeepLabV3Plus"]
)
@pytest.mark.parametrize(
    "encoder",
    ["vgg11", "vgg16", "se_resnext50_32x4d", "resnet50", "resnet101", "resnet152"]
    + ["efficientnet-b0", "densenet121", "tu-convnext_atto"],
)
def test_large_encoders_answer_at_the_size_of_the_input(architecture, encoder):
    change = {"architecture": architecture, "encoder": encoder, "encoder_depth": 5}
    if architecture == "DeepLabV3Plus" and encoder.startswith(("vgg", "densenet")):
        with pytest.raises(InputError, match="cannot be built:.*not support dilated mode"):
            network(**change)
    else:
        assert answers_at_input_size(network(**change))


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["Unet", "Linknet", "DeepLabV3Plus"])
@pytest.mark.parametrize("depth", [3, 5])
def test_all_heads_answer(architecture, depth):
    change = {"architecture": architecture, "encoder_depth": depth, "heads": ALL_HEADS}
    outputs = network(**change)(torch.rand(2, 3, 64, 96))
    parts = head_outputs(outputs, ALL_HEADS, 8)
    assert {head: tuple(part.shape) for head, part in parts.items()} == {
        "mask": (2, 64, 96),
        "border": (2, 64, 96),
        "contact": (2, 64, 96),
        "boundary_distance": (2, 64, 96),
        "embedding": (2, 8, 64, 96),
        "empty": (2,),
    }


def test_heads_cost_what_the_formula_says():
    plain = parameters(network())
    assert parameters(network(heads=ALL_HEADS[:3])) - plain == 2 * (16 * 9 + 1)
    embedding = {"heads": ["mask", "embedding"], "embedding_size": 5}
    assert parameters(network(**embedding)) - plain == 5 * (16 * 9 + 1)
    deepest = network().encoder.out_channels[-1]
    assert parameters(network(heads=["mask", "empty"])) - plain == deepest + 1


def test_the_empty_head_has_no_dropout():
    model = network(heads=["mask", "empty"])
    assert not any(isinstance(part, torch.nn.Dropout) for part in model.classification_head)


def test_widths_double_from_the_last_block_to_the_deepest():
    for name, width in (("Unet", 8), ("MAnet", 24)):
        decoder = network(architecture=name, decoder_width=width).decoder
        widths = [block.conv2[0].out_channels for block in decoder.blocks]
        assert widths == [8 * width, 4 * width, 2 * width, width]
    nested = network(architecture="UnetPlusPlus", decoder_width=8)
    assert nested.segmentation_head[0].in_channels == 8


def scse(channels):
    small = channels // 16
    return (channels * small + small) + (small * channels + channels) + (channels + 1)


def test_attention_in_the_decoder_costs_what_the_formula_says():
    plain, model = network(), network(decoder_attention="scse")
    inputs = [block.conv1[0].in_channels for block in model.decoder.blocks]
    expected = sum(scse(channels) for channels in [*inputs, 128, 64, 32, 16])
    assert parameters(model) - parameters(plain) == expected
    nested = [network(architecture="UnetPlusPlus", decoder_attention=a) for a in ("scse", "none")]
    assert parameters(nested[0]) > parameters(nested[1])


def test_attention_in_the_encoder_costs_what_the_formula_says():
    model = network(encoder_attention="scse")
    assert parameters(model) - parameters(network()) == sum(
        scse(channels) for channels in model.encoder.out_channels[2:]
    )


def test_a_hypercolumn_costs_what_the_formula_says():
    model = network(hypercolumn=True, heads=["mask", "border"])
    plain = network(heads=["mask", "border"])
    assert parameters(model) - parameters(plain) == 2 * 9 * (128 + 64 + 32)
    assert answers_at_input_size(network(hypercolumn=True, stem_stride=1))


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "tu-test_resnet"])
def test_other_numbers_of_channels_come_in(encoder):
    for channels in (1, 4):
        model = network(encoder=encoder, in_channels=channels)
        assert answers_at_input_size(model, channels)


@pytest.mark.parametrize("stem", [{}, {"stem_stride": 1}, {"stem_pooling": False}])
def test_transposed_convolutions_enlarge_wherever_the_size_doubles(stem):
    learnt, plain = (network(decoder_upsampling=kind, **stem) for kind in ("transposed", "nearest"))
    assert answers_at_input_size(learnt)
    kinds = [hasattr(block, "enlarge") for block in learnt.decoder.blocks]
    changing = {0: True, 1: True, 2: stem != {"stem_pooling": False}, 3: "stem_stride" not in stem}
    assert kinds == list(changing.values())
    given = [192, 128, 64, 32]  # the deepest map of this encoder, then of the blocks
    added = sum(9 * n * n + n for n, learns in zip(given, kinds, strict=True) if learns)
    assert parameters(learnt) - parameters(plain) == added


def test_a_transposed_convolution_is_seen_by_its_block():
    learnt = network(decoder_upsampling="transposed")
    image = torch.rand(1, 3, 32, 32)
    before = learnt(image)
    with torch.no_grad():
        learnt.decoder.blocks[1].enlarge.weight.zero_()
    assert not torch.equal(learnt(image), before)


@pytest.mark.parametrize("architecture", ["Unet", "UnetPlusPlus", "Linknet"])
def test_a_decoder_may_be_without_batch_norm(architecture):
    bare = network(architecture=architecture, decoder_norm="none")
    assert not any(isinstance(module, BatchNorm2d) for module in bare.decoder.modules())
    assert answers_at_input_size(bare)


@pytest.mark.parametrize("architecture", ["Unet", "UnetPlusPlus", "MAnet"])
def test_bilinear_enlargement_is_another_network_of_the_same_weights(architecture):
    near, smooth = (
        network(architecture=architecture, decoder_upsampling=kind)
        for kind in ("nearest", "bilinear")
    )
    image = torch.rand(1, 3, 32, 32)
    assert near.state_dict().keys() == smooth.state_dict().keys()
    assert not torch.equal(near(image), smooth(image))


def test_a_stem_without_pooling_answers_at_the_size_of_the_input():
    for stem in (2, 1):
        wide = network(stem_pooling=False, stem_stride=stem)
        assert answers_at_input_size(wide)
        assert stride(wide) == stride(network(stem_stride=stem)) // 2


def test_networks_of_older_versions_are_what_they_were(tmp_path):
    model = network()
    old = {key: value for key, value in SMALL.items() if key not in LATER}
    save_model(tmp_path, model, old)
    again, _ = load_model(tmp_path)
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(image), model(image))


def test_stages_deeper_than_the_depth_are_left_out():
    counts = [parameters(network(encoder="resnet18", encoder_depth=d).encoder) for d in (3, 4, 5)]
    # of a whole ResNet-18, less its classifier
    assert counts[2] == 11_689_512 - 513 * 1000
    assert counts[2] - counts[1] == 8_393_728
    assert counts[1] - counts[0] == 2_099_712


def test_the_stride_is_what_sizes_must_be_multiples_of():
    assert stride(network(encoder_depth=5)) == 32
    assert stride(network(encoder_depth=5, stem_stride=1)) == 16
    assert stride(network(architecture="DeepLabV3Plus", encoder_depth=5)) == 16
    assert stride(network(architecture="PAN", encoder_depth=5)) == 128


def test_a_network_can_be_copied():
    model = network(hypercolumn=True, encoder_attention="scse")
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        again, before = copy.deepcopy(model), model(image)
        for weight in model.parameters():
            weight.zero_()
        assert torch.equal(again(image), before)
        assert not torch.equal(model(image), before)


@pytest.mark.parametrize("channels", [3, 4])
def test_encoder_weights_come_from_a_file_of_a_trained_network(tmp_path, monkeypatch, channels):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "encoder_weights"
    folder.mkdir(parents=True)
    theirs = network(seed=1, encoder_attention="scse")
    save_file(theirs.state_dict(), folder / "mine.safetensors")
    change = {"encoder_attention": "scse", "stem_stride": 1, "in_channels": channels}
    model = network(encoder_weights="mine.safetensors", **change)
    if channels == 3:
        for key, value in theirs.encoder.state_dict().items():
            assert torch.equal(model.encoder.state_dict()[key], value)
    expected = network(**change)
    assert not torch.equal(
        model.encoder.model.conv1[0].weight, expected.encoder.model.conv1[0].weight
    )
    load_encoder_weights(expected.encoder, "mine.safetensors", channels)
    image = torch.rand(1, channels, 32, 32)
    for mine, other in zip(model.encoder(image), expected.encoder(image), strict=True):
        assert torch.equal(mine, other)
    with pytest.raises(
        InputError, match="has weights of attention; set model.encoder_attention to scse"
    ):
        network(encoder_weights="mine.safetensors", in_channels=channels)


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"architecture": "DeepLabV3Plus", "encoder_depth": 5, "stem_stride": 1},
        {"embedding_size": 3, "heads": ["mask", "embedding"]},
        *map(
            slow,
            [
                {"architecture": "Linknet", "encoder_depth": 5},
                {"encoder": "resnet18", "encoder_depth": 3},
                {"encoder": "mobilenet_v2"},
                {"encoder_attention": "scse"},
                {"stem_stride": 1},
                {"decoder_width": 8},
                {"decoder_attention": "scse"},
                {"decoder_upsampling": "transposed"},
                {"decoder_norm": "none"},
                {"stem_pooling": False},
                {"hypercolumn": True},
                {"in_channels": 5},
                {"heads": ALL_HEADS},
            ],
        ),
        {
            "encoder_attention": "scse",
            "stem_stride": 1,
            "decoder_width": 32,
            "decoder_attention": "scse",
            "decoder_upsampling": "transposed",
            "hypercolumn": True,
            "in_channels": 4,
            "heads": ALL_HEADS,
        },
    ],
)
def test_a_saved_network_answers_as_before_to_the_bit(tmp_path, change):
    model = network(**change)
    image = torch.rand(2, model.encoder._in_channels, 32, 64)
    model.train()(image)  # moves the statistics of batch normalisation
    before = model.eval()(image)
    save_model(tmp_path, model, SMALL | change | {"mean": [0.5] * 3})
    again, description = load_model(tmp_path)
    after = again(image)
    heads = (SMALL | change)["heads"], (SMALL | change)["embedding_size"]
    before, after = head_outputs(before, *heads), head_outputs(after, *heads)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[head], before[head]) for head in before)
    assert description["mean"] == [0.5] * 3
    assert not again.training
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_the_description_holds_every_argument_but_the_weights_a_network_began_with(tmp_path):
    save_model(tmp_path, network(), SMALL | {"resize": 1.0})
    description = json.loads((tmp_path / "model.json").read_text())
    assert set(REBUILT_FROM) == set(SMALL)
    assert description == SMALL | {"resize": 1.0}
    for key in set(REBUILT_FROM) - set(LATER):
        (tmp_path / "model.json").write_text(json.dumps(without(SMALL, key)))
        with pytest.raises(InputError, match=f"model.json: has no {key}; train again"):
            load_model(tmp_path)


@pytest.mark.parametrize("architecture", ["Unet", "FPN"])
@pytest.mark.parametrize(("depth", "channels"), [(3, 1), (4, 3), (5, 5)])
def test_a_network_begins_with_packaged_weights(architecture, depth, channels):
    name = "tu-tf_efficientnet_lite0"
    change = {"architecture": architecture, "encoder": name, "encoder_depth": depth}
    model = network(encoder_weights="packaged", in_channels=channels, **change)
    expected = packaged_state(name)
    for key in ("bn1.running_var", "blocks.2.0.conv_dw.weight"):
        assert torch.equal(model.encoder.state_dict()[f"model.{key}"], expected[key])
    side = 2 * stride(model)
    assert model(torch.zeros(1, channels, side, side)).shape == (1, 1, side, side)


def without(description, key):
    return {name: value for name, value in description.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "Vnet"}, "model.architecture 'Vnet'.*Available options.*unet"),
        ({"encoder": "resnet19"}, "model.encoder 'resnet19'.*supported encoders.*resnet18"),
        ({"encoder": "tu-nothing"}, "model.encoder 'tu-nothing'.*Unknown model"),
        (
            {"encoder": "resnet18", "encoder_weights": "mine"},
            "model.encoder_weights 'mine'.*Available options.*imagenet",
        ),
        ({"encoder_weights": "packaged"}, "packaged: no package has weights.*tu-tf_efficientnet_l"),
        ({"encoder_weights": "../a.safetensors"}, "encoder_weights ../a.safetensors: must be the"),
        ({"architecture": "PAN", "encoder": "densenet121"}, "DenseNet encoders do not support"),
        (
            {"architecture": "DeepLabV3Plus", "encoder": "tu-swin_tiny_patch4_window7_224"},
            "unexpected keyword argument 'output_stride'",
        ),
        (
            {"encoder": "mobilenet_v2", "encoder_attention": "scse"},
            "scse.*'mobilenet_v2'",
        ),
        ({"encoder": "mobilenet_v2", "stem_stride": 1}, "model.stem_stride 1.*'mobilenet_v2'"),
        ({"architecture": "Linknet", "stem_stride": 1}, "stem_stride 1: Linknet.*size of the"),
        ({"architecture": "UnetPlusPlus", "stem_stride": 1}, "stem_stride 1: UnetPlusPlus"),
        ({"architecture": "MAnet", "stem_stride": 1}, "stem_stride 1: MAnet"),
        (
            {"architecture": "FPN", "stem_stride": 1, "encoder_depth": 3},
            "stem_stride 1: FPN of model.encoder_depth 3 would not answer at the size of the input",
        ),
        ({"architecture": "FPN", "decoder_attention": "scse"}, "decoder_attention scse.*FPN has"),
        ({"architecture": "MAnet", "decoder_attention": "scse"}, "decoder_attention.*MAnet has"),
        ({"decoder_width": 8, "decoder_attention": "scse"}, "model.decoder_width 8: too narrow"),
        ({"architecture": "UnetPlusPlus", "hypercolumn": True}, "hypercolumn.*UnetPlusPlus has"),
        (
            {"architecture": "UnetPlusPlus", "decoder_upsampling": "transposed"},
            "decoder_upsampling transposed: the decoder UnetPlusPlus has none, take Unet",
        ),
        (
            {"architecture": "FPN", "decoder_upsampling": "bilinear"},
            "decoder_upsampling bilinear: the decoder FPN enlarges in its own way, take Unet",
        ),
        ({"architecture": "FPN", "decoder_norm": "none"}, "decoder_norm none: the decoder FPN"),
        ({"architecture": "FPN", "stem_pooling": False}, "stem_pooling false: FPN would not ans"),
        ({"encoder": "mobilenet_v2", "stem_pooling": False}, "stem_pooling false.*'mobilenet_v2'"),
        ({"encoder": "vgg11", "stem_pooling": False}, "stem_pooling false.*'vgg11'"),
    ],
)
def test_unknown_names_and_impossible_combinations_are_one_sentence(change, message):
    with pytest.raises(InputError, match=message) as error:
        network(**change)
    assert "\n" not in str(error.value)


def test_a_missing_model_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="model.json: no such file; run the train stage"):
        load_model(tmp_path)


def test_a_description_that_no_network_can_have_is_refused(tmp_path):
    save_model(tmp_path, network(), SMALL)
    (tmp_path / "model.json").write_text(json.dumps(SMALL | {"encoder_depth": 9}))
    with pytest.raises(InputError, match="model.json: encoder_depth: .* equal to 5; train again"):
        load_model(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    save_model(tmp_path, network(), SMALL)
    (tmp_path / "model.json").write_text(json.dumps(SMALL | {"encoder": "resnet34"}))
    with pytest.raises(InputError, match=r"weights do not fit model.json \(Missing key.*train"):
        load_model(tmp_path)
