"""A prepared data set without pixels, for stages that read its tables and truth alone."""

import json

import pandas as pd

from src.formats.prepared import IMAGE_TYPES, LABELLED, SPLITS

CATEGORY = {"id": 1, "name": "thing"}
SIZE = {"height": 1, "width": 1}


def write_prepared(folder, images=(), annotations=(), *, category=CATEGORY):
    """Write images.csv and truth.json of all splits.

    Images are records of COCO by "name", which begins with their split, or of images.csv (then
    "image_id" for "id"); annotations are those of COCO and tell their "split".
    """
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
        of_split = [SIZE | one for one in images if one["name"].startswith(f"{split}/")]
        rows = [
            dict.fromkeys(IMAGE_TYPES, "")
            | {"split": split, "image_id": one.get("id"), "group": one["name"]}
            | {key: value for key, value in one.items() if key in IMAGE_TYPES}
            for one in of_split
        ]
        table = pd.DataFrame(rows, columns=list(IMAGE_TYPES))
        table.to_csv(folder / split / "images.csv", index=False)
        if split in LABELLED:
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
