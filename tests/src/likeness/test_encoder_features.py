import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import get_encoder

from src.base.errors import InputError
from src.likeness.encoder_features import SIDE, encoder_features
from src.networks.encoder_weights import IMAGENET, packaged_state

TINY = "tu-test_resnet"
IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    for seed, size in enumerate([(SIDE, SIDE), (1, 1), (30, 70)] + [(8, 8)] * 15)
]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """State of an encoder, in the file tiny.safetensors of the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/encoder_weights").mkdir(parents=True)
    torch.manual_seed(0)
    state = get_encoder(TINY, weights=None).state_dict()
    save_file(state, tmp_path / "data/encoder_weights/tiny.safetensors")
    return state


@torch.no_grad()
def test_features_are_the_means_of_the_last_maps_of_the_encoder_in_the_file(weights):
    features = encoder_features(IMAGES, encoder=TINY, weights="tiny.safetensors")
    network = get_encoder(TINY, weights=None).eval()
    network.load_state_dict(weights)
    assert features.shape == (len(IMAGES), network.out_channels[-1])
    for image, found in zip(IMAGES[:3], features, strict=False):
        square = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        planes = (square / 255 - IMAGENET[0]) / IMAGENET[1]
        planes = torch.from_numpy(planes.transpose(2, 0, 1)).float()[None]
        expected = network(planes)[-1].mean(dim=(2, 3))[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert features.std(axis=0).max() > 0.01


@torch.no_grad()
def test_packaged_weights_see_images_as_they_learnt_to():
    name = "tf_efficientnet_lite0"
    features = encoder_features(IMAGES[:2], encoder=f"tu-{name}", weights="packaged")
    network = timm.create_model(name).eval()
    network.load_state_dict(packaged_state(f"tu-{name}"), strict=False)
    square = cv2.resize(IMAGES[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    planes = torch.from_numpy((square / 127.5 - 1).transpose(2, 0, 1)).float()[None]
    maps = network.blocks(network.bn1(network.conv_stem(planes)))
    np.testing.assert_allclose(features[0], maps.mean(dim=(2, 3))[0].numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("encoder", "file", "words"),
    [
        (TINY, "none", r"validate_split\.encoder_weights none: .* tell nothing; name a pretrained"),
        ("resnet0", "imagenet", r"validate_split\.encoder 'resnet0' .* cannot be built"),
        ("resnet18", "moon", r"validate_split\.encoder 'resnet18' .* 'moon' cannot be built"),
        (TINY, "absent.safetensors", r"no such file; .* correct validate_split\.encoder_weights"),
        (TINY, "../tiny.safetensors", r"validate_split\.encoder_weights .* without folders"),
        ("resnet18", "tiny.safetensors", r"no weight 'conv1.weight' .*validate_split\.encoder say"),
        (
            "resnet18",
            "packaged",
            r"validate_split\.encoder_weights packaged: no package has .*",
        ),
    ],
)
def test_weights_that_are_none_are_refused(weights, encoder, file, words):
    with pytest.raises(InputError, match=words) as refusal:
        encoder_features(IMAGES, encoder=encoder, weights=file)
    assert "model." not in str(refusal.value)
