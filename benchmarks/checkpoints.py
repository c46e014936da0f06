"""Show what checkpoints cost a training.

    python -m benchmarks.checkpoints

Trains a network on random batches held in memory, a second of steps with and without writing a
checkpoint behind them in turn, so that both meet the same state of the machine. What a checkpoint
adds is told as a share of the time between two of them, at least two minutes. Two networks: that
of params.yaml at depth 4, and a U-Net on a ResNet34; crops and batches are small, for they change
nothing of it.

Writes benchmarks/results/checkpoints.json
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from src.base.params import load_params
from src.networks.device import choose_device
from src.networks.model import build_model
from src.networks.params import ModelParams
from src.training.checkpoint import (
    DEFAULT_MINUTES,
    MINUTES,
    SHARE,
    Checkpoints,
    Progress,
    training_state,
)

RESULT = Path(__file__).parent / "results" / "checkpoints.json"
NETWORKS = {
    "params.yaml": {"encoder_depth": 4},
    "Unet resnet34": {"architecture": "Unet", "encoder": "resnet34", "encoder_depth": 5},
}
SECONDS = 1.0  # of steps in a turn


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    turns = parser.parse_args(argv).turns
    os.environ[MINUTES] = "0"
    device, _ = choose_device("float32")
    rows = [_row(name, changes, turns, device) for name, changes in NETWORKS.items()]
    result = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "cpu_threads": torch.get_num_threads(),
        "minutes_between": DEFAULT_MINUTES,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(
        "| network | MB | seconds to write | training takes times as long | at most | steps after |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def _row(name: str, changes: dict, turns: int, device: torch.device) -> dict:
    params = load_params(Path("params.yaml"), "model", ModelParams).model_copy(update=changes)
    model = build_model(params, in_channels=3, heads=["mask"], encoder_weights=None)
    model = model.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format
    average = build_model(params, in_channels=3, heads=["mask"], encoder_weights=None).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
    images = torch.randn(2, 3, 64, 64, device=device)

    def steps() -> float:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            optimiser.zero_grad(set_to_none=True)
            model(images).square().mean().backward()
            optimiser.step()
            count += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / count

    steps()
    seconds, slower = [], []
    with tempfile.TemporaryDirectory(dir=".") as folder:  # the disk that trainings write to
        checkpoints = Checkpoints(Path(folder) / "checkpoints", "one")
        for _ in range(turns):
            before = steps()
            began = time.perf_counter()
            checkpoints.write(training_state(Progress(), model, average, optimiser, schedule))
            seconds.append(time.perf_counter() - began)
            slower.append(steps() / before)  # caches that it has emptied would show here
        assert checkpoints.path is not None
        size = checkpoints.path.stat().st_size
    median, slowest = float(np.median(seconds)), max(seconds)
    return {
        "network": name,
        "megabytes": round(size / 1e6, 1),
        "seconds": round(median, 3),
        "slowest": round(slowest, 3),
        "training_takes_times": round(1 + median / max(60 * DEFAULT_MINUTES, SHARE * median), 5),
        "steps_after_take_times": round(float(np.median(slower)), 3),
    }


if __name__ == "__main__":
    main()
