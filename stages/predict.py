"""Predict the probability maps of one network: its left-out fold, val and test.

    python -m stages.predict data/prepared data/folds.csv data/models/main/fold0 \
        data/probabilities/main/fold0 --fold 0

Reads  prepared/{train,val,test}/images.zip and images.csv, folds.csv, the model's folder
Writes <split>.zip   of oof, val and test: uint8 (H, W), the probability of the mask * 255
       and the maps of further heads and of the spread over views and scales, where there are any,
       and maps.json, which lists them; see src/maps/map_folder.py
"""

import argparse
import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.folds.fold_images import fed_depths, fold_images
from src.formats.archive import ImageArchive
from src.formats.prepared import SPLITS, open_photos, read_photo
from src.maps.map_folder import SPREADS, write_list, write_split
from src.maps.probability_maps import encode_probability, encode_spread
from src.networks.contrast import equalise
from src.networks.device import choose_device
from src.networks.heads import head_outputs
from src.networks.model import load_model, stride
from src.networks.network_input import network_input
from src.predicting.allowed_views import ViewsParams, limited_views
from src.predicting.params import PredictParams
from src.predicting.prediction import has_spread, predict_image


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
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

    network, description = load_model(args.model)
    heads = description["heads"]
    if "embedding" in heads:
        _refuse_embedding(args, description, params)
    spreads = ["view"] if has_spread(params) else []
    kinds = heads + [SPREADS[spread] for spread in spreads]
    predict = _predictor(network, description, params)
    photos = open_photos(args.prepared, *SPLITS)
    with new_folder(args.probabilities) as folder:
        for split, table in _tables(args, description).items():
            rows = tqdm(table.itertuples(), f"predict {split}", total=len(table), unit="image")
            write_split(folder, split, kinds, _predict(predict, photos, rows))
            print(f"{len(table)} {split} maps -> {args.probabilities / split}.zip")
        write_list(folder, heads, spreads)


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
            params,
            stride=stride(network),
            resize=description["resize"],
            embedding_loss=description.get("embedding_loss", ""),
        )

    return predict


def _tables(args, description: dict) -> dict[str, pd.DataFrame]:
    """Return name and relative depth of the images of the left-out fold, of val and of test."""
    table = fold_images(args.prepared, args.folds, args.fold, SPLITS)
    tables = {"oof": table[table["left_out"]]}
    tables |= {split: table[table["split"] == split] for split in ("val", "test")}
    return {
        split: rows[["name"]].assign(depth=fed_depths(rows, description))
        for split, rows in tables.items()
    }


def _predict(
    predict, photos: dict[str, ImageArchive], rows: Iterable
) -> Iterator[tuple[str, dict]]:
    """Yield the name of each image and what is predicted for it, maps as uint8 arrays."""
    for row in rows:
        prediction = predict(read_photo(photos, row.name), row.depth)
        empty = prediction.pop("empty", 0.0)
        if not all(one.isfinite().all() for one in prediction.values()) or math.isnan(empty):
            raise InputError(
                f"{row.name}: the network answers with no number; set predict.precision to "
                "float32, and if that does not help train again with a lower lr"
            )
        maps = {kind: _encoded(kind, one.cpu().numpy()) for kind, one in prediction.items()}
        yield row.name, maps | {"empty": empty}


def _encoded(kind: str, values: np.ndarray) -> np.ndarray:
    """Return the uint8 array that is stored of a map."""
    if kind == "view_spread":
        return encode_spread(values)
    if kind == "embedding":
        values = np.stack([*values, np.zeros_like(values[0])], axis=-1)
    return encode_probability(values)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
