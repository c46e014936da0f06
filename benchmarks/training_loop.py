"""Show what the training loop costs beside the bare steps of its network.

    python -m benchmarks.training_loop

Needs data/prepared and data/weight_maps.zip: run `make repro` first. Both ways train the network of
params.yaml on batches of the same size with the same arithmetic, a short epoch of each in turn: a
few steps, as machines change speed from one second to the next. Ours: everything that params.yaml
switches on, from reading and augmenting images to the moving average, but for the looks at images
not learnt from. Bare: forward, binary cross entropy, backward, a step of AdamW; no moving average,
clipping, pixel weights, progress, or loss that is read back. It is run twice: on our batches,
augmented as ours are, which shows what the loop costs, and on one fixed batch in memory, which
shows what the loop costs together with reading and augmenting. Images stay in memory, decoded, as
params.yaml says; the first epochs, which read them, are not counted.

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
from src.formats.archive import ImageArchive
from src.losses.batch_loss import batch_loss
from src.networks.device import choose_device
from src.networks.model import build_model
from src.training.augmentation import training_transform
from src.training.crops import TrainingCrops, plane_names
from src.training.loop import fit, loader_of
from stages.train import AugmentParams, LossParams, ModelParams, TrainParams, ViewsParams

PARAMS = Path("params.yaml")
RESULT = Path(__file__).parent / "results" / "training_loop.json"
STEPS = 5  # to an epoch
HEADS = ["mask"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100, help="the first fifth is not counted")
    parser.add_argument("--crop-size", type=int, help="px; that of params.yaml if not given")
    args = parser.parse_args(argv)
    model_params = load_params(PARAMS, "model", ModelParams)
    loss = load_params(PARAMS, "loss", LossParams).model_dump()
    regime = load_params(PARAMS, "train", TrainParams).model_dump()
    regime["crop_size"] = args.crop_size or regime["crop_size"]
    regime |= {"evaluate_every": 0, "holdout": 0.0}
    regime["phases"] = [regime["phases"][0] | {"epochs": args.epochs}]
    device, bf16 = choose_device(regime["precision"])
    crops = _crops(regime["crop_size"], regime["cache_mb"] / max(1, regime["workers"]))
    names = pd.read_csv("data/folds.csv")["name"].unique()
    learnt = crops(names[: STEPS * regime["batch_size"]].tolist())
    step = _bare_step(_network(model_params, device), device, bf16)
    loader = loader_of(learnt, [(index, index) for index in range(len(learnt))], regime)
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
        _network(model_params, device),
        partial(
            batch_loss,
            heads=HEADS,
            plane_names=plane_names(HEADS),
            embedding_size=model_params.embedding_size,
            inputs=model_params.model_dump(
                include={"image_channels", "extra_channels", "mean", "std"}
            ),
            bf16=bf16,
        ),
        learnt,
        {"fold": crops([]), "holdout": crops([])},
        regime=regime,
        losses=[loss],
        sampling=None,
        device=device,
        title="ours",
        on_epoch=on_epoch,
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
        "network": model_params.model_dump(include={"architecture", "encoder", "encoder_depth"}),
        "batch": [regime["batch_size"], 3, regime["crop_size"], regime["crop_size"]],
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "cpu_threads": torch.get_num_threads(),
        "workers": regime["workers"],
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


def _network(params: ModelParams, device: torch.device) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_model(
        architecture=params.architecture,
        encoder=params.encoder,
        encoder_depth=params.encoder_depth,
        encoder_weights=None,
        encoder_attention=params.encoder_attention,
        stem_stride=params.stem_stride,
        decoder_width=params.decoder_width,
        decoder_attention=params.decoder_attention,
        hypercolumn=params.hypercolumn,
        embedding_size=params.embedding_size,
        in_channels=3,
        heads=HEADS,
    )
    return model.to(device, memory_format=torch.channels_last).train()


def _crops(crop_size: int, cache_mb: float):
    """Return the function that makes the augmented crops of images by name."""
    changes = load_params(PARAMS, "augment", AugmentParams).model_dump()
    mixing = {key: changes.pop(key) for key in ("mosaic", "copy_paste")}
    allowed = load_params(PARAMS, "views", ViewsParams).allowed
    paths = ("data/prepared/images.zip", "data/prepared/instances.zip", "data/weight_maps.zip")
    archives = [ImageArchive(path) for path in paths]

    def crops(names: list[str]) -> TrainingCrops:
        return TrainingCrops(
            *archives,
            names,
            numbers=np.tile(np.float32([0, 1]), (len(names), 1)),
            heads=HEADS,
            resize=1.0,
            crop_size=crop_size,
            padding="replicate",
            clahe=0.0,
            max_distance=63,
            cache_mb=cache_mb,
            transform=training_transform(**changes, allowed=allowed, crop_size=crop_size),
            **mixing,
        )

    return crops


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
