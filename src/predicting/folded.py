"""The same network with less to compute, for prediction on a processor.

Nothing is learnt from it and nothing stored of it: it is made anew from the network as it was
trained, and answers as that does but for rounding.
"""

from copy import deepcopy
from typing import Any

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from src.networks.model import stride

CONVOLUTIONS = (nn.Conv2d, Conv2dSame)  # others do more with their weights than convolve
NORMS = (nn.BatchNorm2d, BatchNormAct2d)
SEEN = (2, 3)  # sides, in strides, of what the network is followed with
NEAR = 1e-4  # of an answer, or of the largest one where that is above 1
# Of a map enlarged twice by nearest neighbour, three taps a side look at two pixels of the small
# one. As a transposed convolution by steps of 2: which taps (columns) its four (rows) are sums of.
TAPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def folded(network: nn.Module, in_channels: int) -> nn.Module:
    """Return a network that answers as another does, in evaluation mode, and computes less.

    Batch norms become part of the convolutions before them. In blocks of a U-Net that enlarge maps
    twice by nearest neighbour, the convolution after it works on the small maps, with 4 in place of
    9 multiplications for each pixel and channel: every output sees at most 2 x 2 of their pixels,
    so that weights which meet the same pixel are added up before (the algebra of sub-pixel
    convolutions, Shi et al. 2016). Convolutions that pad as TensorFlow does need no padded copy.
    What is not made so stays: group and instance norms, batch norms elsewhere, blocks with
    attention, other decoders.

    How the modules follow each other is seen on one small image of noise, on which the two are
    compared as well; if they differed, as where a module is used in a way that is not seen, all
    would stay as it is.

    Parameters
    ----------
    network : nn.Module
        From `src.networks.model.build_model`, in evaluation mode, on the processor, float32. Not
        changed.
    in_channels : int
        Of its input.

    Returns
    -------
    network : nn.Module
        With weights of its own; for `torch.inference_mode` or `torch.no_grad`. In float32 its
        answers differ by at most 1e-4 of the largest one (1e-4 where that is less than 1).
    """
    lighter = deepcopy(network)
    step = stride(network)
    noise = torch.Generator().manual_seed(0)
    size = (1, in_channels, *(side * step for side in SEEN))
    image = torch.randn(size, generator=noise).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted, pairs, doubling = _followed(lighter, image)
        for conv, norm in pairs:
            _fold(conv, norm)
        names = {module: name for name, module in lighter.named_modules()}
        for _, norm in pairs:
            lighter.set_submodule(names[norm], getattr(norm, "act", nn.Identity()))
        for module, name in names.items():
            if isinstance(module, nn.Conv2d) and _pads_unevenly(module):
                lighter.set_submodule(name, _evenly_padded(module))
        for block, channels in doubling.items():
            lighter.set_submodule(names[block], DoublingBlock(block, channels))
        if not _near(lighter(image), wanted):
            lighter = deepcopy(network)
    return lighter


class DoublingBlock(nn.Module):
    """A block of a U-Net decoder whose first convolution works on the maps before they are doubled.

    Called as the block of the library.
    """

    def __init__(self, block: UnetDecoderBlock, channels: int):
        super().__init__()
        conv, *rest = block.conv1
        assert isinstance(conv, nn.Conv2d)
        kept = {"device": conv.weight.device, "dtype": conv.weight.dtype}
        width, taps = conv.out_channels, torch.tensor(TAPS, **kept)
        self.small = nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=conv.bias is not None)
        summed = torch.einsum("ys,xt,oist->ioyx", taps, taps, conv.weight[:, :channels])
        self.small.weight = _weight(summed)
        if conv.bias is not None:
            self.small.bias = _weight(conv.bias)
        self.beside = None
        if conv.in_channels > channels:
            self.beside = nn.Conv2d(conv.in_channels - channels, width, 3, padding=1, bias=False)
            self.beside.weight = _weight(conv.weight[:, channels:])
        self.rest = nn.Sequential(*rest, block.conv2, block.attention2)

    def forward(
        self,
        feature_map: torch.Tensor,
        target_height: int,
        target_width: int,
        skip_connection: torch.Tensor | None = None,
    ) -> torch.Tensor:
        answer = self.small(feature_map)
        if self.beside is not None:
            answer += self.beside(skip_connection)
        return self.rest(answer)


def _followed(
    network: nn.Module, image: torch.Tensor
) -> tuple[Any, list[tuple[nn.Conv2d, nn.Module]], dict[UnetDecoderBlock, int]]:
    """Return the answer, which batch norm takes what a convolution gives, and blocks that double.

    Of these also the channels of what is doubled.
    """
    given: list[
        tuple[nn.Conv2d, torch.Tensor]
    ] = []  # kept, so that no other tensor is taken for it
    taken: list[tuple[nn.Conv2d, nn.Module]] = []
    doubling: dict[UnetDecoderBlock, int] = {}

    def after(module: nn.Module, _: object, answer: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        given.append((module, answer))

    def before(module: nn.Module, arguments: tuple) -> None:
        if isinstance(module, UnetDecoderBlock):
            maps, *size = arguments
            if size == [2 * side for side in maps.shape[2:]] and _is_plain(module):
                doubling[module] = maps.shape[1]
        else:
            taken.extend((conv, module) for conv, maps in given if maps is arguments[0])

    hooks = []
    for module in network.modules():
        if type(module) in CONVOLUTIONS:
            hooks.append(module.register_forward_hook(after))
        elif type(module) in (*NORMS, UnetDecoderBlock):
            hooks.append(module.register_forward_pre_hook(before))
    answer = network(image)
    for hook in hooks:
        hook.remove()
    calls = [conv for conv, _ in given]
    pairs = [
        (conv, norm)
        for conv, norm in taken
        if calls.count(conv) == 1 and [other for _, other in taken].count(norm) == 1
    ]
    return answer, pairs, doubling


def _is_plain(block: UnetDecoderBlock) -> bool:
    """Tell whether nothing but the first convolution looks at the enlarged maps."""
    conv = block.conv1[0]
    return (
        type(conv) is nn.Conv2d
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and block.interpolation_mode == "nearest"
        and isinstance(block.attention1.attention, nn.Identity)
    )


def _fold(conv: nn.Conv2d, norm: Any) -> None:
    """Make a batch norm part of the convolution before it, whose class and forward stay."""
    weight, bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    conv.weight, conv.bias = _weight(weight), _weight(bias)


def _pads_unevenly(conv: nn.Conv2d) -> bool:
    odd = all(side % 2 for side in conv.kernel_size)
    return type(conv) is Conv2dSame and (conv.stride, conv.dilation) == ((2, 2), (1, 1)) and odd


def _evenly_padded(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution that pads as TensorFlow does, by steps of 2, as one that need not copy.

    Of maps of even sides that pads one pixel more below and right than above and left; with a
    first row and column of weights that are 0 it is the same on all sides.
    """
    kernel = conv.kernel_size
    even = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (kernel[0] + 1, kernel[1] + 1),
        2,
        (kernel[0] // 2, kernel[1] // 2),
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    even.weight = _weight(pad(conv.weight, (1, 0, 1, 0)))
    if conv.bias is not None:
        even.bias = _weight(conv.bias)
    return even


def _weight(values: torch.Tensor) -> nn.Parameter:
    if values.ndim == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(values.detach().clone(), requires_grad=False)


def _near(found: Any, wanted: Any) -> bool:
    pairs = zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
    return all(bool((a - b).abs().max() <= NEAR * max(1.0, float(b.abs().max()))) for a, b in pairs)
