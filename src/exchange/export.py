"""The networks of a bundle as ONNX files, which other programs run without this one.

Each file takes the pixels of images as they are, since what a network is fed with is made inside.
`model.json` beside them tells the rest. A file is compared with its network before it counts.
"""

import json
import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from src.base.errors import InputError
from src.base.files import write_text
from src.bundles.manifest import Manifest
from src.bundles.reading import Bundle, Network
from src.exchange.session import INPUT, TOLD, open_session, run_session
from src.maps.merge_rules import VALUES
from src.networks.heads import head_outputs
from src.networks.model import stride
from src.networks.network_input import network_input
from src.networks.positions import BYTES, needs_positions

NEEDED = ("onnx", "onnxruntime")
FORMAT, VERSION = "maskline onnx", 1
OPSET = 17
SEEN = (2, 3, 2)  # images, and sides in strides, that the network is followed with
COMPARED = ((1, 2, 3), (3, 4, 2), (2, 5, 5))  # that file and network are compared with
NEAR = 1e-4  # of an answer, or of the largest one where that is above 1


CHANNELS = (
    "RGB; where there are 7 then the low and the high byte of the row, and of the column, of each "
    "pixel in its whole image, from 0 at the first to 65534 at the last"
)


class FromPixels(nn.Module):
    """A network with what it is fed with before it: uint8 (B, C, H, W) to its answers by head."""

    def __init__(self, network: nn.Module, description: dict[str, Any]):
        super().__init__()
        keys = ("image_channels", "extra_channels", "mean", "std")
        self.network, self.inputs = network, {key: description[key] for key in keys}
        self.heads, self.size = description["heads"], description["embedding_size"]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = network_input(images, images.new_zeros(len(images)), **self.inputs)
        return tuple(head_outputs(self.network(given), self.heads, self.size).values())


def refuse_without_packages() -> None:
    """Raise InputError if what exports and runs ONNX files is not installed."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise InputError(
            f"ONNX files need the package {absent[0]}, which is not installed; "
            "pip install -r requirements-onnx.txt"
        )


def export_networks(bundle: Bundle, folder: Path) -> list[Path]:
    """Write a file for each network of a bundle, and `model.json`.

    Parameters
    ----------
    bundle : Bundle
    folder : Path
        Exists already.

    Returns
    -------
    files : list of Path
        In the order of the networks.

    Raises
    ------
    InputError
        If a package is not installed, a network cannot be expressed so, or a file does not answer
        as its network does.
    """
    refuse_without_packages()
    files = [folder / file_name(one.member, number) for number, one in enumerate(bundle.networks)]
    for path, one in zip(files, bundle.networks, strict=True):
        _export(path, one)
        _compare(path, one)
    told = _told(bundle.manifest, bundle.networks, files)
    write_text(folder / TOLD, json.dumps(told, indent=1) + "\n")
    return files


def file_name(member: str, number: int) -> str:
    """Name the file of a network by its member and its place in the bundle."""
    return f"{number:03}_{member}.onnx"


def _export(path: Path, one: Network) -> None:
    step, heads = stride(one.model), one.description["heads"]
    count, rows, columns = SEEN
    size = (count, _channels(one), rows * step, columns * step)
    seen = torch.zeros(size, dtype=torch.uint8)
    axes = {0: "batch", 2: "height", 3: "width"}
    answers = {head: _axes(head) for head in heads}
    try:
        with warnings.catch_warnings(), _silence(), torch.inference_mode():
            # It warns that a newer one follows it, which takes far longer and more packages; and of
            # values that are fixed in the file, which would come out in the comparison.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                FromPixels(one.model, one.description).eval(),
                (seen,),
                path,
                input_names=[INPUT],
                output_names=heads,
                dynamic_axes={INPUT: axes, **answers},
                opset_version=OPSET,
                dynamo=False,
            )
    except MemoryError:
        raise
    except Exception as error:  # of the exporter's many kinds
        raise _refusal(one, f"torch cannot export it: {_first_line(error)}") from None


@contextmanager
def _silence() -> Generator[None]:
    """Keep back what the exporter prints, below Python, of a network that it cannot express: all.

    It switches that on by itself (torch 2.12).
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _compare(path: Path, one: Network) -> None:
    """Refuse a file that does not answer as its network does, at other sizes than it was seen."""
    module, step = FromPixels(one.model, one.description).eval(), stride(one.model)
    rng = np.random.default_rng(0)
    try:
        session = open_session(path)
        for count, rows, columns in COMPARED:
            size = (count, _channels(one), rows * step, columns * step)
            images = torch.from_numpy(rng.integers(0, 256, size, dtype=np.uint8))
            with torch.inference_mode():
                wanted = module(images)
            found = run_session(session, images)
            for head, right in zip(one.description["heads"], wanted, strict=True):
                off = (found[head] - right).abs().max() if found[head].shape == right.shape else 1e9
                if not off <= NEAR * max(1.0, float(right.abs().max())):
                    raise _refusal(one, f"its file answers otherwise at {size[2]} x {size[3]} px")
    except InputError:
        raise
    except Exception as error:  # onnxruntime has no common base of its errors
        raise _refusal(one, f"onnxruntime cannot run its file: {_first_line(error)}") from None


def _channels(one: Network) -> int:
    """Return how many bytes of a pixel a network looks at: its colours, and where it lies."""
    return 3 + BYTES * needs_positions(one.description["extra_channels"])


def _refusal(one: Network, reason: str) -> InputError:
    architecture, encoder = one.description["architecture"], one.description["encoder"]
    return InputError(
        f"the network of {one.member}, {architecture} with {encoder}, cannot be an ONNX file "
        f"({reason}); use it with torch"
    )


def _first_line(error: Exception) -> str:
    return " ".join((str(error).splitlines() or [type(error).__name__])[0].split())[:200]


def _axes(head: str) -> dict[int, str]:
    """Name the axes of an answer that differ from call to call."""
    if head == "empty":
        return {0: "batch"}
    first = 2 if head == "embedding" else 1
    return {0: "batch", first: "height", first + 1: "width"}


def _told(manifest: Manifest, networks: list[Network], files: list[Path]) -> dict[str, Any]:
    shape = ["batch", "channels", "height", "width"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "bundle": manifest.name,
        "input": {"name": INPUT, "dtype": "uint8", "shape": shape, "channels": CHANNELS},
        "merge": manifest.merge,
        "networks": [
            {
                "file": path.name,
                "member": one.member,
                "weight": one.weight,
                "channels": _channels(one),
                "stride": stride(one.model),  # that height and width are multiples of
                "resize": one.description["resize"],  # of the image, before
                "clahe": one.description["clahe"],  # likewise
                "outputs": [_output(head, one.description) for head in one.description["heads"]],
            }
            for path, one in zip(files, networks, strict=True)
        ],
    }


def _output(head: str, description: dict[str, Any]) -> dict[str, Any]:
    shape: list[Any] = ["batch", "height", "width"]
    if head == "embedding":
        shape.insert(1, description["embedding_size"])
    meaning = "value" if head in VALUES else "logit"
    return {"name": head, "shape": shape[:1] if head == "empty" else shape, "is": meaning}
