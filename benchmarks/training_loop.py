"""Show what the training loop costs beside the bare steps of its network.

    python -m benchmarks.training_loop

Needs data/prepared, data/plan and data/weight_maps.zip: run `make repro` first. Both ways train the
network of params.yaml on batches of the same size with the same arithmetic, a short epoch of each
in turn: a few steps, as machines change speed from one second to the next. Ours: everything that
params.yaml switches on, from reading and augmenting images to the moving average, but for the looks
at images not learnt from. Bare: forward, binary cross entropy, backward, a step of AdamW; no moving
average, clipping, pixel weights, progress, or loss that is read back. It is run twice: on our
batches, augmented as ours are, which shows what the loop costs, and on one fixed batch in memory,
which shows what the loop costs together with reading and augmenting. Images stay in memory,
decoded, as params.yaml says; the first epochs, which read them, are not counted.

Figures are medians over the epochs; ratios are taken within each epoch. The interval of a ratio is
that of its median, from resampled epochs.

Writes benchmarks/results/training_loop.json
"""

import argparse
import json
import platform
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from src.base.params import load_params
from src.losses.batch_loss import batch_loss
from src.losses.params import LossParams
from src.networks.device import choose_device
from src.networks.params import ModelParams
from src.predicting.allowed_views import ViewsParams
from src.training.batches import batches_of, loader_of
from src.training.checkpoint import Checkpoints
from src.training.crops import crops_by_use
from src.training.labelled_images import open_sources
from src.training.loop import fit
from src.training.network import training_network, with_statistics
from src.training.params import AugmentParams, Training, TrainParams
from src.training.targets import plane_names

PARAMS, PLAN = Path("params.yaml"), Path("data/plan")
RESULT = Path(__file__).parent / "results" / "training_loop.json"
STEPS = 5  # to an epoch
HEADS = ["mask"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100, help="the first fifth is not counted")
    parser.add_argument("--crop-size", type=int, help="px; that of params.yaml if not given")
    args = parser.parse_args(argv)
    training = _training(args.epochs, args.crop_size)
    params, train = training.model, training.train
    device, bf16 = choose_device(train.precision)
    names = pd.read_csv("data/folds.csv")["name"].unique()[: STEPS * train.batch_size]
    table = pd.DataFrame({"name": names, "use": "learn", "relative_depth": 0, "image_weight": 1})
    sources = open_sources(Path("data/prepared"), Path("data/weight_maps.zip"), None)
    learnt, watched = crops_by_use(table, sources, training, plane_names(HEADS))
    step = _bare_step(_network(training, device), device, bf16)
    draws = [(index, index) for index in range(len(learnt))]
    loader = loader_of(learnt, batches_of(draws, train.batch_size), train)
    steps = len(loader)
    fixed = [next(iter(loader))] * steps
    ways = ("ours", "bare, our batches", "bare, one batch")
    seconds, started = {way: [] for way in ways}, time.perf_counter()

    def on_epoch(row: dict) -> None:
        nonlocal started
        for way, batches in zip(ways, ((), loader, fixed), strict=True):
            for images, planes, _ in batches:
                step(images, planes)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - started)
            started = time.perf_counter()

    fit(
        _network(training, device),
        partial(batch_loss, params=params, heads=HEADS, plane_names=plane_names(HEADS), bf16=bf16),
        learnt,
        watched,
        train=train,
        losses=training.losses,
        sampling=None,
        device=device,
        title="ours",
        on_epoch=on_epoch,
        checkpoints=Checkpoints(None),
    )
    counted = slice(args.epochs // 5, None)
    taken = {way: np.array(epochs[counted]) for way, epochs in seconds.items()}
    rows = [
        {
            "way": way,
            "steps_per_second": round(steps / np.median(taken[way]), 2),
            **_median(taken["ours"] / taken[way]),
        }
        for way in ways
    ]
    result = {
        "network": params.model_dump(include={"architecture", "encoder", "encoder_depth"}),
        "batch": [train.batch_size, 3, train.crop_size, train.crop_size],
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "cpu_threads": torch.get_num_threads(),
        "workers": train.workers,
        "precision": "bf16" if bf16 else "float32",
        "steps_per_row": steps * len(taken["ours"]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| way | steps/s | ours takes times as long | from | to |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def _median(ratios: np.ndarray) -> dict[str, float]:
    """Return the median ratio of the epochs with its 95 % interval."""
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    numbers = {"ours_takes_times": np.median(ratios), "from": low, "to": high}
    return {key: round(float(number), 3) for key, number in numbers.items()}


def _training(epochs: int, crop_size: int | None) -> Training:
    """Return what params.yaml says, of a mask alone fed with plain colours in one phase."""
    train = load_params(PARAMS, "train", TrainParams, plan=PLAN)
    changes = {"crop_size": crop_size or train.crop_size, "evaluate_every": 0, "holdout": 0.0}
    changes["phases"] = [train.phases[0].model_copy(update={"epochs": epochs})]
    plain = {"image_channels": "rgb", "extra_channels": [], "clahe": 0.0, "resize": 1.0}
    plain["encoder_weights"] = "none"
    return Training(
        model=with_statistics(
            load_params(PARAMS, "model", ModelParams, plan=PLAN).model_copy(update=plain)
        ),
        losses=[load_params(PARAMS, "loss", LossParams, plan=PLAN)],
        heads=HEADS,
        image_weight="none",
        augment=load_params(PARAMS, "augment", AugmentParams),
        train=train.model_copy(update=changes),
        allowed=load_params(PARAMS, "views", ViewsParams).allowed,
        max_distance=63,
    )


def _network(training: Training, device: torch.device) -> torch.nn.Module:
    torch.manual_seed(0)
    network = training_network(training).train()
    return network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format


def _bare_step(model: torch.nn.Module, device: torch.device, bf16: bool):
    """Return a function that takes one bare step."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step(images: torch.Tensor, planes: torch.Tensor) -> None:
        images = images.to(device, memory_format=torch.channels_last) / 255
        target = (planes[:, :1].to(device) == 1).float()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(images)
        binary_cross_entropy_with_logits(logits.float(), target).backward()
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
