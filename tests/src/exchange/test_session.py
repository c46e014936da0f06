import numpy as np
import pytest

from src.applying.maps import merged_maps, network_maps, predictors
from src.bundles.reading import read_bundle
from src.exchange.export import export_networks
from src.exchange.session import onnx_predictors
from tests import squares_bundle


@pytest.mark.parametrize("scales", [[1.0], [0.5, 1.0]])
def test_maps_are_those_of_torch_but_for_a_step(tmp_path, scales):
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is in requirements-onnx.txt, not installed")
    predict = squares_bundle.TOLD["predict"] | {"views": "d4", "scales": scales, "max_size": 64}
    path = squares_bundle.write(tmp_path / "m.maskline.zip", predict=predict)
    bundle = read_bundle(path)
    files = export_networks(bundle, tmp_path)
    image = squares_bundle.scene(90, 131, squares_bundle.grid(90, 131))
    found, wanted = (
        merged_maps(bundle, network_maps(bundle, predict, image))
        for predict in (onnx_predictors(bundle, files), predictors(bundle))
    )
    assert found.keys() == wanted.keys()
    off = np.abs(found["mask"].astype(int) - wanted["mask"])
    assert off.max() <= 1
    assert (off > 0).mean() < 0.01
    assert np.ptp(wanted["mask"]) > 200
