"""Predict the probability maps of one network: its left-out fold, val and test.

    python -m stages.predict data/prepared data/folds.csv data/models/main/fold0 \
        data/probabilities/main/fold0 --fold 0

Reads  prepared/images.zip, prepared/images.csv, folds.csv, the model's folder
Writes oof.zip, val.zip, test.zip   <name>.png  uint8 (H, W): probability of the mask * 255
       <split>_<head>.zip           the same of the heads border, contact and boundary_distance
       <split>_empty.csv            name,probability: that the image has no object
       maps.json                    {"heads": [...]}: those of them that the network has
"""

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Literal

import pandas as pd
import torch
from pydantic import Field
from tqdm import tqdm

from src.allowed_views import limited_views
from src.archive import PHOTO, ImageArchive, encode_png, write_archive
from src.contrast import equalise
from src.device import Precision, choose_device
from src.errors import InputError
from src.heads import head_outputs
from src.image_numbers import image_numbers, relative_depths
from src.model import load_model, stride
from src.network_input import network_input
from src.new_folder import new_folder
from src.params import Params, load_params
from src.prediction import predict_image
from src.probability_maps import Merge, encode_probability


class PredictParams(Params):
    views: Literal["none", "hflip", "d2", "d4"]
    scales: list[Annotated[float, Field(gt=0, le=8)]] = Field(min_length=1)
    merge: Merge
    padding: Literal["replicate", "reflect"]
    max_size: int = Field(ge=32)
    overlap: int = Field(ge=0)
    precision: Precision


class ViewsParams(Params):
    allowed: Literal["none", "hflip", "d2", "d4"]


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
    allowed = load_params(args.params, "views", ViewsParams).allowed
    if params.overlap >= params.max_size:
        raise InputError(
            f"{args.params}: predict.overlap {params.overlap} must be less than predict.max_size "
            f"{params.max_size}"
        )

    network, description = load_model(args.model)
    heads = [head for head in description["heads"] if head != "embedding"]  # it serves training
    predict = _predictor(network, description, heads, params, allowed)
    images = ImageArchive(args.prepared / "images.zip")
    with new_folder(args.probabilities) as folder:
        for split, table in _tables(args, description).items():
            rows = tqdm(table.itertuples(), f"predict {split}", total=len(table), unit="image")
            _write(folder, split, heads, table["name"].tolist(), _predict(predict, images, rows))
            print(f"{len(table)} {split} maps -> {args.probabilities / split}.zip")
        (folder / "maps.json").write_text(json.dumps({"heads": heads}) + "\n")


def _predictor(network, description: dict, heads: list[str], params: PredictParams, allowed: str):
    """Return the function of (image uint8 (H, W, 3), relative depth) that predicts all heads."""
    device, bf16 = choose_device(params.precision)
    network = network.to(device, memory_format=torch.channels_last)
    inputs = {key: description[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    settings = params.model_dump(exclude={"precision"})
    size = description["embedding_size"]
    settings["views"] = limited_views(params.views, allowed)

    def forward(images, depth):
        given = network_input(images, torch.full((len(images),), depth, device=device), **inputs)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = head_outputs(network(given), description["heads"], size)
        return {head: outputs[head] for head in heads}

    @torch.inference_mode()
    def predict(image, depth):
        if description["clahe"]:
            image = equalise(image, description["clahe"])
        return predict_image(
            partial(forward, depth=depth),
            torch.from_numpy(image.transpose(2, 0, 1).copy()).to(device),
            stride=stride(network),
            resize=description["resize"],
            **settings,
        )

    return predict


def _tables(args, description: dict) -> dict[str, pd.DataFrame]:
    """Return name and relative depth of the images of the left-out fold, of val and of test."""
    for path in (args.folds, args.prepared / "images.csv"):
        if not path.is_file():
            raise InputError(f"{path}: no such file; run the stage that writes it")
    folds = pd.read_csv(args.folds)
    table = pd.read_csv(args.prepared / "images.csv", keep_default_na=False, na_values=[""])
    left_out = set(folds.loc[folds["fold"] == args.fold, "name"])
    if not left_out:
        raise InputError(f"{args.folds}: has no image in fold {args.fold}")
    tables = {"oof": table[table["name"].isin(left_out)]}
    tables |= {split: table[table["split"] == split] for split in ("val", "test")}
    for split, rows in tables.items():
        depths = 0.0
        if "depth" in description["extra_channels"]:
            depths = image_numbers(rows, description["depth_column"], "model.depth_column")
            depths = relative_depths(depths, description["depth_range"])
        tables[split] = rows[["name"]].assign(depth=depths).sort_values("name")
    return tables


def _predict(predict, images: ImageArchive, rows: Iterable) -> Iterator[dict]:
    """Yield what is predicted for each image, maps as uint8 arrays."""
    for row in rows:
        prediction = predict(images.read(row.name, PHOTO), row.depth)
        empty = prediction.pop("empty", 0.0)
        if not all(one.isfinite().all() for one in prediction.values()) or math.isnan(empty):
            raise InputError(
                f"{row.name}: the network answers with no number; set predict.precision to "
                "float32, and if that does not help train again with a lower lr"
            )
        maps = {head: encode_probability(one.cpu().numpy()) for head, one in prediction.items()}
        yield maps | {"empty": empty}


def _write(folder: Path, split: str, heads: list[str], names: list[str], predictions) -> None:
    """Write the archives of one split; maps beside the mask wait in files for their turn."""
    with ExitStack() as stack:
        others = [head for head in heads if head not in ("mask", "empty")]
        files = {head: stack.enter_context(TemporaryFile(dir=folder)) for head in others}
        sizes = {head: [] for head in others}
        empty = []

        def masks():
            for name, prediction in zip(names, predictions, strict=True):
                empty.append(prediction["empty"])
                for head in others:
                    sizes[head].append(files[head].write(encode_png(prediction[head])))
                yield name, prediction["mask"]

        write_archive(folder / f"{split}.zip", masks())
        for head in others:
            files[head].seek(0)
            maps = ((n, files[head].read(size)) for n, size in zip(names, sizes[head], strict=True))
            write_archive(folder / f"{split}_{head}.zip", maps)
    if "empty" in heads:
        table = pd.DataFrame({"name": names, "probability": empty})
        table.to_csv(folder / f"{split}_empty.csv", index=False, float_format="%.6f")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
