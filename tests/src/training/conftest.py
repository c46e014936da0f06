"""Six small images with labels, and pseudo labels of two of them."""

import numpy as np
import pytest

from src.formats.archive import ImageArchive, write_archive
from src.formats.distances import weight_planes
from src.formats.labels import IGNORE
from src.training.labelled_images import PseudoLabels


@pytest.fixture
def archives(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"train/{i}" for i in range(6)]
    content = {"images": [], "instances": [], "weights": []}
    for _ in names:
        instances = np.kron(rng.integers(0, 4, (8, 6)), np.ones((5, 5), int)).astype(np.uint16)
        instances[:2] = IGNORE
        content["images"].append(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
        content["instances"].append(instances)
        content["weights"].append(weight_planes(instances, 20))
    for kind, arrays in content.items():
        write_archive(tmp_path / kind, zip(names, arrays, strict=True))
    return names, content, [ImageArchive(tmp_path / kind) for kind in content]


@pytest.fixture
def pseudo(archives, tmp_path):
    """Pseudo labels of images 1 and 4: other maps than their own, and a probability."""
    rng, content = np.random.default_rng(1), {"instances": {}, "weights": {}, "soft": {}}
    for name in (archives[0][1], archives[0][4]):
        soft = rng.integers(0, 256, (40, 30), dtype=np.uint8)
        instances = (soft >= 128).astype(np.uint16) * 9
        instances[abs(soft - 127.5) < 20] = IGNORE
        content["instances"][name] = instances
        content["weights"][name] = weight_planes(instances, 20)
        content["soft"][name] = soft
    for kind, arrays in content.items():
        write_archive(tmp_path / "pseudo" / kind, arrays.items())
    return content, PseudoLabels(*(ImageArchive(tmp_path / "pseudo" / kind) for kind in content))
