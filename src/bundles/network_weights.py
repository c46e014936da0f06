"""The networks of a bundle: nothing of them is allocated before description and weights agree."""

import json
from typing import Any, NamedTuple, cast

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from segmentation_models_pytorch.encoders import encoders
from torch import nn

from src.base.errors import InputError
from src.bundles.manifest import strict_json
from src.networks.model import rebuild

TYPES = {"F32": torch.float32, "I64": torch.int64}  # the second of counters of batches
MOST_HEADER = 16 << 20  # bytes
NOT_ON_META = "mit_"  # encoders that compute with numbers while they are built
KEYS = {"dtype", "shape", "data_offsets"}


class Weight(NamedTuple):
    """A weight as the header of a file tells of it."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def rebuilt_network(description: dict[str, Any], content: bytes) -> nn.Module:
    """Build a network and give it its weights.

    Parameters
    ----------
    description : dict
        From `src.bundles.manifest.description_of`.
    content : bytes
        The safetensors file of its weights.

    Returns
    -------
    network : nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    InputError
        With the reason alone: an encoder or a decoder is unknown, no network can be built, the file
        is no safetensors, or has other weights, shapes or types, or values that are not finite.
    """
    _refuse_unknown(description["architecture"], description["encoder"])
    given = weights_listed(content)
    if not description["encoder"].startswith(NOT_ON_META):
        with torch.device("meta"):  # names and shapes alone
            _refuse_others(given, _built(description))
    network = _built(description)
    _refuse_others(given, network)
    try:
        state = load(content)
    except SafetensorError as error:
        raise InputError(f"not a safetensors file ({error})") from None
    for name, weight in state.items():
        if not weight.isfinite().all():
            raise InputError(f"weight '{name}' has values that are not finite")
    network.load_state_dict(state)
    return network.eval()


def weights_listed(content: bytes) -> dict[str, Weight]:
    """Return what the header of a safetensors file lists, by name.

    Raises
    ------
    InputError
        With the reason alone, if it is no such header, or a weight is of another type than TYPES.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(MOST_HEADER, len(content) - 8):
        raise InputError("not a safetensors file (its header does not end)")
    header = strict_json(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise InputError("not a safetensors file (its header is no map)")
    listed: dict[str, Weight] = {}
    for name, told in cast("dict[str, Any]", header).items():
        if name == "__metadata__":
            continue
        if not isinstance(told, dict) or cast("dict[str, Any]", told).keys() != KEYS:
            raise InputError(f"not a safetensors file (of weight {name!r:.100})")
        dtype, shape = json.dumps(told["dtype"])[1:-1], told["shape"]
        if dtype not in TYPES:
            raise InputError(f"weight {name!r:.100} is of type {dtype:.20}, not {', '.join(TYPES)}")
        if not isinstance(shape, list) or any(type(side) is not int for side in shape):
            raise InputError(f"not a safetensors file (of the shape of weight {name!r:.100})")
        listed[name] = Weight(TYPES[dtype], tuple(shape))
    return listed


def _refuse_unknown(architecture: str, encoder: str) -> None:
    """Refuse names that the libraries do not know, before they look for them anywhere."""
    if architecture.lower() not in smp.MODEL_ARCHITECTURES_MAPPING:
        raise InputError(f"the decoder {architecture!r:.80} is unknown")
    if encoder.startswith(("tu-", "timm-")):
        known = timm.is_model(encoder.split("-", 1)[1])
        known = known or encoder in encoders
    else:
        known = encoder in encoders
    if not known:
        raise InputError(f"the encoder {encoder!r:.80} is unknown")


def _built(description: dict[str, Any]) -> nn.Module:
    try:
        return rebuild(description)
    except Exception as error:  # libraries answer what they cannot build in many ways
        first = (str(error).splitlines() or [""])[0].removeprefix("params.yaml: ")
        raise InputError(f"cannot be built ({type(error).__name__}: {first:.200})") from None


def _refuse_others(given: dict[str, Weight], network: nn.Module) -> None:
    """Refuse weights that are not exactly those of a network."""
    wanted = {
        name: Weight(one.dtype, tuple(one.shape)) for name, one in network.state_dict().items()
    }
    absent, strange = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if absent:
        raise InputError(f"has no weight '{absent[0]}'")
    if strange:
        raise InputError(f"has a weight {strange[0]!r:.100}, which the network lacks")
    for name, weight in wanted.items():
        if given[name] != weight:
            raise InputError(
                f"weight '{name}' is {_told(given[name])}, not {_told(weight)} as the network has "
                "it"
            )


def _told(weight: Weight) -> str:
    return f"{weight.dtype} {list(weight.shape)}".removeprefix("torch.")[:100]
