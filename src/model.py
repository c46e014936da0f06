"""Building, saving and loading of segmentation networks, without pickle."""

import json
import os
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from src.errors import InputError

DECODERS_OF_DEPTH = ("unet", "unetplusplus", "manet")  # want one width for each level


def build_model(
    *,
    architecture: str,
    encoder: str,
    encoder_depth: int,
    encoder_weights: str | None,
    channels: int,
) -> nn.Module:
    """Build a network that maps (B, 3, H, W) images to (B, channels, H, W) logits.

    H and W must be multiples of `stride(model)`.

    Parameters
    ----------
    architecture : str
        A decoder of segmentation-models-pytorch: Unet, Linknet, FPN, ...
    encoder : str
        An encoder of that library, or `tu-NAME` for any timm model.
    encoder_depth : int
        How often the encoder halves height and width, 3 to 5 (what lies deeper is left out).
    encoder_weights : str or None
        Name of a pretrained set ("imagenet" is downloaded by the library), None for random. For a
        timm encoder any name stands for the set in the encoder's own name (`tu-NAME.SET`).
    channels : int
        Output channels; positive.

    Raises
    ------
    InputError
        If a name is unknown or the pretrained weights cannot be had.
    """
    options = {}
    if architecture.lower() in DECODERS_OF_DEPTH:
        options["decoder_channels"] = [16 * 2**level for level in reversed(range(encoder_depth))]
    own_set = encoder.startswith("tu-") and encoder_weights is not None  # named in the encoder
    try:
        return smp.create_model(
            architecture,
            encoder_name=encoder,
            encoder_depth=encoder_depth,
            encoder_weights=True if own_set else encoder_weights,
            in_channels=3,
            classes=channels,
            **options,
        )
    except (KeyError, ValueError, RuntimeError) as error:
        # The library answers unknown names and missing weights in three ways of its own.
        reason = str(error).strip("'\" ").splitlines()[0][:300]
        raise InputError(
            f"params.yaml: model.architecture '{architecture}' with model.encoder '{encoder}' and "
            f"model.encoder_weights '{encoder_weights}' cannot be built: {reason}"
        ) from None
    except OSError as error:
        raise InputError(
            f"params.yaml: model.encoder_weights '{encoder_weights}' for '{encoder}' could not be "
            f"downloaded ({type(error).__name__}); check the network or set it to none"
        ) from None


def stride(model: nn.Module) -> int:
    """Return what height and width of the input must be multiples of, in pixels."""
    return int(model.encoder.output_stride)


def save_model(folder: Path, model: nn.Module, description: dict) -> None:
    """Write `model.safetensors` and `model.json`, from which `load_model` rebuilds the network.

    Parameters
    ----------
    folder : Path
        Exists already.
    model : nn.Module
        Its state is written from the CPU.
    description : dict
        The keyword arguments of `build_model`, plus whatever prediction needs to know.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    weights, text = folder / "model.safetensors", folder / "model.json"
    save_file(state, weights.with_suffix(".partial"))
    os.replace(weights.with_suffix(".partial"), weights)
    text.write_text(json.dumps(description, indent=2, sort_keys=True) + "\n")


def load_model(folder: Path) -> tuple[nn.Module, dict]:
    """Rebuild a saved network, in evaluation mode, with its description.

    Raises
    ------
    InputError
        If the folder holds no model, or weights that do not fit the description.
    """
    folder = Path(folder)
    for part in (folder / "model.json", folder / "model.safetensors"):
        if not part.is_file():
            raise InputError(f"{part}: no such file; run the train stage")
    description = json.loads((folder / "model.json").read_text())
    model = build_model(
        architecture=description["architecture"],
        encoder=description["encoder"],
        encoder_depth=description["encoder_depth"],
        encoder_weights=None,  # the saved weights replace them
        channels=description["channels"],
    )
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{folder}: weights do not fit model.json ({reason}); train again"
        ) from None
    return model.eval(), description


def normalise(images: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    """Turn uint8 RGB (B, 3, H, W) into float32 (x / 255 - mean) / std, on the images' device."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (mean, std))
    images = (images.float() / 255 - mean) / std
    return images.contiguous(memory_format=torch.channels_last)
