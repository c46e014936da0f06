"""U-Net decoders that learn how maps are enlarged, by transposed convolutions."""

from typing import Any, cast

import torch
from torch import nn


class TransposedBlock(nn.Module):
    """A block of a U-Net decoder, before which its map is enlarged by a convolution of its own.

    As in TernausNet (Iglovikov and Shvets 2018): 3 x 3 at stride 2, then ReLU, to exactly twice
    the size; the channels stay. The block has the names of its weights below `block`.
    """

    def __init__(self, block: nn.Module, channels: int):
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(channels, channels, 3, 2, padding=1, output_padding=1)
        nn.init.kaiming_uniform_(self.enlarge.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(cast("torch.Tensor", self.enlarge.bias))
        self.block = block

    def forward(
        self,
        feature_map: torch.Tensor,
        target_height: int,
        target_width: int,
        skip_connection: torch.Tensor | None = None,
    ) -> torch.Tensor:
        twice = self.enlarge(feature_map).relu()
        return self.block(twice, target_height, target_width, skip_connection=skip_connection)


def enlarge_by_convolution(model: nn.Module, channels: list[int], enlarges: list[bool]) -> None:
    """Let the blocks of a U-Net's decoder be enlarged by transposed convolutions, in place.

    Parameters
    ----------
    model : nn.Module
        A `Unet` of segmentation-models-pytorch.
    channels : list of int
        What each block is given of the block before, the deepest first.
    enlarges : list of bool
        Whether that is half as large as what the block gives; others stay as they are.
    """
    blocks = cast("Any", model.get_submodule("decoder")).blocks
    for place, (width, doubles) in enumerate(zip(channels, enlarges, strict=True)):
        if doubles:
            blocks[place] = TransposedBlock(blocks[place], width)
