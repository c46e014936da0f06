"""Predict the probability maps of one network: its left-out fold, val and test.

    python -m stages.predict data/prepared data/folds.csv data/models/main/fold0 \
        data/probabilities/main/fold0 --fold 0

Reads  prepared/images.zip, prepared/images.csv, folds.csv, the model's folder
Writes oof.zip, val.zip, test.zip   <name>.png  uint8 (H, W): probability * 255
"""

import argparse
from functools import partial as bind
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from pydantic import Field
from tqdm import tqdm

from src.archive import PHOTO, ImageArchive, write_archive
from src.device import Precision, choose_device
from src.errors import InputError
from src.model import load_model, normalise, stride
from src.new_folder import new_folder
from src.params import Params, load_params
from src.prediction import predict_image
from src.probability_maps import encode_probability


class PredictParams(Params):
    views: Literal["none", "hflip", "d2", "d4"]
    merge: Literal["mean", "gmean", "logit_mean"]
    max_size: int = Field(ge=32)
    overlap: int = Field(ge=0)
    precision: Precision


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("probabilities", type=Path, help="folder to write")
    parser.add_argument("--fold", type=int, required=True, help="the fold the model left out")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "predict", PredictParams)
    if params.overlap >= params.max_size:
        raise InputError(
            f"{args.params}: predict.overlap {params.overlap} must be less than predict.max_size "
            f"{params.max_size}"
        )

    device, bf16 = choose_device(params.precision)
    network, description = load_model(args.model)
    network = network.to(device, memory_format=torch.channels_last)

    def forward(images):
        images = normalise(images, description["mean"], description["std"])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return network(images)

    predict = bind(
        predict_image,
        forward,
        views=params.views,
        merge=params.merge,
        stride=stride(network),
        resize=description["resize"],
        max_size=params.max_size,
        overlap=params.overlap,
    )
    images = ImageArchive(args.prepared / "images.zip")
    with new_folder(args.probabilities) as folder:
        for split, names in _names(args).items():
            maps = _maps(predict, images, names, device, split)
            write_archive(folder / f"{split}.zip", zip(names, maps, strict=True))
            print(f"{len(names)} {split} maps -> {args.probabilities / split}.zip")


def _names(args) -> dict[str, list[str]]:
    """Return the sorted names of the left-out fold, of val and of test."""
    for path in (args.folds, args.prepared / "images.csv"):
        if not path.is_file():
            raise InputError(f"{path}: no such file; run the stage that writes it")
    folds, table = pd.read_csv(args.folds), pd.read_csv(args.prepared / "images.csv")
    names = {"oof": sorted(folds.loc[folds["fold"] == args.fold, "name"])}
    if not names["oof"]:
        raise InputError(f"{args.folds}: has no image in fold {args.fold}")
    for split in ("val", "test"):
        names[split] = sorted(table.loc[table["split"] == split, "name"])
    return names


@torch.inference_mode()
def _maps(predict, images: ImageArchive, names: list[str], device: torch.device, split: str):
    for name in tqdm(names, desc=f"predict {split}", unit="image"):
        image = torch.from_numpy(images.read(name, PHOTO).transpose(2, 0, 1).copy()).to(device)
        probability = predict(image)
        if not probability.isfinite().all():
            raise InputError(
                f"{name}: the network answers with no number; set predict.precision to float32, "
                "and if that does not help train again with a lower lr"
            )
        yield encode_probability(probability.cpu().numpy())


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
