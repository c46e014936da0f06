import pytest

from deploy import export_onnx
from src.base.errors import InputError
from tests import tiny_bundle


@pytest.fixture
def model(tmp_path):
    return tiny_bundle.write(tmp_path / "m.maskline.zip")


def test_the_command_writes_a_file_for_each_network(model, tmp_path, capsys):
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is in requirements-onnx.txt, not installed")
    export_onnx.main([str(model), "--out", str(tmp_path / "out")])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000_main.onnx", "model.json"]
    assert "1 network, " in capsys.readouterr().out
    with pytest.raises(InputError, match=r"out: exists; give another folder"):
        export_onnx.main([str(model), "--out", str(tmp_path / "out")])


def test_nothing_is_left_of_a_network_that_cannot_be_exported(tmp_path):
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is in requirements-onnx.txt, not installed")
    network = tiny_bundle.TOLD["networks"][0]
    description = network["description"] | {"architecture": "PSPNet"}
    model = tiny_bundle.write_rebuilt(tmp_path / "m.maskline.zip", description)
    with pytest.raises(InputError, match="PSPNet with tu-test_resnet, cannot be an ONNX file"):
        export_onnx.main([str(model), "--out", str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["m.maskline.zip"]
