"""A prepared data set without pixels, for stages that read its tables and truth alone."""

import json

from src.formats.prepared import IMAGE_TYPES, LABELLED
from tests.image_tables import write_image_tables

CATEGORY = {"id": 1, "name": "thing"}
SIZE = {"height": 1, "width": 1}


def write_prepared(folder, images=(), annotations=(), *, category=CATEGORY):
    """Write images.csv and truth.json of all splits.

    Images are records of COCO by "name", which begins with their split, or of images.csv (then
    "image_id" for "id"); annotations are those of COCO and tell their "split".
    """
    write_image_tables(
        folder,
        [
            SIZE
            | ({"image_id": one["id"]} if "id" in one else {})
            | {key: value for key, value in one.items() if key in IMAGE_TYPES}
            for one in images
        ],
    )
    for split in LABELLED:
        of_split = [SIZE | one for one in images if one["name"].startswith(f"{split}/")]
        truth = {
            "categories": [category],
            "images": [{"id": one.get("image_id")} | one for one in of_split],
            "annotations": [
                {key: value for key, value in one.items() if key != "split"}
                for one in annotations
                if one["split"] == split
            ],
        }
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        (folder / "labels" / split / "truth.json").write_text(json.dumps(truth))
