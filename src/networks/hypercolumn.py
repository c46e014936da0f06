"""Hypercolumns: the heads of a U-Net see the maps of all its decoder blocks, not only the last.

Hariharan et al. 2015, "Hypercolumns for object segmentation and fine-grained localization".
"""

from typing import cast

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn
from torch.nn.functional import interpolate


class HypercolumnDecoder(nn.Module):
    """The blocks of a U-Net decoder, with the names they have there, and all of their maps.

    Maps features, from the input (B, C0, H, W) to the deepest, to (B, C, H, W): the maps of the
    blocks from the deepest to the last, enlarged bilinearly to the size of the input, where C is
    the sum of their widths.
    """

    def __init__(self, decoder: UnetDecoder):
        super().__init__()
        self.center = decoder.center
        self.blocks = decoder.blocks

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        targets = features[-2::-1]  # what each block enlarges to
        skips = [*features[-2:0:-1], None]  # the last block has none
        x, maps = self.center(features[-1]), []
        for block, target, skip in zip(self.blocks, targets, skips, strict=True):
            x = block(x, *target.shape[2:], skip_connection=skip)
            maps.append(x)
        size = features[0].shape[2:]
        return torch.cat([interpolate(part, size, mode="bilinear") for part in maps], dim=1)


def add_hypercolumn(model: nn.Module, widths: list[int], channels: int) -> None:
    """Give a U-Net a hypercolumn and a new head that reads it.

    Parameters
    ----------
    model : nn.Module
        A `Unet` of segmentation-models-pytorch; changed in place.
    widths : list of int
        Channels of its decoder blocks, the deepest first.
    channels : int
        Output channels of the head.
    """
    model.decoder = HypercolumnDecoder(cast("UnetDecoder", model.decoder))
    model.segmentation_head = SegmentationHead(sum(widths), channels, kernel_size=3)
    initialize_head(model.segmentation_head)
