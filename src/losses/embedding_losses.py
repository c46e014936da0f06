"""Metric learning on an embedding of pixels: near within an object, far between objects."""

import math

import torch
from torch.nn.functional import normalize, relu

from src.label_maps.labels import IGNORE
from src.networks.heads import CONTRASTIVE_MARGIN, EMBEDDING_KINDS, PUSH_MARGIN

PULL_MARGIN, REGULARISATION = 0.5, 0.001  # discriminative
TRIPLET_MARGIN = 0.2
SCALE = 16.0  # of cosines: a hundred objects of an image can be told apart with certainty
ARCFACE_MARGIN, COSFACE_MARGIN = 0.5, 0.35  # an angle in radians, a cosine
CENTRE_WEIGHT = 0.1
FAR = 1e9  # beyond any distance or logit


def embedding_loss(embedding: torch.Tensor, instances: torch.Tensor, *, kind: str) -> torch.Tensor:
    """Compare the objects of each image by their embeddings; the background takes no part.

    discriminative (De Brabandere, Neven and Van Gool 2017, eq. 1 to 4, with 0.5, 1.5 and 0.001)
    draws pixels to the mean of their object and the means apart. The others see each object
    twice, as the mean a of its pixels on the black fields of a chessboard and b on the white
    ones, scaled to length 1; what lies on one colour alone is left out. Over objects i and j != i:

    - contrastive (Hadsell, Chopra and LeCun 2006, eq. 4): mean of |a_i - b_i|^2 / 2, plus mean of
      max(0, 1 - |a_i - b_j|)^2 / 2.
    - triplet (Schroff et al. 2015; the hardest negative as Hermans et al. 2017, eq. 5): mean of
      max(0, |a_i - b_i| - min_j |a_i - b_j| + 0.2).
    - cosface (Wang et al. 2018, eq. 4) and arcface (Deng et al. 2019, eq. 3): cross entropy of
      finding b_i among all b by the logits 16 cos(a_i, b), where the cosine of b_i itself is
      lowered by 0.35, or its angle grows by 0.5.
    - centre (Wen et al. 2016, eq. 5): the same without a margin, plus 0.1 times the mean over a and
      b of half the squared distance to the mean of the two. It alone would draw all to one point.

    Parameters
    ----------
    embedding : Tensor, shape (B, E, H, W)
        Any float type; computed in float32.
    instances : Tensor of int64, shape (B, H, W)
        0 background, 65535 ignored, any other value labels an object.
    kind : {"discriminative", "contrastive", "triplet", "centre", "arcface", "cosface"}

    Returns
    -------
    loss : Tensor
        A float32 scalar, not negative: the mean over the images with objects to compare (for
        triplet, arcface and cosface two of them at least); 0 with a zero gradient without any.

    Raises
    ------
    ValueError
        If `kind` is unknown.
    """
    if kind not in EMBEDDING_KINDS:
        raise ValueError(f"embedding loss '{kind}' is unknown; known: {', '.join(EMBEDDING_KINDS)}")
    pixels = embedding.float().flatten(2)
    numbers, count = _object_numbers(instances)
    if kind == "discriminative":
        return _discriminative(pixels, numbers, count)
    rows, columns = (torch.arange(size, device=pixels.device) for size in instances.shape[1:])
    colour = ((rows[:, None] + columns) % 2).flatten()
    halves = torch.where(numbers < count, numbers + count * colour, 2 * count)
    means, sizes = _pool(pixels, halves, 2 * count)
    black, white = normalize(means, dim=2, eps=1e-4).split(count, dim=1)
    seen = (sizes > 0).view(-1, 2, count).all(dim=1)
    if kind == "contrastive":
        return _contrastive(black, white, seen)
    if kind == "triplet":
        return _triplet(black, white, seen)
    return _classification(black, white, seen, kind)


def _discriminative(pixels: torch.Tensor, numbers: torch.Tensor, count: int) -> torch.Tensor:
    """Pull the pixels (B, E, N) to the mean of their object, push the means apart."""
    means, sizes = _pool(pixels, numbers, count)
    exists = sizes > 0
    dump = means.new_zeros(len(means), 1, means.shape[2])  # for pixels of no object
    index = numbers[:, None].expand_as(pixels)
    own = torch.cat([means, dump], dim=1).transpose(1, 2).gather(2, index)
    spread = torch.linalg.vector_norm(pixels - own, dim=1, keepdim=True)
    pull = _pool(relu(spread - PULL_MARGIN) ** 2, numbers, count)[0][..., 0]
    push = relu(2 * PUSH_MARGIN - _distances(means, means)) ** 2
    length = torch.linalg.vector_norm(means, dim=2)
    losses = _mean(pull + REGULARISATION * length, exists) + _mean(push, _others(exists))
    return _over_images(losses, exists)


def _contrastive(black: torch.Tensor, white: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    distances = _distances(black, white)
    pull = _mean(_diagonal(distances) ** 2 / 2, seen)
    push = _mean(relu(CONTRASTIVE_MARGIN - distances) ** 2 / 2, _others(seen))
    return _over_images(pull + push, seen)


def _triplet(black: torch.Tensor, white: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    distances, others = _distances(black, white), _others(seen)
    nearest = distances.masked_fill(~others, FAR).amin(dim=2)
    losses = relu(_diagonal(distances) - nearest + TRIPLET_MARGIN)
    anchors = others.any(2)
    return _over_images(_mean(losses, anchors), anchors)


def _classification(black, white, seen: torch.Tensor, kind: str) -> torch.Tensor:
    """Find the white half of an object among those of the image, by the cosine with the black."""
    cosines = black @ white.transpose(1, 2)
    own = _diagonal(cosines)
    if kind == "cosface":
        own = own - COSFACE_MARGIN
    if kind == "arcface":
        own = _wider_angle(own)
    candidates = seen[:, None] & seen[:, :, None]
    logits = SCALE * torch.diagonal_scatter(cosines, own, dim1=1, dim2=2)
    logits = logits.masked_fill(~candidates, -FAR)
    losses = logits.logsumexp(dim=2) - _diagonal(logits)
    compared = seen & (seen.sum(1, keepdim=True) > 1)
    found = _over_images(_mean(losses, compared), compared)
    if kind != "centre":
        return found
    apart = ((black - white) ** 2).sum(2) / 8  # |a - m|^2 / 2 with m = (a + b) / 2, alike for b
    return found + CENTRE_WEIGHT * _over_images(_mean(apart, seen), seen)


def _wider_angle(cosine: torch.Tensor) -> torch.Tensor:
    """Return cos(angle + margin), carried on as a falling line where the sum exceeds pi."""
    sine = (1 - cosine**2).clamp(min=1e-6).sqrt()  # clamped: the slope of the root has no end
    wider = cosine * math.cos(ARCFACE_MARGIN) - sine * math.sin(ARCFACE_MARGIN)
    line = cosine - ARCFACE_MARGIN * math.sin(ARCFACE_MARGIN)
    return torch.where(cosine > -math.cos(ARCFACE_MARGIN), wider, line)


def _object_numbers(instances: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Give the objects of each image numbers from 0, all else `count`; return them and `count`.

    Numbers are (B, N); the count is the batch's largest, at least 1: the one wait for the device.
    """
    labels = instances.flatten(1)
    present = torch.zeros(len(labels), IGNORE + 1, dtype=torch.bool, device=labels.device)
    present.scatter_(1, labels, True)
    present[:, 0] = False
    present[:, IGNORE] = False
    order = present.cumsum(1)
    count = max(int(order[:, -1].max()), 1)
    return torch.where(present.gather(1, labels), order.gather(1, labels) - 1, count), count


def _pool(values: torch.Tensor, numbers: torch.Tensor, count: int):
    """Return the mean of the values (B, E, N) by number, (B, count, E), 0 for none; how many."""
    shape = (len(values), values.shape[1], count + 1)
    sums = values.new_zeros(shape).scatter_add(2, numbers[:, None].expand_as(values), values)
    sizes = values.new_zeros(len(values), count + 1)
    sizes = sizes.scatter_add(1, numbers, torch.ones_like(values[:, 0]))[:, :count]
    return sums[..., :count].transpose(1, 2) / sizes.clamp(min=1)[..., None], sizes


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the distances (B, K, K), by differences: products of long vectors lose small ones."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _diagonal(pairs: torch.Tensor) -> torch.Tensor:
    return pairs.diagonal(dim1=1, dim2=2)


def _others(exists: torch.Tensor) -> torch.Tensor:
    """Return the pairs (B, K, K) of two different objects that both exist."""
    different = ~torch.eye(exists.shape[1], dtype=torch.bool, device=exists.device)
    return exists[:, None] & exists[:, :, None] & different


def _mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over all but the first dimension of what the mask has, 0 if nothing."""
    dims = tuple(range(1, values.ndim))
    return (values * mask).sum(dims) / mask.sum(dims).clamp(min=1)


def _over_images(losses: torch.Tensor, compared: torch.Tensor) -> torch.Tensor:
    """Return the mean loss (B,) of the images with objects that are compared (B, K), or 0."""
    images = compared.any(dim=1)
    return (losses * images).sum() / images.sum().clamp(min=1)
