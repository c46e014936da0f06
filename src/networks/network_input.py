"""What a network sees of an image: normalised colours or grey, and planes made from them."""

from collections.abc import Sequence

import torch

from src.networks.positions import needs_positions, position_bytes, positions_of

LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601
IMAGE_CHANNELS = {"rgb": 3, "grey": 1}
BANDS = "bands"  # as many as there are means
EXTRA_CHANNELS = {"depth": 1, "coordinates": 2, "row_gradient": 1}


def input_channels(
    image_channels: str, extra_channels: Sequence[str], mean: Sequence[float] = ()
) -> int:
    """Return how many channels `network_input` gives; of bands there are as many as means.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    known = IMAGE_CHANNELS | {BANDS: len(mean)}
    if image_channels not in known or not set(extra_channels) <= set(EXTRA_CHANNELS):
        raise ValueError(
            f"input channels {image_channels}, {extra_channels} are unknown; known: "
            f"{', '.join(known)}; {', '.join(EXTRA_CHANNELS)}"
        )
    return known[image_channels] + sum(EXTRA_CHANNELS[name] for name in extra_channels)


def full_value(images: torch.Tensor) -> int:
    """Return the largest value of images: 255 of bytes, 65535 of int32, which 16 bits are held in.

    (Of PyTorch's own 16 unsigned bits few operations know.)
    """
    return 255 if images.dtype == torch.uint8 else 65535


def network_input(
    images: torch.Tensor,
    depth: torch.Tensor,
    *,
    image_channels: str,
    extra_channels: Sequence[str],
    mean: list[float],
    std: list[float],
) -> torch.Tensor:
    """Turn images into the input of a network, on their device.

    Parameters
    ----------
    images : Tensor of uint8, shape (B, 3, H, W) or (B, 7, H, W)
        RGB, and the bytes of `src.networks.positions` where it is not the whole of an image. For
        "bands" any number of them, uint8 or (16 bits) int32.
    depth : Tensor of float32, shape (B,)
        One number per image, the plane of the channel "depth"; not looked at without it.
    image_channels : {"rgb", "grey", "bands"}
        Bands: (x / 255 - mean) / std or, of 16 bits, (x / 65535 - mean) / std, each by its own.
        Three planes (x / 255 - mean) / std, or one: the luma of the image in [0, 1] less the luma
        of `mean`, over the luma of `std`.
    extra_channels : sequence of str
        Planes to follow, in this order. "depth": the same everywhere. "coordinates": rows, then
        columns, from -1 at the first of the whole image to 1 at its last (Liu et al. 2018,
        CoordConv), 0 where there is only one. "row_gradient": luma in [0, 1] times the row's
        position, from 0 at the first to 1 at the last, 0.5 where there is only one.
    mean, std : list of float
        Of R, G and B in [0, 1], or of each band.

    Returns
    -------
    planes : Tensor of float32, shape (B, `input_channels(...)`, H, W)
        In the memory format channels_last.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    input_channels(image_channels, extra_channels)  # refuses unknown names
    count = len(mean)
    images, where = images[:, :count], images[:, count:]
    centre, spread = (
        torch.tensor(v, device=images.device).view(1, count, 1, 1) for v in (mean, std)
    )
    scaled = images.float() / full_value(images)
    if image_channels == "grey":
        planes = [(_luma(scaled) - _luma(centre)) / _luma(spread)]
    else:
        planes = [(scaled - centre) / spread]
    if needs_positions(extra_channels):
        if not where.shape[1]:
            whole = torch.from_numpy(position_bytes(*images.shape[2:])).permute(2, 0, 1)
            where = whole.expand(len(images), -1, -1, -1).to(images.device)
        rows, columns = positions_of(where).split(1, dim=1)
    for name in extra_channels:
        if name == "depth":
            planes.append(depth.view(-1, 1, 1, 1).expand_as(scaled[:, :1]))
        elif name == "coordinates":
            planes += [rows, columns]
        else:
            planes.append(_luma(scaled) * (rows + 1) / 2)
    planes = torch.cat(planes, dim=1) if len(planes) > 1 else planes[0]  # cat would copy the one
    return planes.contiguous(memory_format=torch.channels_last)


def _luma(colours: torch.Tensor) -> torch.Tensor:
    """Brightness (B, 1, H, W) of RGB (B, 3, H, W)."""
    weights = torch.tensor(LUMA, device=colours.device).view(1, 3, 1, 1)
    return (colours * weights).sum(1, keepdim=True)
