"""The weights that an encoder begins with, of a file or a package, and what they learnt from."""

from collections import Counter
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from torch import nn

from src.base.errors import InputError
from src.networks.packaged_weights import PACKAGED, packaged_bytes

ENCODER_WEIGHTS = Path("data/encoder_weights")
COUNTER = "num_batches_tracked"  # of a batch norm, which no answer depends on
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean and std of its RGB in [0, 1]


def load_encoder_weights(encoder: nn.Module, name: str, in_channels: int) -> None:
    """Load the weights of an encoder from a file in data/encoder_weights.

    The file holds the state of an encoder, or of a network that has one: of the prefixes its names
    have ("encoder.", "module.backbone.", none, ...) the one is taken under which most weights of
    this encoder are found, the first of several. Their names are those that
    segmentation-models-pytorch, torchvision and timm give. What this encoder does not have, such as
    a classifier or deeper stages, is left out; counters of batches and scSE modules that the file
    has none of stay as they are. A first convolution of 3 channels is adapted to `in_channels` as
    the library does it: for 1 channel the sum of the three, else R, G, B, R, ... times
    3 / in_channels.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place.
    name : str
        Name of the file, without folders, such as "roofs.safetensors".
    in_channels : int
        Channels of the encoder's input.

    Raises
    ------
    InputError
        If the name is more than a name, there is no such file, a weight of the encoder is missing
        or of another shape, or the file has scSE modules and the encoder none.
    """
    if Path(name).name != name:
        raise InputError(
            f"params.yaml: model.encoder_weights {name}: must be the name of a file in "
            f"{ENCODER_WEIGHTS}, without folders"
        )
    path = ENCODER_WEIGHTS / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; put it there or correct model.encoder_weights")
    try:
        given = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error}); write it again") from None
    _load(encoder, given, in_channels, path)


def load_packaged_weights(encoder: nn.Module, name: str, in_channels: int) -> None:
    """Load the weights of an encoder from the package that has them.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place.
    name : str
        Its name, one of `src.networks.packaged_weights.FILES`.
    in_channels : int
        Channels of the encoder's input; the first convolution is adapted to them as by
        `load_encoder_weights`.

    Raises
    ------
    InputError
        As `packaged_state`.
    """
    _load(encoder, packaged_state(name), in_channels, PACKAGED)


def packaged_state(name: str) -> dict[str, torch.Tensor]:
    """Return the weights of an ImageNet classifier from a package, under timm's names.

    The package has names of its own; order and shapes are timm's. Reading and naming anew takes
    some tenths of a second, so nothing is kept between trainings.

    Parameters
    ----------
    name : str
        Of the encoder, one of `src.networks.packaged_weights.FILES`.

    Returns
    -------
    state : dict of Tensor
        Of the whole classifier but for the counters of batches, on the CPU.

    Raises
    ------
    InputError
        As `src.networks.packaged_weights.packaged_bytes`, or if timm builds another network.
    """
    content = BytesIO(packaged_bytes(name))
    given = _uncounted(torch.load(content, map_location="cpu", weights_only=True))
    with torch.device("meta"):  # for the names and shapes alone
        own = _uncounted(timm.create_model(name.removeprefix("tu-")).state_dict())
    if [weight.shape for weight in given.values()] != [weight.shape for weight in own.values()]:
        raise InputError(
            f"params.yaml: model.encoder_weights {PACKAGED}: timm {timm.__version__} builds the "
            f"encoder '{name}' otherwise than its weights want; install requirements.txt"
        )
    weights = (weight.contiguous() for weight in given.values())  # as safetensors wants them
    return dict(zip(own, weights, strict=True))


def input_statistics(encoder: str, weights: str) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of RGB that an encoder is to be fed with.

    Parameters
    ----------
    encoder : str
        Of segmentation-models-pytorch, or `tu-NAME` for any timm model.
    weights : str
        "none", a file NAME.safetensors, "packaged", or a pretrained set.

    Returns
    -------
    mean, std : list of float
        Of R, G and B in [0, 1]. Of a set or packaged weights what the library says that they were
        trained with; ImageNet's where it says nothing, and for random weights and files.

    Raises
    ------
    OSError
        If the library has to download what it says and cannot.
    """
    if weights == "none" or weights.endswith(".safetensors"):
        return IMAGENET
    try:
        said: Any = smp.encoders.get_preprocessing_params(encoder, pretrained=weights)
    except (KeyError, ValueError):  # an encoder or a set that it tells nothing of
        return IMAGENET
    return said["mean"], said["std"]


def _uncounted(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if not key.endswith(COUNTER)}


def _load(
    encoder: nn.Module, given: dict[str, torch.Tensor], in_channels: int, source: Path | str
) -> None:
    """Load what an encoder has of a state; see `load_encoder_weights`."""
    own = encoder.state_dict()
    names = dict(zip(_bare_names(list(own)), own, strict=True))
    found = _of_encoder(given, {_dotted(name) for name in names})
    attended = any(".scse." in name for name in found)
    if attended and not any(".scse." in name for name in names):
        raise InputError(
            f"{source}: has weights of attention; set model.encoder_attention to scse or take "
            "weights learnt without"
        )
    state, missing, other = {}, [], []
    for name, key in names.items():
        weight, expected = found.get(_dotted(name)), own[key].shape
        if weight is None and (key.endswith(COUNTER) or (".scse." in key and not attended)):
            weight = own[key]
        elif weight is None:
            missing.append(f"has no weight '{name}'")
            continue
        elif len(expected) == 4 and (weight.shape[1:2], expected[1]) == ((3,), in_channels):
            weight = _adapted(weight, in_channels)
        if weight.shape != expected:
            other.append(f"weight '{name}' has shape {tuple(weight.shape)}, not {tuple(expected)}")
        state[key] = weight
    if wrong := missing + other:
        more = f" and {len(wrong) - 1} more do not fit" if len(wrong) > 1 else ""
        raise InputError(
            f"{source}: {wrong[0]} as in the encoder that model.encoder and model.encoder_depth "
            f"say{more}; take the file made for this one"
        )
    encoder.load_state_dict(state)


def _bare_names(keys: list[str]) -> list[str]:
    """Names of weights without "model.", in which the library puts a network of timm."""
    while all(key.startswith("model.") for key in keys):
        keys = [key.removeprefix("model.") for key in keys]
    return keys


def _dotted(name: str) -> str:
    """Name of a weight as it compares: timm flattens stages.0 to stages_0 in some encoders."""
    return name.replace("_", ".")


def _of_encoder(state: dict[str, torch.Tensor], names: set[str]) -> dict[str, torch.Tensor]:
    """Weights under the prefix by which most of the names are found, named without it, dotted."""
    dotted = {_dotted(key): value for key, value in state.items()}
    prefixes = Counter(
        key[: len(key) - len(name)]
        for key in dotted
        for name in accumulate(reversed(key.split(".")), lambda end, part: f"{part}.{end}")
        if name in names
    )
    prefix = max(prefixes, key=lambda p: prefixes[p], default="")
    starting = ((key, value) for key, value in dotted.items() if key.startswith(prefix))
    return {key.removeprefix(prefix): value for key, value in starting}


def _adapted(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """Weight (O, 3, h, w) of a convolution made to take `in_channels`, by the library's rule."""
    if in_channels == 3:
        return weight
    widths, _, height, width = weight.shape
    holder = nn.Conv2d(3, widths, (height, width), bias=False)
    holder.weight = nn.Parameter(weight)
    patch_first_conv(holder, in_channels)
    return holder.weight.detach()
