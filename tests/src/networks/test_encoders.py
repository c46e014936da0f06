import copy

import pytest
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import get_encoder

from src.base.errors import InputError
from src.networks.encoders import (
    add_attention,
    keep_stem_size,
    leave_out_stages,
    load_encoder_weights,
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of weights under the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "encoder_weights"
    path.mkdir(parents=True)
    return path


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
@pytest.mark.parametrize("name", ["mobilenet_v2", TINY])
@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_weights_come_back_from_a_file(folder, name, prefix):
    theirs = encoder_of(name, seed=1)
    state = {prefix + key: value for key, value in theirs.state_dict().items()}
    save_file(state, folder / "mine.safetensors")
    encoder = encoder_of(name)
    assert not torch.equal(encoder(IMAGE)[-1], theirs(IMAGE)[-1])
    load_encoder_weights(encoder, "mine.safetensors", 3)
    assert torch.equal(encoder(IMAGE)[-1], theirs(IMAGE)[-1])


def test_what_the_encoder_does_not_have_is_left_out(folder):
    theirs = encoder_of("resnet18", 5, seed=1).state_dict()
    save_file(theirs | {"fc.weight": torch.ones(10, 512)}, folder / "torchvision.safetensors")
    network = {f"encoder.{key}": value for key, value in theirs.items()}
    network["decoder.conv1.weight"] = torch.ones(1)
    save_file(network, folder / "network.safetensors")
    for file in ("torchvision.safetensors", "network.safetensors"):
        encoder = encoder_of("resnet18", 4)
        leave_out_stages(encoder, 4)
        load_encoder_weights(encoder, file, 3)
        for key, value in encoder.state_dict().items():
            assert torch.equal(value, theirs[key])


@pytest.mark.parametrize("name", ["mobilenet_v2", TINY])
@pytest.mark.parametrize(
    ("channels", "sources", "factor"),
    [(2, [0, 1], 3 / 2), (4, [0, 1, 2, 0], 3 / 4), (7, [0, 1, 2, 0, 1, 2, 0], 3 / 7)],
)
def test_a_first_convolution_of_colours_is_spread_over_more(
    folder, name, channels, sources, factor
):
    theirs = encoder_of(name, seed=1).state_dict()
    save_file(theirs, folder / "rgb.safetensors")
    encoder = encoder_of(name, in_channels=channels)
    load_encoder_weights(encoder, "rgb.safetensors", channels)
    first = {"mobilenet_v2": "features.0.0.weight", TINY: "model.conv1.0.weight"}[name]
    mine = encoder.state_dict()
    torch.testing.assert_close(mine[first], theirs[first][:, sources] * factor)
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs if key != first)


def test_a_first_convolution_of_colours_is_summed_for_grey(folder):
    theirs = encoder_of(seed=1).state_dict()
    save_file(theirs, folder / "rgb.safetensors")
    encoder = encoder_of(in_channels=1)
    load_encoder_weights(encoder, "rgb.safetensors", 1)
    first = theirs["model.conv1.0.weight"]
    torch.testing.assert_close(encoder.model.conv1[0].weight, first.sum(1, keepdim=True))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_first_convolution_is_adapted_as_the_library_does(folder, channels):
    theirs = encoder_of("mobilenet_v2", seed=1)
    save_file(theirs.state_dict(), folder / "rgb.safetensors")
    encoder = encoder_of("mobilenet_v2", in_channels=channels)
    load_encoder_weights(encoder, "rgb.safetensors", channels)
    theirs.set_in_channels(channels, pretrained=True)
    assert torch.equal(encoder.features[0][0].weight, theirs.features[0][0].weight)


@torch.no_grad()
def test_weights_of_four_channels_come_back_as_they_are(folder):
    theirs = encoder_of(in_channels=4, seed=1)
    save_file(theirs.state_dict(), folder / "four.safetensors")
    encoder, image = encoder_of(in_channels=4), torch.rand(1, 4, 64, 64)
    load_encoder_weights(encoder, "four.safetensors", 4)
    assert torch.equal(encoder(image)[-1], theirs(image)[-1])


def test_attention_is_loaded_where_the_file_has_it_and_new_where_not(folder):
    theirs, encoder = encoder_of(seed=1), encoder_of()
    save_file(theirs.state_dict(), folder / "plain.safetensors")
    add_attention(theirs, TINY)
    save_file(theirs.state_dict(), folder / "scse.safetensors")
    add_attention(encoder, TINY)
    (first, *_), (other, *_) = stages_of(encoder), stages_of(theirs)
    new = first.scse.cSE[1].weight.clone()
    load_encoder_weights(encoder, "plain.safetensors", 3)
    assert torch.equal(first.scse.cSE[1].weight, new)
    assert torch.equal(first[0].conv1.weight, other[0].conv1.weight)
    load_encoder_weights(encoder, "scse.safetensors", 3)
    assert torch.equal(first.scse.cSE[1].weight, other.scse.cSE[1].weight)


def without(state, *keys):
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: without(state, "model.layer2.0.conv1.weight"),
            "Missing.*layer2.0.conv1.weight",
        ),
        (
            lambda state: state | {"model.layer1.9.weight": torch.ones(1)},
            "Unexpected.*layer1.9.weight",
        ),
        (
            lambda state: state | {"model.conv1.0.weight": torch.ones(64, 4, 3, 3)},
            "size mismatch.*conv1.0",
        ),
        (lambda state: state | {"model.layer1.scse.x": torch.ones(1)}, "Unexpected.*layer1.scse.x"),
        (lambda state: {"a": torch.ones(1)}, "Missing.*conv1.0.weight"),
        (lambda state: {}, "Missing.*conv1.0.weight"),
    ],
)
def test_weights_of_another_encoder_are_refused(folder, change, words):
    save_file(change(encoder_of().state_dict()), folder / "other.safetensors")
    with pytest.raises(
        InputError, match=f"other.safetensors: weights of another.*{words}"
    ) as error:
        load_encoder_weights(encoder_of(), "other.safetensors", 3)
    assert "\n" not in str(error.value)


def test_a_file_that_is_none_is_refused(folder):
    with pytest.raises(InputError, match="data/encoder_weights/a.safetensors: no such file"):
        load_encoder_weights(encoder_of(), "a.safetensors", 3)
    (folder / "a.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="a.safetensors: not a safetensors file"):
        load_encoder_weights(encoder_of(), "a.safetensors", 3)


@pytest.mark.parametrize("name", ["../a.safetensors", "b/a.safetensors", "{}/a.safetensors"])
def test_a_path_is_refused_even_if_there_is_a_file(folder, tmp_path, name):
    (folder / "b").mkdir()
    name = name.format(tmp_path)
    save_file(encoder_of().state_dict(), folder / name)
    with pytest.raises(InputError, match="must be the name of a file in.*without folders"):
        load_encoder_weights(encoder_of(), name, 3)
