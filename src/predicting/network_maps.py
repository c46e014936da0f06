"""What one network says of one image, as it is stored: by views, scales and windows, in bytes."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from src.base.errors import InputError
from src.maps.probability_maps import encode_probability, encode_spread
from src.networks.contrast import equalise
from src.networks.device import choose_device
from src.networks.heads import head_outputs
from src.networks.model import stride
from src.networks.network_input import BANDS, network_input
from src.networks.positions import BYTES, needs_positions
from src.networks.resizing import image_tensor
from src.predicting.folded import folded
from src.predicting.params import PredictParams
from src.predicting.prediction import predict_image

# Of views that go through a network together on a processor. Of 1, 2, 4 and 8 views at once 8 were
# the fastest at 128 px, 4 (bf16) or 2 (float32) at 256, 1 at 512 and 704, by up to 1.6 times.
PIXELS_AT_ONCE = 2**17

Prediction = dict[str, torch.Tensor | float]
Predict = Callable[[np.ndarray, float], Prediction]
Answers = Callable[[torch.Tensor, float], dict[str, torch.Tensor]]


def image_predictor(
    network: nn.Module,
    description: dict[str, Any],
    params: PredictParams,
) -> Predict:
    """Return the function that predicts an image with one network.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; moved to the device that `params.precision` asks for. On a processor
        what runs is `src.predicting.folded.folded` of it, which takes a tenth of a second to make.
    description : dict
        Its model.json.
    params : PredictParams
        With views that the scene permits.

    Returns
    -------
    predict : callable
        Of an image, uint8 (H, W, 3) RGB or its bands, and its relative depth, a number that only
        networks with the channel "depth" look at. It returns what
        `src.predicting.prediction.predict_image` does.
    """
    device, bf16 = choose_device(params.precision)
    network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format
    if device.type == "cpu":
        network = folded(network, description["in_channels"])
    inputs = {key: description[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    size = description["embedding_size"]

    def answers(images: torch.Tensor, depth: float) -> dict[str, torch.Tensor]:
        _refuse_others(images, description)
        given = network_input(images, torch.full((len(images),), depth, device=device), **inputs)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return head_outputs(network(given), description["heads"], size)

    return predictor_by(answers, description, params, stride=stride(network), device=device)


def predictor_by(
    answers: Answers,
    description: dict[str, Any],
    params: PredictParams,
    *,
    stride: int,
    device: torch.device,
) -> Predict:
    """Return the function that predicts an image by what a network answers, wherever it runs.

    On a processor views go through the network together as long as their pixels stay in its cache,
    on a GPU all do. How many depends on the size of a window alone, so that an image gets the same
    answer whatever else is predicted.

    Parameters
    ----------
    answers : callable
        Of uint8 RGB (B, 3, h, w), where networks see positions (B, 7, h, w), h and w multiples of
        `stride`, on the device, and a relative depth: the answers by head, as
        `src.predicting.prediction.predict_image` takes them.
    description, params
        As for `image_predictor`, which says what is returned.
    stride : int
        Of the network, px.
    device : torch.device
        On which views are made and merged.
    """

    def forward(images: torch.Tensor, depth: float) -> dict[str, torch.Tensor]:
        height, width = images.shape[-2:]
        fitting = PIXELS_AT_ONCE // (height * width) if device.type == "cpu" else len(images)
        parts = [answers(some, depth) for some in images.split(max(fitting, 1))]
        return {head: torch.cat([one[head] for one in parts]) for head in parts[0]}

    @torch.inference_mode()
    def predict(image: np.ndarray, depth: float) -> Prediction:
        if description["clahe"]:
            image = equalise(image, description["clahe"])
        return predict_image(
            partial(forward, depth=depth),
            image_tensor(image).contiguous().to(device),
            params,
            stride=stride,
            resize=description["resize"],
            embedding_loss=description.get("embedding_loss", ""),
            positions=needs_positions(description["extra_channels"]),
        )

    return predict


def _refuse_others(images: torch.Tensor, description: dict[str, Any]) -> None:
    """Refuse images of other bands than the network learnt from."""
    there = images.shape[1] - BYTES * needs_positions(description["extra_channels"])
    bands, deep = len(description["mean"]), images.dtype != torch.uint8
    if there != bands or (deep and description["image_channels"] != BANDS):
        raise InputError(
            f"an image of {there} bands{' of 16 bits' * deep}, but the network learnt from {bands} "
            f"({description['image_channels']}); prepare images as they were for training"
        )


def stored_maps(prediction: Prediction, name: str) -> dict[str, np.ndarray | float]:
    """Return what is kept of a prediction, in the bytes that it is kept in.

    Parameters
    ----------
    prediction : dict
        From `image_predictor`; its "empty" is taken out.
    name : str
        Of the image, for the message.

    Returns
    -------
    maps : dict
        By kind the maps as `src.maps.map_folder` has them, and "empty", a probability in [0, 1]: 0
        where there is no such head.

    Raises
    ------
    InputError
        If a value is no number.
    """
    empty = prediction.pop("empty", 0.0)
    maps = {kind: one for kind, one in prediction.items() if isinstance(one, torch.Tensor)}
    if not all(one.isfinite().all() for one in maps.values()) or math.isnan(float(empty)):
        raise InputError(
            f"{name}: the network answers with no number; set predict.precision to "
            "float32, and if that does not help train again with a lower lr"
        )
    encoded = {kind: _encoded(kind, one.cpu().numpy()) for kind, one in maps.items()}
    return {**encoded, "empty": float(empty)}


def _encoded(kind: str, values: np.ndarray) -> np.ndarray:
    """Return the uint8 array that is stored of a map."""
    if kind == "view_spread":
        return encode_spread(values)
    if kind == "embedding":
        values = np.stack([*values, np.zeros_like(values[0])], axis=-1)
    return encode_probability(values)
