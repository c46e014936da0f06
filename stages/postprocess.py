"""Turn probability maps into candidate objects.

    python -m stages.postprocess data/ensemble data/candidates

Hulls of uncertain regions (hull_*) change what is an object, not the probabilities it is given.

Reads  ensemble/{oof,val,test}.zip        uint8 (H, W): probability * 255
Writes candidates/{oof,val,test}.parquet  one row per object: name, height, width, counts (RLE),
                                          area, bbox_{x,y,width,height} in pixels,
                                          {mean,max}_probability in [0, 1]
"""

import argparse
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from pydantic import Field
from tqdm import tqdm

from src.archive import ImageArchive, decode_image
from src.errors import InputError
from src.hulls import hull_uncertain
from src.new_folder import new_folder
from src.objects import label_objects, object_probabilities
from src.params import Params, load_params
from src.rle import encode_instances

COLUMNS = {
    "name": str,
    "height": int,
    "width": int,
    "counts": str,
    "area": int,
    "bbox_x": int,
    "bbox_y": int,
    "bbox_width": int,
    "bbox_height": int,
    "mean_probability": float,
    "max_probability": float,
}


class PostprocessParams(Params):
    threshold: float = Field(gt=0, lt=1)
    connectivity: Literal[4, 8]
    max_hole: int = Field(ge=0)
    min_area: int = Field(ge=0)
    dilate: int = Field(ge=0)
    hull_low: float = Field(ge=0, le=1)
    hull_high: float = Field(ge=0, le=1)
    hull_rows: float = Field(ge=0, le=1)
    hull_min_area: float = Field(ge=0)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensemble", type=Path)
    parser.add_argument("candidates", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "postprocess", PostprocessParams)

    if params.hull_high and params.hull_low > params.hull_high:
        raise InputError(
            f"{args.params}: postprocess.hull_low {params.hull_low} is above postprocess.hull_high "
            f"{params.hull_high}; give a range, or set hull_high to 0 to switch the rule off"
        )

    with new_folder(args.candidates) as folder:
        for split in ("oof", "val", "test"):
            maps = ImageArchive(args.ensemble / f"{split}.zip")
            tables = Parallel(n_jobs=-1, return_as="generator")(
                delayed(_candidates)(name, maps.read_bytes(name), params) for name in maps.names
            )
            tables = list(tqdm(tables, split, total=len(maps.names), unit="image"))
            empty = pd.DataFrame(columns=list(COLUMNS))
            candidates = pd.concat(tables, ignore_index=True) if tables else empty
            candidates.astype(COLUMNS).to_parquet(folder / f"{split}.parquet", index=False)
            print(f"{len(candidates)} candidates in {len(maps.names)} {split} images")


def _candidates(name: str, encoded: bytes, params: PostprocessParams) -> pd.DataFrame:
    probability = decode_image(encoded, cv2.IMREAD_UNCHANGED, name)
    instances = label_objects(
        _with_hulls(probability, params),
        threshold=params.threshold,
        connectivity=params.connectivity,
        max_hole=params.max_hole,
        min_area=params.min_area,
        dilate=params.dilate,
    )
    objects = encode_instances(instances)
    mean, largest = object_probabilities(probability, instances, len(objects.rles))
    height, width = probability.shape
    columns = [[name] * len(objects.rles), height, width, [rle["counts"] for rle in objects.rles]]
    columns += [objects.areas, *objects.boxes.T, mean, largest]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _with_hulls(probability: np.ndarray, params: PostprocessParams) -> np.ndarray:
    if not params.hull_high:
        return probability
    return hull_uncertain(
        probability,
        low=params.hull_low,
        high=params.hull_high,
        rows=params.hull_rows,
        min_area=params.hull_min_area,
    )


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
