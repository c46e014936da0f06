"""Where networks run, and with which arithmetic."""

from typing import get_args

import torch

from src.networks.precision import Precision


def choose_device(precision: Precision) -> tuple[torch.device, bool]:
    """Return the GPU if there is one, else the CPU, and whether to compute in bfloat16.

    Parameters
    ----------
    precision : {"auto", "float32", "bf16"}
        "auto" takes bfloat16 where the hardware multiplies matrices of it: on a GPU, and on a CPU
        with AMX, where it halves the time; elsewhere the CPU would emulate it slowly. On a CPU
        bfloat16 convolutions of maps a pixel or two wide were seen to answer NaN now and then
        (torch 2.12.1); training and prediction stop at the first NaN.

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
    return device, device.type == "cuda" or torch.cpu.get_capabilities().get("amx_bf16", False)
