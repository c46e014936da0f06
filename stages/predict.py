"""Predict the probability maps of one network: its left-out fold, val and test.

    python -m stages.predict data/prepared data/folds.csv data/models/main/fold0 \
        data/probabilities/main/fold0 --fold 0

Reads  prepared/{train,val,test}/images.zip and images.csv, folds.csv, the model's folder
Writes <split>.zip   of oof, val and test: uint8 (H, W), the probability of the mask * 255
       and the maps of further heads and of the spread over views and scales, where there are any,
       and maps.json, which lists them; see src/maps/map_folder.py
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_params
from src.base.running import run_stage
from src.folds.fold_images import fed_depths, fold_images
from src.formats.archive import ImageArchive
from src.formats.prepared import SPLITS, open_photos, read_photo
from src.maps.map_folder import SPREADS, write_list, write_split
from src.networks.model import load_model
from src.predicting.allowed_views import ViewsParams, limited_views
from src.predicting.network_maps import Predict, image_predictor, stored_maps
from src.predicting.params import PredictParams
from src.predicting.prediction import has_spread


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
    predict = image_predictor(network, description, params)
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
    predict: Predict, photos: dict[str, ImageArchive], rows: Iterable
) -> Iterator[tuple[str, dict]]:
    """Yield the name of each image and what is predicted for it, maps as uint8 arrays."""
    for row in rows:
        yield row.name, stored_maps(predict(read_photo(photos, row.name), row.depth), row.name)


if __name__ == "__main__":
    run_stage(main)
