"""Probability map of one image of any size, over mirrored and turned views and over windows."""

from collections.abc import Callable

import torch
from torch.nn.functional import interpolate, pad

from src.views import VIEWS, merge_views, undo_view, view

Forward = Callable[[torch.Tensor], torch.Tensor]


def predict_image(
    forward: Forward,
    image: torch.Tensor,
    *,
    views: str,
    merge: str,
    stride: int,
    resize: float,
    max_size: int,
    overlap: int,
) -> torch.Tensor:
    """Predict one image.

    Every image is predicted by itself, its views making up the batch: what else is predicted, and
    how many at a time, can never change a result, not even in the last bit.

    Parameters
    ----------
    forward : callable
        Maps uint8 RGB (B, 3, h, w), h and w multiples of `stride`, to logits (B, 1, h, w).
    image : Tensor of uint8, shape (3, H, W)
        On the device of the model; any H and W from 1.
    views : {"none", "hflip", "d2", "d4"}
        The test-time augmentation: 1, 2, 4 or 8 views.
    merge : {"mean", "gmean", "logit_mean"}
        How their predictions become one.
    stride : int
        The image is padded below and to the right to multiples of it, repeating its edge.
    resize : float
        Factor on height and width before the network, undone after it.
    max_size : int
        Longest side, after `resize`, that goes through the network at once, in pixels; larger
        images are cut into windows of that size.
    overlap : int
        Least overlap of neighbouring windows in pixels, in [0, max_size).

    Returns
    -------
    probability : Tensor of float32, shape (H, W)
        In [0, 1].

    Raises
    ------
    ValueError
        If `views` or `merge` is unknown.
    """
    if views not in VIEWS:
        raise ValueError(f"views '{views}' is unknown; known: {', '.join(VIEWS)}")
    height, width = image.shape[-2:]
    if resize != 1:
        size = [max(1, round(side * resize)) for side in (height, width)]
        image = interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
        image = image.round().to(torch.uint8)
    rows, columns = image.shape[-2:]
    total = torch.zeros(rows, columns, device=image.device)
    weight = torch.zeros_like(total)
    for top in window_starts(rows, max_size, overlap):
        for left in window_starts(columns, max_size, overlap):
            place = (slice(top, top + max_size), slice(left, left + max_size))
            window = _predict_window(forward, image[(..., *place)], views, merge, stride)
            kernel = _blend(window.shape[0]).outer(_blend(window.shape[1])).to(total.device)
            total[place] += kernel * window
            weight[place] += kernel
    probability = total / weight
    if resize != 1:
        probability = interpolate(probability[None, None], (height, width), mode="bilinear")[0, 0]
    return probability.clamp(0, 1)


def window_starts(length: int, window: int, overlap: int) -> list[int]:
    """Return evenly spread starts of windows that cover `length`, overlapping at least `overlap`.

    A single 0 if one window covers it all; `overlap` must be less than `window`.
    """
    if length <= window:
        return [0]
    count = -((overlap - length) // (window - overlap))  # ceil((length - overlap) / step)
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def _predict_window(forward: Forward, image, views: str, merge: str, stride: int) -> torch.Tensor:
    height, width = image.shape[-2:]
    image = pad(
        image[None].float(), (0, -width % stride, 0, -height % stride), mode="replicate"
    ).to(torch.uint8)
    # Views that turn by a quarter have the sides swapped: one batch for each shape.
    upright = [v for v in VIEWS[views] if v[0] % 2 == 0]
    turned = [v for v in VIEWS[views] if v[0] % 2 == 1]
    square = image.shape[-2] == image.shape[-1]
    batches = [upright + turned] if square else [upright, turned]
    logits = []
    for batch in filter(None, batches):
        answers = forward(torch.cat([view(image, *v) for v in batch]))[:, 0]
        logits += [undo_view(answer, *v) for answer, v in zip(answers, batch, strict=True)]
    return merge_views(torch.stack(logits), merge)[:height, :width]


def _blend(length: int) -> torch.Tensor:
    """Weights of a window's pixels along one side: smooth, largest in the middle, never 0."""
    return torch.hann_window(length + 2, periodic=False)[1:-1] + 1e-3
