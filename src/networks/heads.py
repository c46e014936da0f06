"""What a network answers besides the mask: channels of its output, taken apart by name."""

import torch

EMBEDDING_KINDS = ("discriminative", "contrastive", "triplet", "centre", "arcface", "cosface")
PUSH_MARGIN = 1.5  # of the first: means of objects twice as far apart are not pushed any more
CONTRASTIVE_MARGIN = 1.0  # of the second
MAP_CHANNELS = {"mask": 1, "border": 1, "contact": 1, "boundary_distance": 1}


def map_channels(heads: list[str], embedding_size: int) -> dict[str, int]:
    """Return the channels of each head that answers with a map, in the order of the output.

    Parameters
    ----------
    heads : list of str
        "mask" first, then any of "border", "contact", "boundary_distance", "embedding", "empty".
        "empty" answers with one number for an image and so has no channel.
    embedding_size : int
        Channels of the head "embedding"; positive.

    Raises
    ------
    ValueError
        If a head is unknown or repeated, or the first is not "mask".
    """
    known = MAP_CHANNELS | {"embedding": embedding_size}
    unknown = [head for head in heads if head not in known and head != "empty"]
    if unknown or heads[:1] != ["mask"] or len(set(heads)) < len(heads):
        raise ValueError(
            f"heads {heads}: want 'mask' first, then each at most once: {', '.join(known)}, empty"
        )
    return {head: known[head] for head in heads if head != "empty"}


def head_outputs(
    output: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
    heads: list[str],
    embedding_size: int,
) -> dict[str, torch.Tensor]:
    """Take the answer of a network apart.

    Parameters
    ----------
    output : Tensor of shape (B, C, H, W), or with the head "empty" a tuple of it and (B, 1)
        What the network of `src.networks.model.build_model` with the same heads returns; any float
        type.
    heads, embedding_size
        As for `map_channels`.

    Returns
    -------
    outputs : dict of str to Tensor
        By head, in the order of `heads`: maps of shape (B, H, W), "embedding" (B, E, H, W), "empty"
        (B,). They are views of `output`.

    Raises
    ------
    ValueError
        If `heads` is refused by `map_channels` or C is not the sum of its channels.
    """
    channels = map_channels(heads, embedding_size)
    maps, numbers = output if isinstance(output, tuple) else (output, None)
    if maps.shape[1] != sum(channels.values()):
        raise ValueError(f"{maps.shape[1]} channels are not those of {channels}")
    outputs = dict(zip(channels, maps.split(list(channels.values()), dim=1), strict=True))
    outputs = {head: part if head == "embedding" else part[:, 0] for head, part in outputs.items()}
    if numbers is not None:
        outputs["empty"] = numbers[:, 0]
    return {head: outputs[head] for head in heads}
