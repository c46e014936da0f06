"""Changes to encoders of segmentation-models-pytorch: weights from a file, attention, the stem."""

from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.base.modules import SCSEModule
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from torch import nn

from src.base.errors import InputError

ENCODER_WEIGHTS = Path("data/encoder_weights")


def leave_out_stages(encoder: nn.Module, depth: int) -> None:
    """Delete the stages of a ResNet-like encoder that lie deeper than `depth` and never run.

    The library keeps them; they would be saved and averaged, and count as blocks to thaw. timm's
    encoders have none. In place; the answer of the encoder is the same.
    """
    for number in range(depth, 5):  # stage n gives the map that is halved n + 1 times
        if hasattr(encoder, f"layer{number}"):
            delattr(encoder, f"layer{number}")


def add_attention(encoder: nn.Module, name: str) -> None:
    """Put an scSE module at the end of every stage, so that the next stage sees what it gives.

    Concurrent spatial and channel squeeze and excitation (Roy et al. 2018): x cSE(x) + x sSE(x).
    In a stage it is named `scse`; the names of all other weights stay as they are.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place.
    name : str
        Of the encoder, for the message.

    Raises
    ------
    InputError
        If the encoder is not made of stages as a ResNet is.
    """
    stages = _stages(encoder)
    if stages is None:
        raise _no_resnet("encoder_attention scse", name, "none")
    for stage, channels in zip(stages, _widths(encoder)[2:], strict=True):
        stage.add_module("scse", SCSEModule(channels))


def keep_stem_size(encoder: nn.Module, name: str) -> None:
    """Set the stride of the first convolution to 1: all maps become twice as large.

    The max pooling after it stays, and `encoder.output_stride` is halved. In place.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place.
    name : str
        Of the encoder, for the message.

    Raises
    ------
    InputError
        If the encoder does not begin as a ResNet does, with a convolution of stride 2.
    """
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    if _stages(encoder) is None or first.stride != (2, 2):
        raise _no_resnet("stem_stride 1", name, "2")
    first.stride = (1, 1)
    of_library = cast("Any", encoder)
    of_library._output_stride = of_library.output_stride // 2  # there is no other way to tell it


def load_encoder_weights(encoder: nn.Module, name: str, in_channels: int) -> None:
    """Load the weights of an encoder from a file in data/encoder_weights.

    The file holds the state of an encoder, or of a whole network of which the keys that begin with
    "encoder." are taken. Parts that this encoder does not have, such as a classifier or stages
    beyond its depth, are left out. A first convolution of 3 channels is adapted to `in_channels`
    as the library does it: for 1 channel the sum of the three, else R, G, B, R, ... times
    3 / in_channels. scSE modules that the file has none of stay as they are.

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
        If the name is more than a name, there is no such file, or it fits another encoder.
    """
    if Path(name).name != name:
        raise InputError(
            f"params.yaml: model.encoder_weights {name}: must be the name of a file in "
            f"{ENCODER_WEIGHTS}, without folders"
        )
    path = ENCODER_WEIGHTS / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; put it there or correct model.encoder_weights")
    own = encoder.state_dict()
    parts = {part for part, _ in encoder.named_children()}
    state = {key: value for key, value in _read(path).items() if key.split(".")[0] in parts}
    for key, value in state.items():
        old, new = value.shape, own[key].shape if key in own else None
        if new is not None and len(new) == 4 and (old[1], new[1]) == (3, in_channels):
            state[key] = _adapted(value, in_channels)
    if not any(".scse." in key for key in state):
        state |= {key: value for key, value in own.items() if ".scse." in key}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:200]  # the first line names the class
        raise InputError(
            f"{path}: weights of another encoder than model.encoder and model.encoder_depth say "
            f"({reason}); take the file made for this one"
        ) from None


def _read(path: Path) -> dict[str, torch.Tensor]:
    """State of an encoder, its keys without the prefix they have in a network."""
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error}); write it again") from None
    inner = {key.removeprefix("encoder."): state[key] for key in state if key[:8] == "encoder."}
    return inner or state


def _adapted(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """Weight (O, 3, h, w) of a convolution made to take `in_channels`, by the library's rule."""
    if in_channels == 3:
        return weight
    widths, _, height, width = weight.shape
    holder = nn.Conv2d(3, widths, (height, width), bias=False)
    holder.weight = nn.Parameter(weight)
    patch_first_conv(holder, in_channels)
    return holder.weight.detach()


def _no_resnet(setting: str, name: str, off: str) -> InputError:
    return InputError(
        f"params.yaml: model.{setting}: the encoder '{name}' is not made as a ResNet is, take "
        f"another encoder or set it to {off}"
    )


def _stages(encoder: nn.Module) -> list[nn.Sequential] | None:
    """Return the stages that run, from the largest maps to the deepest; None where not a ResNet."""
    body = getattr(encoder, "model", encoder)  # a timm encoder wraps its network
    numbers = range(1, len(_widths(encoder)) - 1)
    parts = [getattr(body, f"layer{number}", None) for number in numbers]
    stages = [part for part in parts if isinstance(part, nn.Sequential)]
    return stages if len(stages) == len(parts) else None


def _widths(encoder: nn.Module) -> list[int]:
    """Return the channels of the input and of the maps, from the largest to the deepest."""
    return cast("list[int]", encoder.out_channels)
