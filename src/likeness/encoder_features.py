"""What a pretrained encoder answers to whole images: numbers that tell what they show."""

from collections.abc import Iterable
from itertools import islice

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn

from src.base.errors import InputError
from src.networks.device import choose_device
from src.networks.encoder_weights import (
    input_statistics,
    load_encoder_weights,
    load_packaged_weights,
)
from src.networks.packaged_weights import PACKAGED, refuse_unpackaged

SIDE = 224  # px, that images are resized to: what encoders are commonly pretrained on
BATCH = 16  # images
SECTION = "params.yaml: validate_split"


def encoder_features(images: Iterable[np.ndarray], *, encoder: str, weights: str) -> np.ndarray:
    """Average the last maps of a pretrained encoder over each image.

    Parameters
    ----------
    images : iterable of ndarray of uint8, shape (H, W, 3)
        RGB; at least one. Each is resized to a square, which leaves out its size and aspect.
    encoder : str
        Of segmentation-models-pytorch, or `tu-NAME` for any timm model.
    weights : str
        Name of a pretrained set, "packaged", or a file NAME.safetensors in data/encoder_weights;
        images are normalised as `src.networks.encoder_weights.input_statistics` says.

    Returns
    -------
    features : ndarray of float64, shape (N, C)
        One column per channel of the last stage, rounded to 3 decimals.

    Raises
    ------
    InputError
        If there are no weights, the encoder is unknown or the weights cannot be had.
    """
    if weights == "none":
        raise InputError(
            f"{SECTION}.encoder_weights none: features of random weights tell nothing; name a "
            "pretrained set such as imagenet or a file, or set validate_split.encoder to none"
        )
    device, _ = choose_device("float32")
    network, mean, std = _pretrained(encoder, weights)
    network = network.to(device).eval()
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (mean, std))
    images, found = iter(images), []
    with torch.inference_mode():
        while batch := list(islice(images, BATCH)):
            squares = [cv2.resize(i, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for i in batch]
            planes = torch.from_numpy(np.stack(squares)).to(device).permute(0, 3, 1, 2)
            maps = network((planes / 255 - mean) / std)[-1]
            found.append(maps.mean(dim=(2, 3)).cpu().numpy().astype(np.float64).round(3))
    return np.concatenate(found)


def _pretrained(encoder: str, weights: str) -> tuple[nn.Module, list[float], list[float]]:
    """Return the encoder, and the mean and std of what it learnt from."""
    own = weights == PACKAGED or weights.endswith(".safetensors")
    name = None if own else True if encoder.startswith("tu-") else weights
    try:
        if weights == PACKAGED:
            refuse_unpackaged(encoder)
        network = smp.encoders.get_encoder(encoder, weights=name)
        if weights == PACKAGED:
            load_packaged_weights(network, encoder, in_channels=3)
        elif own:
            load_encoder_weights(network, weights, in_channels=3)
        return network, *input_statistics(encoder, weights)
    except InputError as error:  # which speaks of the section of networks that are trained
        words = str(error).replace(" and model.encoder_depth", "")
        raise InputError(words.replace("model.encoder", "validate_split.encoder")) from None
    except OSError as error:
        raise InputError(
            f"{SECTION}.encoder_weights '{weights}' for '{encoder}' could not be downloaded "
            f"({type(error).__name__}); check the network or set validate_split.encoder to none"
        ) from None
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        # The library answers names it lacks in four ways of its own.
        reason = str(error.args[0]).splitlines()[0][:300]
        raise InputError(
            f"{SECTION}.encoder '{encoder}' with encoder_weights '{weights}' cannot be built: "
            f"{reason}"
        ) from None
