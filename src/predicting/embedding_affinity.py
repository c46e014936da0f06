"""Which neighbouring pixels an embedding holds for one object."""

import torch
from torch.nn.functional import interpolate, normalize, pad

from src.networks.heads import CONTRASTIVE_MARGIN, EMBEDDING_KINDS, PUSH_MARGIN


def neighbour_affinity(embedding: torch.Tensor, *, kind: str) -> torch.Tensor:
    """Compare every pixel with its right and with its lower neighbour.

    The affinity is 1 - distance / D, at least 0, where D is how far the loss drives different
    objects apart:

    - discriminative: D = 2 x 1.5, the distance beyond which two means are not pushed any more (De
      Brabandere, Neven and Van Gool 2017, eq. 2). Where that loss is 0, two pixels of an object are
      2 x 0.5 = 1 apart at most, two of different objects 3 - 1 = 2 at least; the affinity is 0.5
      half way between, at 1.5.
    - the others compare vectors of length 1, so here the vectors are scaled to length 1 too, and
      D = 1, the margin of contrastive (an angle of 60 degrees). triplet, centre, arcface and
      cosface only ask that other objects be farther off than the same one, not how far, and none
      of these five trains single pixels; take 0.5 as a convention there.

    No loss says anything of the background: only affinities between pixels of objects count.

    Parameters
    ----------
    embedding : Tensor, shape (..., E, H, W)
        Any float type; computed in float32.
    kind : {"discriminative", "contrastive", "triplet", "centre", "arcface", "cosface"}
        The loss it was trained by, as for `src.losses.embedding_losses.embedding_loss`.

    Returns
    -------
    affinity : Tensor of float32, shape (..., 2, H, W)
        In [0, 1]: with the right neighbour, 0 in the last column; with the lower one, 0 in the last
        row.

    Raises
    ------
    ValueError
        If `kind` is unknown.
    """
    if kind not in EMBEDDING_KINDS:
        raise ValueError(f"embedding loss '{kind}' is unknown; known: {', '.join(EMBEDDING_KINDS)}")
    embedding, far = embedding.float(), 2 * PUSH_MARGIN
    if kind != "discriminative":
        embedding, far = normalize(embedding, dim=-3, eps=1e-4), CONTRASTIVE_MARGIN
    right, lower = (
        (1 - torch.linalg.vector_norm(embedding.diff(dim=side), dim=-3) / far).clamp(min=0)
        for side in (-1, -2)
    )
    return torch.stack([pad(right, (0, 1)), pad(lower, (0, 0, 0, 1))], dim=-3)


def resampled_affinity(affinity: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring affinities of a resized image to the size of the image.

    An affinity belongs to the line between two pixels. Along its direction it is interpolated
    between such lines, so that it does not move; the image's edges take the value of the line
    beside them. Across, it is interpolated between the middles of pixels, as any map.

    Parameters
    ----------
    affinity : Tensor of float32, shape (2, h, w)
        As `neighbour_affinity` returns it.
    size : (int, int)
        H and W.

    Returns
    -------
    affinity : Tensor of float32, shape (2, H, W)
        0 again in the last column and the last row. Where the resized image was only one pixel
        wide or high nothing was compared, and the affinity in that direction is 1.
    """
    right, lower = affinity
    height, width = size
    resampled = [_across(right, size), _across(lower.T, (width, height)).T]
    return torch.stack(resampled)


def _across(right: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample affinities (h, w) with the right neighbour."""
    height, width = size
    lines = right[:, :-1] if right.shape[1] > 1 else torch.ones_like(right)
    lines = pad(lines[None], (1, 1), mode="replicate")[None]
    lines = interpolate(lines, (height, lines.shape[3]), mode="bilinear")
    lines = interpolate(lines, (height, width + 1), mode="bilinear", align_corners=True)
    return pad(lines[0, 0, :, 1:-1], (0, 1))
