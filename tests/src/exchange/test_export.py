import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from src.base.errors import InputError
from src.bundles.reading import Network, read_bundle
from src.exchange.export import CHANNELS, export_networks, refuse_without_packages
from src.networks.heads import head_outputs
from src.networks.model import rebuild
from src.networks.network_input import input_channels, network_input
from tests import tiny_bundle

NEEDED = "is in requirements-onnx.txt, not installed"
SIZES = ((1, 64, 96), (3, 32, 32), (2, 160, 64))
EVERY_HEAD = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]


@pytest.fixture
def packages():
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} {NEEDED}")


@pytest.fixture
def exported(packages, tmp_path):
    """Function of a described network that returns it and its file, opened by onnxruntime."""
    bundle = read_bundle(tiny_bundle.write(tmp_path / "m.maskline.zip"))

    def export(model=None, **changes):
        import onnxruntime

        told = tiny_bundle.DESCRIPTION | changes
        told["in_channels"] = input_channels(told["image_channels"], told["extra_channels"])
        torch.manual_seed(0)
        network = model or rebuild(told).eval()
        changed = bundle._replace(networks=[Network(network, told, 0.5, "main")])
        [path] = export_networks(changed, tmp_path)
        return network, told, onnxruntime.InferenceSession(path)

    return export


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heads": EVERY_HEAD, "embedding_loss": "discriminative", "mean": [0.1, 0.5, 0.7]},
        {"image_channels": "grey", "extra_channels": ["row_gradient", "coordinates"]},
        {"architecture": "Unet", "hypercolumn": True, "extra_channels": ["coordinates"]},
        {"architecture": "FPN", "encoder_depth": 5},
    ],
)
def test_a_file_answers_as_its_network_to_any_number_of_images_of_any_size(exported, changes):
    network, told, session = exported(**changes)
    assert [one.name for one in session.get_outputs()] == told["heads"]
    keys = ("image_channels", "extra_channels", "mean", "std")
    for count, height, width in SIZES:
        shape = (count, 3 + 4 * bool(told["extra_channels"]), height, width)
        images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        planes = network_input(
            torch.from_numpy(images), torch.zeros(count), **{key: told[key] for key in keys}
        )
        with torch.inference_mode():
            wanted = head_outputs(network(planes), told["heads"], told["embedding_size"])
        found = session.run(None, {"images": images})
        for head, one in zip(told["heads"], found, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, wanted[head], rtol=0, atol=1e-4)


def test_what_the_files_expect_is_told_beside_them(exported, tmp_path):
    exported(heads=["mask", "embedding", "empty"], embedding_loss="triplet", resize=2.0)
    told = json.loads((tmp_path / "model.json").read_text())
    shape = ["batch", "height", "width"]
    assert told == {
        "format": "maskline onnx",
        "version": 1,
        "bundle": "tiny",
        "input": {"name": "images", "dtype": "uint8", "channels": CHANNELS}
        | {"shape": ["batch", "channels", "height", "width"]},
        "merge": "mean",
        "networks": [
            {
                "file": "000_main.onnx",
                "member": "main",
                "weight": 0.5,
                "channels": 3,
                "stride": 8,
                "resize": 2.0,
                "clahe": 0.0,
                "outputs": [
                    {"name": "mask", "shape": shape, "is": "logit"},
                    {"name": "embedding", "shape": ["batch", 4, *shape[1:]], "is": "value"},
                    {"name": "empty", "shape": ["batch"], "is": "logit"},
                ],
            }
        ],
    }


def test_a_decoder_that_the_exporter_does_not_know_is_refused(exported, capfd):
    with pytest.raises(InputError) as refused:
        exported(architecture="PSPNet")
    words = "the network of main, PSPNet with tu-test_resnet, cannot be an ONNX file (torch cannot"
    assert str(refused.value).startswith(words)
    assert str(refused.value).endswith("; use it with torch")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().out == ""  # the exporter prints the whole network


class WidthOfTheFirst(nn.Module):
    """A network whose answer holds a number that the exporter writes down as it sees it."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Identity()
        self.encoder.output_stride = 8

    def forward(self, planes):
        return planes[:, :1] * int(planes.shape[3])


def test_a_file_that_answers_otherwise_at_another_size_is_refused(exported):
    with pytest.raises(InputError, match=r"its file answers otherwise at 16 x 24 px\); use it"):
        exported(WidthOfTheFirst().eval())


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_package_that_is_not_installed(monkeypatch, name):
    for one in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, one, np)  # any that has a place
    monkeypatch.setitem(sys.modules, name, None)
    words = f"need the package {name}, which is not installed; pip install -r requirements-onnx"
    with pytest.raises(InputError, match=words):
        refuse_without_packages()
