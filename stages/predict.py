"""Predict the probability maps of one network: its left-out fold, val and test.

    python -m stages.predict data/prepared data/folds.csv data/models/main/fold0 \
        data/probabilities/main/fold0 --fold 0

Reads  prepared/images.zip, prepared/images.csv, folds.csv, the model's folder
Writes oof.zip, val.zip, test.zip   <name>.png  uint8 (H, W): probability of the mask * 255
       <split>_<head>.zip           the same of the heads border, contact and boundary_distance
       <split>_embedding.zip        uint8 (H, W, 3): affinity * 255 of each pixel with its right
                                    and with its lower neighbour (0 in the last column, row), 0
       <split>_empty.csv            name,probability: that the image has no object
       <split>_view_spread.zip      uint8 (H, W): standard deviation of the probability of the mask
                                    over views and scales * 510, where there are several
       maps.json                    {"heads": [...], "spreads": ["view"] or []}: which there are
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

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import Params, load_params
from src.folds.fold_images import fed_depths, fold_images
from src.formats.allowed_views import limited_views
from src.formats.archive import PHOTO, ImageArchive, encode_png, write_archive
from src.formats.probability_maps import Merge, encode_probability, encode_spread
from src.networks.contrast import equalise
from src.networks.device import Precision, choose_device
from src.networks.heads import head_outputs
from src.networks.model import load_model, stride
from src.networks.network_input import network_input
from src.predicting.prediction import predict_image
from src.predicting.views import VIEWS


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
    params = params.model_copy(update={"views": limited_views(params.views, allowed)})
    if params.overlap >= params.max_size:
        raise InputError(
            f"{args.params}: predict.overlap {params.overlap} must be less than predict.max_size "
            f"{params.max_size}"
        )

    network, description = load_model(args.model)
    heads = description["heads"]
    if "embedding" in heads:
        _refuse_embedding(args, description, params)
    spreads = ["view"] if len(VIEWS[params.views]) * len(params.scales) > 1 else []
    maps = [head for head in heads if head != "empty"] + [f"{one}_spread" for one in spreads]
    predict = _predictor(network, description, params)
    images = ImageArchive(args.prepared / "images.zip")
    with new_folder(args.probabilities) as folder:
        for split, table in _tables(args, description).items():
            rows = tqdm(table.itertuples(), f"predict {split}", total=len(table), unit="image")
            names, predictions = table["name"].tolist(), _predict(predict, images, rows)
            empty = _write(folder, split, maps, names, predictions)
            if "empty" in heads:
                table = pd.DataFrame({"name": names, "probability": empty})
                table.to_csv(folder / f"{split}_empty.csv", index=False, float_format="%.6f")
            print(f"{len(table)} {split} maps -> {args.probabilities / split}.zip")
        (folder / "maps.json").write_text(json.dumps({"heads": heads, "spreads": spreads}) + "\n")


def _refuse_embedding(args, description: dict, params: PredictParams) -> None:
    """Answer what affinities cannot be had from with one sentence."""
    if "embedding_loss" not in description:
        raise InputError(f"{args.model / 'model.json'}: has no embedding_loss; train again")
    if params.overlap == 0:
        raise InputError(
            f"{args.params}: predict.overlap 0 leaves pixels on both sides of a window's edge that "
            "the head embedding never compares; set it to 1 or more"
        )


def _predictor(network, description: dict, params: PredictParams):
    """Return the function of (image uint8 (H, W, 3), relative depth) that predicts all heads."""
    device, bf16 = choose_device(params.precision)
    network = network.to(device, memory_format=torch.channels_last)
    inputs = {key: description[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    settings = params.model_dump(exclude={"precision"})
    size = description["embedding_size"]

    def forward(images, depth):
        given = network_input(images, torch.full((len(images),), depth, device=device), **inputs)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return head_outputs(network(given), description["heads"], size)

    @torch.inference_mode()
    def predict(image, depth):
        if description["clahe"]:
            image = equalise(image, description["clahe"])
        return predict_image(
            partial(forward, depth=depth),
            torch.from_numpy(image.transpose(2, 0, 1).copy()).to(device),
            stride=stride(network),
            resize=description["resize"],
            embedding_loss=description.get("embedding_loss"),
            **settings,
        )

    return predict


def _tables(args, description: dict) -> dict[str, pd.DataFrame]:
    """Return name and relative depth of the images of the left-out fold, of val and of test."""
    table = fold_images(args.prepared / "images.csv", args.folds, args.fold)
    tables = {"oof": table[table["left_out"]]}
    tables |= {split: table[table["split"] == split] for split in ("val", "test")}
    return {
        split: rows[["name"]].assign(depth=fed_depths(rows, description))
        for split, rows in tables.items()
    }


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
        maps = {kind: _encoded(kind, one.cpu().numpy()) for kind, one in prediction.items()}
        yield maps | {"empty": empty}


def _encoded(kind: str, values: np.ndarray) -> np.ndarray:
    """Return the uint8 array that is stored of a map."""
    if kind == "view_spread":
        return encode_spread(values)
    if kind == "embedding":
        values = np.stack([*values, np.zeros_like(values[0])], axis=-1)
    return encode_probability(values)


def _write(folder: Path, split: str, kinds: list[str], names: list[str], predictions) -> list:
    """Write the archives of one split and return the probabilities that images are empty.

    Maps beside the mask wait in files for their turn.
    """
    with ExitStack() as stack:
        others = [kind for kind in kinds if kind != "mask"]
        files = {kind: stack.enter_context(TemporaryFile(dir=folder)) for kind in others}
        sizes = {kind: [] for kind in others}
        empty = []

        def masks():
            for name, prediction in zip(names, predictions, strict=True):
                empty.append(prediction["empty"])
                for kind in others:
                    sizes[kind].append(files[kind].write(encode_png(prediction[kind])))
                yield name, prediction["mask"]

        write_archive(folder / f"{split}.zip", masks())
        for kind in others:
            files[kind].seek(0)
            maps = ((n, files[kind].read(size)) for n, size in zip(names, sizes[kind], strict=True))
            write_archive(folder / f"{split}_{kind}.zip", maps)
    return empty


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
