"""Show what the training loop costs beside the bare steps of its network.

    python -m benchmarks.training_loop

Needs data/prepared and data/weight_maps.zip: run `make repro` first. Both ways train the network of
params.yaml on batches of the same size with the same arithmetic, an epoch of one and as many steps
of the other in turn. Ours: everything that params.yaml switches on, from reading and augmenting
images to the moving average, but for the looks at images not learnt from. Bare: one fixed batch in
memory; forward, binary cross entropy, backward, a step of AdamW; no loader, augmentation, moving
average, clipping, pixel weights, or loss that is read back.

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

from src.archive import ImageArchive
from src.augmentation import training_transform
from src.batch_loss import batch_loss
from src.device import choose_device
from src.model import build_model
from src.params import load_params
from src.training_data import TrainingCrops, plane_names
from src.training_loop import fit
from stages.train import AugmentParams, LossParams, ModelParams, TrainParams, ViewsParams

PARAMS = Path("params.yaml")
RESULT = Path(__file__).parent / "results" / "training_loop.json"
HEADS = ["mask"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="the first one is not counted")
    parser.add_argument("--crop-size", type=int, help="px; that of params.yaml if not given")
    args = parser.parse_args(argv)
    model_params = load_params(PARAMS, "model", ModelParams)
    loss = load_params(PARAMS, "loss", LossParams).model_dump()
    regime = load_params(PARAMS, "train", TrainParams).model_dump()
    regime["crop_size"] = args.crop_size or regime["crop_size"]
    regime |= {"evaluate_every": 0, "holdout": 0.0}
    regime["phases"] = [regime["phases"][0] | {"epochs": args.epochs}]
    device, bf16 = choose_device(regime["precision"])
    crops = _crops(regime["crop_size"])
    learnt = crops(pd.read_csv("data/folds.csv")["name"].tolist())
    steps = len(learnt) // regime["batch_size"]
    bare = _bare_loop(_network(model_params, device), regime, device, bf16)
    bare(2)  # not timed
    seconds, started = {"bare": [], "ours": []}, time.perf_counter()

    def on_epoch(row: dict) -> None:
        nonlocal started
        _wait()
        seconds["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        bare(steps)
        _wait()
        seconds["bare"].append(time.perf_counter() - started)
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
    medians = {way: float(np.median(taken[1:])) for way, taken in seconds.items()}
    rows = [
        {
            "way": way,
            "steps_per_second": round(steps / medians[way], 2),
            "images_per_second": round(steps * regime["batch_size"] / medians[way], 1),
            "time_of_bare": round(medians[way] / medians["bare"], 3),
        }
        for way in seconds
    ]
    result = {
        "network": model_params.model_dump(include={"architecture", "encoder", "encoder_depth"}),
        "batch": [regime["batch_size"], 3, regime["crop_size"], regime["crop_size"]],
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "cpu_threads": torch.get_num_threads(),
        "workers": regime["workers"],
        "precision": "bf16" if bf16 else "float32",
        "steps_per_row": steps * (args.epochs - 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| way | steps/s | images/s | time of the bare loop's |")
    print("|---|---:|---:|---:|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


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


def _crops(crop_size: int):
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
            transform=training_transform(**changes, allowed=allowed, crop_size=crop_size),
            **mixing,
        )

    return crops


def _bare_loop(model: torch.nn.Module, regime: dict, device: torch.device, bf16: bool):
    """Return a function that takes so many bare steps."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    size = (regime["batch_size"], 3, regime["crop_size"], regime["crop_size"])
    images = torch.randn(size, device=device).contiguous(memory_format=torch.channels_last)
    target = (images[:, :1] > 0).float()

    def take(steps: int) -> None:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = model(images)
            binary_cross_entropy_with_logits(logits.float(), target).backward()
            optimiser.step()

    return take


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
