"""Predicted objects (COCO results) by the images they are in."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.base.files import read_json
from src.formats.rle import decode

COLUMNS = ("name", "split", "image_id", "height", "width")


class ImageObjects(NamedTuple):
    """An image and the objects predicted in it."""

    name: str
    height: int  # px
    width: int  # px
    rles: list[dict]  # compressed, best score first; of equals as the results have them
    scores: list[float]


def read_image_objects(results: Path, images: Path, split: str) -> list[ImageObjects]:
    """Read COCO results and put them beside the images of their split.

    Parameters
    ----------
    results : Path
        JSON list of {"image_id", "segmentation": compressed RLE, "score"}.
    images : Path
        images.csv of prepare_masks.
    split : {"train", "val", "test"}
        Image ids count within one.

    Returns
    -------
    objects : list of ImageObjects
        Every image of the split, in the order of images.csv. Results without a pixel are left out.

    Raises
    ------
    InputError
        If a file or a column is absent, or a result is of an image that is not listed or has
        another size.
    """
    listed = _read_images(images, split)
    found = defaultdict(list)
    for result in read_json(results):
        image_id, size = result["image_id"], result["segmentation"]["size"]
        if image_id not in listed:
            raise InputError(
                f"{results}: image_id {image_id} is none of the {split} images of {images}; run "
                "rescore again"
            )
        name, height, width = listed[image_id]
        if size != [height, width]:
            raise InputError(
                f"{results}: an object of {name} has a mask of {size} px (height, width), {images} "
                f"says {[height, width]}; run predict and what follows again"
            )
        if coco_mask.area(result["segmentation"]):
            found[image_id].append((result["score"], result["segmentation"]))
    objects = []
    for image_id, (name, height, width) in listed.items():
        ranked = sorted(found[image_id], key=lambda each: -each[0])
        rles, scores = [rle for _, rle in ranked], [score for score, _ in ranked]
        objects.append(ImageObjects(name, height, width, rles, scores))
    return objects


def crop_mask(rle: dict) -> tuple[np.ndarray, int, int]:
    """Decode an object within its box.

    Parameters
    ----------
    rle : dict
        Compressed, {"size": [H, W], "counts": str}.

    Returns
    -------
    mask : ndarray of bool, shape (h, w)
        (0, 0) of an object without pixels.
    x, y : int
        Column and row of its upper left pixel in the image.
    """
    x, y, width, height = coco_mask.toBbox(rle).astype(int).tolist()
    return np.ascontiguousarray(decode(rle)[y : y + height, x : x + width]), x, y


def _read_images(path: Path, split: str) -> dict[int, tuple[str, int, int]]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run prepare_masks")
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        absent = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if absent:
            raise InputError(f"{path}: no column '{absent[0]}'; run prepare_masks again")
        return {
            int(row["image_id"]): (row["name"], int(row["height"]), int(row["width"]))
            for row in table
            if row["split"] == split
        }
