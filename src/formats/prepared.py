"""The prepared data set as stages share it: a folder for each split, read by one function a kind.

    prepared/train, val, test/images.zip         uint8 RGB (H, W, 3), PNG or JPEG
                             /images.csv         a row for each image, by name
                             /geotransforms.csv  where images lie on the map
    prepared/train, val/instances.zip            uint16 (H, W)
                       /truth.json               COCO ground truth
    prepared/rejected.csv, warnings.csv          of all splits

A split that the data set does not have is there, and holds no image. The name of an image is
"<split>/<file name without extension>" everywhere, so that it tells its split.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.base.files import read_json
from src.formats.archive import PHOTO, ImageArchive
from src.formats.image_columns import IMAGE_TYPES
from src.formats.tables import read_table

SPLITS = ("train", "val", "test")
LABELLED = ("train", "val")  # those that have truth
STAGE = "prepare_masks"
TRUTH_KEYS = ("categories", "images", "annotations")


def read_images(prepared: Path, *splits: str) -> pd.DataFrame:
    """Read what is known of the images of some splits.

    Parameters
    ----------
    prepared : Path
        The folder that prepare_masks writes.
    *splits : {"train", "val", "test"}
        At least one.

    Returns
    -------
    images : DataFrame
        A row for each image, sorted by name. The columns of `IMAGE_TYPES`, `objects` and `ignored`
        being whole numbers where all images have them, and as text those of the metadata.

    Raises
    ------
    InputError
        If a table is absent or not as prepare_masks writes it, or an image is in a split that is
        not its own.
    """
    tables: list[pd.DataFrame] = []
    for split in splits:
        path = Path(prepared) / split / "images.csv"
        table = read_table(path, STAGE, IMAGE_TYPES)
        strange = table["name"][table["split"] != split]
        if len(strange):
            raise InputError(f"{path}: '{strange.iloc[0]}' is not of {split}; run {STAGE} again")
        tables.append(table)
    images = pd.concat(tables).sort_values("name", ignore_index=True)
    for column in ("objects", "ignored"):
        if images[column].notna().all():
            images[column] = images[column].astype(np.int64)
    return images


def read_truth(prepared: Path, split: str) -> dict[str, Any]:
    """Read the ground truth of a labelled split.

    Parameters
    ----------
    prepared : Path
        The folder that prepare_masks writes.
    split : {"train", "val"}

    Returns
    -------
    truth : dict
        "categories": [{"id", "name"}]; "images": of each id, name, file_name, height and width;
        "annotations": of each id, image_id, category_id, segmentation (compressed RLE), area, bbox
        and iscrowd. Without images where the data set lacks the split.

    Raises
    ------
    InputError
        If the file is absent or not such a document.
    """
    path = Path(prepared) / split / "truth.json"
    truth = read_json(path)
    if not isinstance(truth, dict) or not all(
        isinstance(truth.get(key), list) for key in TRUTH_KEYS
    ):
        raise InputError(f"{path}: not a ground truth in COCO's form; run {STAGE} again")
    return truth


def open_photos(prepared: Path, *splits: str) -> dict[str, ImageArchive]:
    """Open the images of some splits, for `read_photo`. Raises InputError if one is absent."""
    return {split: ImageArchive(Path(prepared) / split / "images.zip") for split in splits}


def read_photo(photos: dict[str, ImageArchive], name: str) -> np.ndarray:
    """Return the image of a name as uint8 RGB, shape (H, W, 3).

    Raises
    ------
    InputError
        If it is of a split that is not open, or its archive does not hold it.
    """
    split = name.split("/")[0]
    if split not in photos:
        raise InputError(f"'{name}' is of none of the splits {', '.join(photos)}; run {STAGE}")
    return photos[split].read(name, PHOTO)
