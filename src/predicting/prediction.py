"""Predictions for one image of any size, over views, scales and windows."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from src.maps.merge_rules import VALUES, merge_of
from src.networks.network_input import full_value
from src.networks.positions import position_bytes
from src.networks.resizing import resized_tensor
from src.predicting.embedding_affinity import neighbour_affinity, resampled_affinity
from src.predicting.merges import merge_scales, merge_views
from src.predicting.params import PredictParams
from src.predicting.views import VIEWS, undo_view, view

Forward = Callable[[torch.Tensor], dict[str, torch.Tensor]]
# As NumPy calls them.
PADDINGS: dict[str, Literal["edge", "reflect"]] = {"replicate": "edge", "reflect": "reflect"}
NUMBERS = ("empty",)  # heads that answer with one number per image, not with a map
MOMENTS = ("mask_mean", "mask_variance")  # of the mask's probability over views


def predict_image(
    forward: Forward,
    image: torch.Tensor,
    params: PredictParams,
    *,
    stride: int,
    resize: float,
    embedding_loss: str = "",
    positions: bool = False,
) -> dict[str, torch.Tensor | float]:
    """Predict one image.

    Every image is predicted by itself, its views making up the batch: what else is predicted, and
    how many at a time, can never change a result, not even in the last bit.

    Parameters
    ----------
    forward : callable
        Maps uint8 RGB (B, 3, h, w), h and w multiples of `stride`, to logits by the name of their
        head: maps (B, h, w), "boundary_distance" among them holding values and not logits,
        "embedding" (B, E, h, w) of any values, and "empty" (B,).
    image : Tensor of uint8, shape (3, H, W), or of bands as `network_input` takes them
        On the device of the model; any H and W from 1.
    params : PredictParams
        `views`, the test-time augmentation: 1, 2, 4 or 8. `scales`, factors on height and width on
        top of `resize`; each scale is brought back to the size of the image before they are merged.
        `gammas`, exponents that the values of pixels in [0, 1] are raised to, each at all scales.
        `merge`, how the predictions of views, scales and gammas become one, see
        `src.maps.merge_rules`. `padding`, how the image is padded to multiples of `stride`, half
        of it above and left, as in training (the odd pixel lies below or right). `margin`, pixels
        that are padded so on every side of the resized image before, at least. `max_size`, the
        longest side, after `resize` and scale, that goes through the network at once, in pixels;
        larger images are cut into windows of that size. `overlap`, the least of neighbouring
        windows in pixels; without any, no window holds both pixels at a seam, and the affinities
        of "embedding" are 0 there.
    stride : int
    resize : float
        Factor on height and width before the network, undone after it.
    embedding_loss : str, optional
        What the head "embedding" was trained by; needed only where there is one.
    positions : bool
        Whether `forward` gets (B, 7, h, w), with the bytes of `src.networks.positions`.

    Returns
    -------
    prediction : dict
        By head: float32 maps of shape (H, W) in [0, 1]; for "embedding" affinities (2, H, W) as
        `src.predicting.embedding_affinity.neighbour_affinity` returns them; for "empty" a float in
        [0, 1], that of the window that is least empty, for an image is empty only if all its
        windows are.

        With more than one view, scale or gamma also "view_spread", float32 (H, W) in [0, 0.5]: the
        standard deviation of the mask's probability over all of them, that of all and not that of
        a sample, whatever `merge` is. It is blended over windows and brought to the size of the
        image as a variance, by the same weights as the mask.

    Raises
    ------
    ValueError
        If `embedding_loss` is unknown.
    """
    spread = has_spread(params)

    def predict_window(window):
        answers = _predict_views(forward, window, params, stride, embedding_loss)
        return _merged_views(answers, params.merge, spread)

    at_scales = [
        _predict_scaled(predict_window, coloured, resize * scale, params, positions)
        for coloured in (with_gamma(image, gamma) for gamma in params.gammas)
        for scale in params.scales
    ]
    prediction = {}
    if spread:
        mean, variance = (torch.stack([one.pop(key) for one in at_scales]) for key in MOMENTS)
        variance = variance.mean(0) + mean.var(0, correction=0)
        prediction["view_spread"] = variance.sqrt().clamp(max=0.5)
    for head in at_scales[0]:
        of_head = torch.stack([one[head] for one in at_scales])
        merged = merge_scales(of_head, merge_of(head, params.merge)).clamp(0, 1)
        prediction[head] = merged.item() if head in NUMBERS else merged
    return prediction


def has_spread(params: PredictParams) -> bool:
    """Tell whether there are several views, scales or gammas that may disagree."""
    return len(VIEWS[params.views]) * len(params.scales) * len(params.gammas) > 1


def with_gamma(image: torch.Tensor, gamma: float) -> torch.Tensor:
    """Raise the values of pixels in [0, 1] to a power, rounded to what the image can hold."""
    if gamma == 1:
        return image
    full = full_value(image)
    return ((image.double() / full) ** gamma * full).round().to(image.dtype)


def window_starts(length: int, window: int, overlap: int) -> list[int]:
    """Return evenly spread starts of windows that cover `length`, overlapping at least `overlap`.

    A single 0 if one window covers it all; `overlap` must be less than `window`.
    """
    if length <= window:
        return [0]
    count = -((overlap - length) // (window - overlap))  # ceil((length - overlap) / step)
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def _predict_scaled(
    predict_window: Forward,
    image: torch.Tensor,
    factor: float,
    params: PredictParams,
    positions: bool,
) -> dict[str, torch.Tensor]:
    """Predict at one size, window by window; the maps come back at the size of the image."""
    height, width = image.shape[-2:]
    image = resized_tensor(image, factor)
    rows, columns = image.shape[-2:]
    if positions:  # in the whole image, whatever windows and views make of it
        where = torch.from_numpy(position_bytes(rows, columns)).permute(2, 0, 1)
        image = torch.cat([image, where.to(image)])
    inner = (
        slice(params.margin, params.margin + rows),
        slice(params.margin, params.margin + columns),
    )
    image = _with_margin(image, params)
    rows, columns = image.shape[-2:]
    max_size, overlap = params.max_size, params.overlap
    totals, numbers = {}, {head: [] for head in NUMBERS}
    weight = torch.zeros(rows, columns, device=image.device)
    for top in window_starts(rows, max_size, overlap):
        for left in window_starts(columns, max_size, overlap):
            place = (slice(top, top + max_size), slice(left, left + max_size))
            answers = predict_window(image[(..., *place)])
            kernel = _blend(weight[place].shape[0]).outer(_blend(weight[place].shape[1]))
            kernel = kernel.to(image.device)
            weight[place] += kernel
            for head, answer in answers.items():
                if head in NUMBERS:
                    numbers[head].append(answer)
                else:
                    if head not in totals:
                        totals[head] = weight.new_zeros(*answer.shape[:-2], rows, columns)
                    totals[head][(..., *place)] += kernel * answer
    maps = {head: total / weight for head, total in totals.items()}
    if "embedding" in maps:
        affinity, seen = maps["embedding"].chunk(2)
        maps["embedding"] = affinity / seen.where(seen > 0, 1)
    maps = {head: one[(..., *inner)] for head, one in maps.items()}
    if factor != 1:
        maps = {head: _enlarged(head, one, (height, width)) for head, one in maps.items()}
    return maps | {head: torch.stack(found).amin(0) for head, found in numbers.items() if found}


def _enlarged(head: str, values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if head == "embedding":
        return resampled_affinity(values, size)
    return interpolate(values[None, None], size, mode="bilinear")[0, 0]


def _predict_views(
    forward: Forward,
    image: torch.Tensor,
    params: PredictParams,
    stride: int,
    embedding_loss: str,
) -> dict[str, torch.Tensor]:
    """Predict one window of any size in all views; return each head's answers (V, ...)."""
    (rows, inner_rows), (columns, inner_columns) = (
        _padded(side, stride, params.padding) for side in image.shape[-2:]
    )
    image = image[:, rows[:, None].to(image.device), columns.to(image.device)][None]
    # Views that turn by a quarter have the sides swapped: one batch for each shape.
    upright = [v for v in VIEWS[params.views] if v[0] % 2 == 0]
    turned = [v for v in VIEWS[params.views] if v[0] % 2 == 1]
    square = image.shape[-2] == image.shape[-1]
    batches = [upright + turned] if square else [upright, turned]
    answers = {}
    for batch in filter(None, batches):
        for head, found in forward(torch.cat([view(image, *v) for v in batch])).items():
            if head not in NUMBERS:
                undone = [undo_view(one, *v) for one, v in zip(found, batch, strict=True)]
                found = [one[..., inner_rows, inner_columns] for one in undone]
            if head == "embedding":  # only now is the right neighbour the right one
                found = [neighbour_affinity(one, kind=embedding_loss) for one in found]
            answers.setdefault(head, []).extend(found)
    return {head: torch.stack(found) for head, found in answers.items()}


def _merged_views(
    answers: dict[str, torch.Tensor], merge: str, spread: bool
) -> dict[str, torch.Tensor]:
    """Merge the views of each head; add the moments of the mask if asked for its spread."""
    merged = {}
    for head, found in answers.items():
        merged[head] = found.float().mean(0) if head in VALUES else merge_views(found, merge)
    if "embedding" in merged:
        # A window says nothing of the neighbours of its last pixels: what it says is counted.
        seen = torch.ones_like(merged["embedding"])
        seen[0, :, -1] = seen[1, -1] = 0
        merged["embedding"] = torch.cat([merged["embedding"], seen])
    if spread:
        probability = answers["mask"].float().sigmoid()
        mean = probability.mean(0)  # torch.var_mean takes seven times as long along this side
        variance = (probability - mean).square().mean(0)
        merged |= zip(MOMENTS, (mean, variance), strict=True)
    return merged


def _with_margin(image: torch.Tensor, params: PredictParams) -> torch.Tensor:
    """Pad an image (C, H, W) on every side."""
    if not params.margin:
        return image
    mode = PADDINGS[params.padding]
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(side), params.margin, mode=mode)).to(image.device)
        for side in image.shape[-2:]
    )
    return image[:, rows[:, None], columns]


def _padded(length: int, stride: int, padding: str) -> tuple[torch.Tensor, slice]:
    """Return the indices that pad a side to a multiple of `stride`, and where it lies then."""
    before = -length % stride // 2
    after = -length % stride - before
    indices = np.pad(np.arange(length), (before, after), mode=PADDINGS[padding])
    return torch.from_numpy(indices), slice(before, before + length)


def _blend(length: int) -> torch.Tensor:
    """Weights of a window's pixels along one side: smooth, largest in the middle, never 0."""
    return torch.hann_window(length + 2, periodic=False)[1:-1] + 1e-3
