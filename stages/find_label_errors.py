"""Rank training images and objects by how much their labels and the predictions disagree.

    python -m stages.find_label_errors data/prepared data/folds.csv data/ensemble \
        data/predictions data/label_errors

The predictions are out-of-fold: of networks, scores and operating points that have not learnt from
the image. What they are sure of and the labels deny is a mistake of one of the two: look at it.

Reads  prepared/labels/train/truth.json
       folds.csv                  name,fold,repeat and others: images of trained folds are looked at
       ensemble/oof.zip           uint8 (H, W), probability * 255
       predictions/oof.json       COCO results; those with `accepted` false are left out
Writes objects.csv    image,object_id,kind,disagreement,detection,left,top,width,height: the most
                      first. kind is not_found (an object without a detection), not_annotated (a
                      detection without an object) or outline (theirs differ); object_id and
                      detection (place in oof.json) are -1 where there is none; the box is in px
       images.csv     image,suspects,largest,sum: images by their largest disagreement
       leave_out.txt  the names of those from label_errors.leave_out on, for dataset.leave_out
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder, read_json
from src.base.params import load_params
from src.base.running import run_stage
from src.folds.fold_table import SplitFoldsParams, first_trained_fold, read_folds
from src.formats.archive import ImageArchive, decode_image
from src.formats.prepared import read_truth
from src.formats.tables import write_table
from src.label_errors.disagreement import Suspect, image_suspects
from src.label_errors.listing import image_rows, suspect_rows
from src.label_errors.params import LabelErrorsParams
from src.maps.map_folder import open_maps, read_map_folder
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order

BYTES = 32  # of memory that a pixel takes at most, in an object as large as its image


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name in ("prepared", "folds", "ensemble", "predictions", "label_errors"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    folds = load_params(args.params, "split_folds", SplitFoldsParams).folds
    params = load_params(args.params, "label_errors", LabelErrorsParams)
    scheduler = load_params(args.params, "workers", WorkersParams).scheduler

    trained = set(first_trained_fold(read_folds(args.folds), folds).index)
    truth = read_truth(args.prepared, "train")
    images = sorted((i for i in truth["images"] if i["name"] in trained), key=lambda i: i["name"])
    maps = open_maps(read_map_folder(args.ensemble, "ensemble"), "oof", "mask")
    inputs = _inputs(images, truth["annotations"], args.predictions / "oof.json", maps)
    memory = BYTES * largest((image["height"], image["width"]) for image in images)
    results = in_order(
        _suspects, inputs, scheduler=scheduler, memory=memory, iou_found=params.iou_found
    )
    results = tqdm(results, total=len(images), desc="compare", unit="image")
    found = {image["name"]: result for image, result in zip(images, results, strict=True)}
    suspects = suspect_rows(found, params.least)
    listed = image_rows(suspects)
    named = listed["image"][listed["largest"] >= params.leave_out].tolist()
    with new_folder(args.label_errors) as folder:
        write_table(folder / "objects.csv", suspects.round(6))
        write_table(folder / "images.csv", listed.round(6))
        (folder / "leave_out.txt").write_text("".join(f"{name}\n" for name in named))
    objects = sum(map(len, found.values()))
    print(
        f"{len(suspects)} of {objects} objects and detections to look at, in {len(listed)} of "
        f"{len(images)} images; {len(named)} images named in leave_out.txt"
    )


def _inputs(
    images: list[dict], annotations: list[dict], path: Path, maps: ImageArchive
) -> Iterator[tuple[str, list[dict], list[Any], list[tuple[int, Any]], bytes]]:
    """Yield name, objects, crowds, accepted detections and the map as stored of each image."""
    known = {image["id"] for image in images}
    objects: defaultdict[int, list[dict]] = defaultdict(list)
    crowds: defaultdict[int, list[Any]] = defaultdict(list)
    for one in annotations:
        if one["iscrowd"]:
            crowds[one["image_id"]].append(one["segmentation"])
        else:
            objects[one["image_id"]].append(one)
    detections: defaultdict[int, list[tuple[int, Any]]] = defaultdict(list)
    for position, one in enumerate(cast("list[dict]", read_json(path))):
        if one["image_id"] not in known:
            raise InputError(
                f"{path}: image_id {one['image_id']} is of no trained fold; run rescore again"
            )
        if one.get("accepted", True):
            detections[one["image_id"]].append((position, one["segmentation"]))
    for image in images:
        number, stored = image["id"], maps.read_bytes(image["name"])
        yield image["name"], objects[number], crowds[number], detections[number], stored


def _suspects(
    name: str,
    objects: list[dict],
    crowds: list[Any],
    detections: list[tuple[int, Any]],
    stored: bytes,
    *,
    iou_found: float,
) -> list[Suspect]:
    probability = decode_image(stored, cv2.IMREAD_UNCHANGED, name)
    try:
        return image_suspects(objects, crowds, detections, probability, iou_found)
    except ValueError as error:
        raise InputError(f"{name}: {error}; run ensemble and what follows again") from None


if __name__ == "__main__":
    run_stage(main)
