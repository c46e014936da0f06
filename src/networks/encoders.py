"""Changes to encoders of segmentation-models-pytorch: depth, attention, the stem."""

from typing import Any, cast

from segmentation_models_pytorch.base.modules import SCSEModule
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import nn

from src.base.errors import InputError


def leave_out_stages(encoder: nn.Module, depth: int) -> None:
    """Delete the stages of an encoder that lie deeper than `depth` and whose maps nobody sees.

    The library keeps those of ResNets, timm those of EfficientNets and MobileNets, which even run
    (github.com/huggingface/pytorch-image-models/issues/1849). They would be saved and averaged,
    and count as blocks to thaw. Other encoders of timm have none. In place; the answer of the
    encoder is the same.
    """
    for number in range(depth, 5):  # stage n gives the map that is halved n + 1 times
        if hasattr(encoder, f"layer{number}"):
            delattr(encoder, f"layer{number}")
    body: Any = getattr(encoder, "model", encoder)  # a timm encoder wraps its network
    if isinstance(body, EfficientNetFeatures | MobileNetV3Features):
        del body.blocks[max(body._stage_out_idx) :]  # stage 0 is the stem


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


def leave_out_stem_pooling(encoder: nn.Module, name: str) -> None:
    """Replace the max pooling after the first convolution by nothing: deeper maps become larger.

    `encoder.output_stride` is halved. In place.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place.
    name : str
        Of the encoder, for the message.

    Raises
    ------
    InputError
        If the encoder does not begin as a ResNet does, with one max pooling.
    """
    pools = [key for key, one in encoder.named_modules() if isinstance(one, nn.MaxPool2d)]
    if _stages(encoder) is None or len(pools) != 1:
        raise _no_resnet("stem_pooling false", name, "true")
    encoder.set_submodule(pools[0], nn.Identity())
    of_library = cast("Any", encoder)
    of_library._output_stride = of_library.output_stride // 2  # there is no other way to tell it


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
