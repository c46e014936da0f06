"""What a network sees of an image: normalised colours or grey, and planes made from them."""

from collections.abc import Sequence

import torch

from src.networks.positions import needs_positions, position_bytes, positions_of

LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601
IMAGE_CHANNELS = {"rgb": 3, "grey": 1}
EXTRA_CHANNELS = {"depth": 1, "coordinates": 2, "row_gradient": 1}


def input_channels(image_channels: str, extra_channels: Sequence[str]) -> int:
    """Return how many channels `network_input` gives.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    if image_channels not in IMAGE_CHANNELS or not set(extra_channels) <= set(EXTRA_CHANNELS):
        raise ValueError(
            f"input channels {image_channels}, {extra_channels} are unknown; known: "
            f"{', '.join(IMAGE_CHANNELS)}; {', '.join(EXTRA_CHANNELS)}"
        )
    return IMAGE_CHANNELS[image_channels] + sum(EXTRA_CHANNELS[name] for name in extra_channels)


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
        RGB, and the bytes of `src.networks.positions` where it is not the whole of an image.
    depth : Tensor of float32, shape (B,)
        One number per image, the plane of the channel "depth"; not looked at without it.
    image_channels : {"rgb", "grey"}
        Three planes (x / 255 - mean) / std, or one: the luma of the image in [0, 1] less the luma
        of `mean`, over the luma of `std`.
    extra_channels : sequence of str
        Planes to follow, in this order. "depth": the same everywhere. "coordinates": rows, then
        columns, from -1 at the first of the whole image to 1 at its last (Liu et al. 2018,
        CoordConv), 0 where there is only one. "row_gradient": luma in [0, 1] times the row's
        position, from 0 at the first to 1 at the last, 0.5 where there is only one.
    mean, std : list of float
        Of R, G and B in [0, 1].

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
    images, where = images[:, :3], images[:, 3:]
    centre, spread = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (mean, std))
    scaled = images.float() / 255
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
