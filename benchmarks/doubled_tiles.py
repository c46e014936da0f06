"""Copy a COCO data set so that every training tile occurs twice, to make a leak visible.

    python -m benchmarks.doubled_tiles data/raw/accra_buildings data/raw/accra_doubled

The second copy is turned or mirrored, brightened or darkened a little and compressed anew, and its
record has no group, as in data sets whose duplicates nobody has told. With
`find_duplicates.distance: -1`
the folds part the copies; with the default they do not. val stays as it is and tells the truth.
docs/evaluation.md has the figures.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from src.base.files import new_folder
from src.formats.archive import PHOTO, decode_image

VIEWS = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
BRIGHTNESS = 0.05  # largest relative change
QUALITIES = (60, 95)  # of JPEG


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("doubled", type=Path)
    args = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    with new_folder(args.doubled) as folder:
        for part in ("val", "test_images"):
            if (args.source / part).is_dir():
                shutil.copytree(args.source / part, folder / part)
        (folder / "train" / "images").mkdir(parents=True)
        document = json.loads((args.source / "train" / "annotation.json").read_text())
        doubled = document | {"images": [], "annotations": []}
        for image in document["images"]:
            objects = [a for a in document["annotations"] if a["image_id"] == image["id"]]
            content = (args.source / "train" / "images" / image["file_name"]).read_bytes()
            pixels = decode_image(content, PHOTO, image["file_name"])
            turns, mirrored = VIEWS[rng.integers(len(VIEWS))]
            factor = 1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
            pixels = np.clip(np.rint(_view(pixels, turns, mirrored) * factor), 0, 255)
            setting = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITIES))]
            copied = cv2.imencode(".jpg", pixels.astype(np.uint8)[..., ::-1], setting)[1].tobytes()
            _add(doubled, folder, image, f"a_{image['file_name']}", content, objects)
            again = {key: value for key, value in image.items() if key != "group"}
            again |= {"height": pixels.shape[0], "width": pixels.shape[1]}
            turned = [a | _turned(a["segmentation"], image, turns, mirrored) for a in objects]
            _add(doubled, folder, again, f"b_{image['file_name']}", copied, turned)
        (folder / "train" / "annotation.json").write_text(json.dumps(doubled))
    print(f"{len(doubled['images'])} training tiles -> {args.doubled}")


def _view(array: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.rot90(array[:, ::-1] if mirrored else array, turns)


def _turned(segmentation, image: dict, turns: int, mirrored: bool) -> dict:
    """Return segmentation, area and box of an object in the turned image."""
    if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, image["height"], image["width"])
        if isinstance(segmentation, list):
            segmentation = coco_mask.merge(segmentation)
    mask = _view(coco_mask.decode(segmentation), turns, mirrored)
    rle = cast("Any", coco_mask.encode(np.asfortranarray(mask)))
    box = coco_mask.toBbox(rle).tolist()
    segmentation = {"size": list(mask.shape), "counts": rle["counts"].decode()}
    return {"segmentation": segmentation, "area": int(mask.sum()), "bbox": box}


def _add(document: dict, folder: Path, image: dict, name: str, content: bytes, objects) -> None:
    """Write the file of an image and append its record and its annotations, numbered anew."""
    (folder / "train" / "images" / name).write_bytes(content)
    image_id = len(document["images"]) + 1
    document["images"].append(image | {"id": image_id, "file_name": name})
    for one in objects:
        number = len(document["annotations"]) + 1
        document["annotations"].append(one | {"id": number, "image_id": image_id})


if __name__ == "__main__":
    main()
