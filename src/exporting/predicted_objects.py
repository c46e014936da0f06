"""Accepted objects (COCO results) by the images they are in."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple, cast

from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.base.files import read_json
from src.formats.prepared import read_images


class ImageObjects(NamedTuple):
    """An image and the objects predicted in it."""

    name: str
    height: int  # px
    width: int  # px
    rles: list[dict]  # compressed, best score first; of equals as the results have them
    scores: list[float]
    file_name: str = ""


def read_image_objects(results: Path, prepared: Path, split: str) -> list[ImageObjects]:
    """Read COCO results and put them beside the images of their split.

    Parameters
    ----------
    results : Path
        JSON list of {"image_id", "segmentation": compressed RLE, "score"}, and "accepted": false
        where the score does not reach the operating point. These are left out.
    prepared : Path
        The folder that prepare_masks writes.
    split : {"train", "val", "test"}
        Image ids count within one.

    Returns
    -------
    objects : list of ImageObjects
        Every image of the split, by name. Results without a pixel are left out.

    Raises
    ------
    InputError
        If a file or a column is absent, or a result is of an image that is not listed or has
        another size.
    """
    images = read_images(prepared, split)
    columns = (images[name].tolist() for name in ("name", "height", "width", "file_name"))
    listed = dict(zip(images["image_id"].tolist(), zip(*columns, strict=True), strict=True))
    found = defaultdict(list)
    for result in cast("list[dict]", read_json(results)):
        image_id, size = result["image_id"], result["segmentation"]["size"]
        if image_id not in listed:
            raise InputError(
                f"{results}: image_id {image_id} is none of the {split} images of {prepared}; "
                "run rescore again"
            )
        name, height, width, _ = listed[image_id]
        if size != [height, width]:
            raise InputError(
                f"{results}: an object of {name} has a mask of {size} px (height, width), "
                f"images.csv says {[height, width]}; run predict and what follows again"
            )
        if result.get("accepted", True) and coco_mask.area(result["segmentation"]):
            found[image_id].append((result["score"], result["segmentation"]))
    objects = []
    for image_id, (name, height, width, file_name) in listed.items():
        ranked = sorted(found[image_id], key=lambda each: -each[0])
        rles, scores = [rle for _, rle in ranked], [score for score, _ in ranked]
        objects.append(ImageObjects(name, height, width, rles, scores, file_name))
    return objects
