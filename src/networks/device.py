"""Where networks run, and with which arithmetic."""

from collections.abc import Mapping
from typing import get_args

import torch

from src.networks.precision import Precision


def choose_device(precision: Precision) -> tuple[torch.device, bool]:
    """Return the GPU if there is one, else the CPU, and whether to compute in bfloat16.

    Parameters
    ----------
    precision : {"auto", "float32", "bf16"}
        "auto" takes bfloat16 where the hardware multiplies it: on a GPU, and on a CPU for which
        `multiplies_bf16` holds. On a CPU bfloat16 convolutions of maps a pixel or two wide were
        seen to answer NaN now and then (torch 2.12.1); training and prediction stop at the first
        NaN.

    Raises
    ------
    ValueError
        If `precision` is unknown.
    """
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise ValueError(f"precision '{precision}' is unknown; known: {known}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision != "auto":
        return device, precision == "bf16"
    return device, device.type == "cuda" or multiplies_bf16(torch.cpu.get_capabilities())


def multiplies_bf16(capabilities: Mapping[str, bool]) -> bool:
    """Return whether a CPU has instructions that multiply bfloat16, as `torch.cpu` tells of it.

    With AMX they halve the time and more. With AVX-512 alone a training step of the default network
    took 0.70 of its time in float32 at 128 px and 0.48 at 256 px, a prediction half of it (torch
    2.12.1). Other CPUs would emulate them slowly; what a CPU says nothing about it has not.
    """
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
