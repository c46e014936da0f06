"""The prepared data set as stages share it, read by one function for each kind of file.

    prepared/train, val, test/images.zip               uint8 RGB (H, W, 3), PNG or JPEG; or bands
                              images.csv               a row for each image, by name
    prepared/labels/train, val/instances.zip           uint16 (H, W)
                               truth.json              COCO ground truth
    prepared/geotransforms/train.csv, val.csv, test.csv  where images lie on the map
    prepared/rejected.csv, warnings.csv                of all splits
    prepared/recognised.json                           what was found where params say auto

A stage declares what it reads of it and no more. A split that the data set does not have is there,
and holds no image. The name of an image is "<split>/<file name without extension>" everywhere, so
that it tells its split.
"""

from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd

from src.base.errors import InputError
from src.base.files import read_json
from src.formats.archive import ImageArchive
from src.formats.stored_bands import decode_photo, decode_picture
from src.formats.tables import read_table

SPLITS = ("train", "val", "test")
LABELLED = ("train", "val")  # those that have truth
STAGE = "prepare_masks"
RECOGNISED = "recognised.json"
TRUTH_KEYS = ("categories", "images", "annotations")
IMAGE_TYPES = {  # of images.csv, before the metadata
    "name": str,
    "split": str,
    "image_id": int,
    "file_name": str,
    "height": int,  # px
    "width": int,  # px
    "objects": float,  # labels in the label map; this and the next two are empty in test
    "ignored": float,  # regions
    "coverage": float,  # share of the pixels, in [0, 1]
    "group": str,
}
_OF_FOLDS = ("copies", "copy", "test_likeness", "in_train", "left_out", "use")
LATER_COLUMNS = (*_OF_FOLDS, "relative_depth", "image_weight")  # the last two by training


class Rle(TypedDict):
    """A mask of the size of its image, in COCO's compressed run lengths."""

    size: list[int]  # height, width, px
    counts: str | bytes  # bytes where pycocotools has just made it


class ImageRecord(TypedDict):
    """An image in truth.json."""

    id: int
    name: str
    file_name: str
    height: int  # px
    width: int  # px


class Annotation(TypedDict):
    """An object, or a region that is not judged, in truth.json."""

    id: int
    image_id: int
    category_id: int
    segmentation: Rle
    area: float  # px
    bbox: list[float]  # XYWH, px
    iscrowd: int  # 1 of a region, which detections may find or not


class Recognised(TypedDict):
    """A value found for a param that says auto, in recognised.json."""

    key: str  # of params.yaml, dotted
    value: str | int | float
    reason: str


class Category(TypedDict):
    """What objects are, in truth.json."""

    id: int
    name: str


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
        "categories": list of Category, "images": list of ImageRecord, "annotations": list of
        Annotation. Without images where the data set lacks the split.

    Raises
    ------
    InputError
        If the file is absent or not such a document.
    """
    path = Path(prepared) / "labels" / split / "truth.json"
    truth = read_json(path)
    if not isinstance(truth, dict) or not all(
        isinstance(truth.get(key), list) for key in TRUTH_KEYS
    ):
        raise InputError(f"{path}: not a ground truth in COCO's form; run {STAGE} again")
    return truth


def read_recognised(prepared: Path) -> list[Recognised]:
    """Read what prepare_masks found where params.yaml says auto.

    Parameters
    ----------
    prepared : Path
        The folder that prepare_masks writes.

    Returns
    -------
    recognised : list of Recognised
        In the order in which it was found; empty where nothing said auto.

    Raises
    ------
    InputError
        If the file is absent or not such a list.
    """
    path = Path(prepared) / RECOGNISED
    found: Any = read_json(path)
    keys = Recognised.__annotations__.keys()
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and keys == cast("dict[str, Any]", one).keys()
        for one in cast("list[Any]", found)
    ):
        raise InputError(f"{path}: not a list of values found; run {STAGE} again")
    return cast("list[Recognised]", found)


def open_photos(prepared: Path, *splits: str) -> dict[str, ImageArchive]:
    """Open the images of some splits, for `read_photo`. Raises InputError if one is absent."""
    return {split: ImageArchive(Path(prepared) / split / "images.zip") for split in splits}


def archive_of(photos: dict[str, ImageArchive], name: str) -> ImageArchive:
    """Return the archive of the split that a name tells. Raises InputError if it is not open."""
    split = name.split("/")[0]
    if split not in photos:
        raise InputError(f"'{name}' is of none of the splits {', '.join(photos)}; run {STAGE}")
    return photos[split]


def read_photo(photos: dict[str, ImageArchive], name: str) -> np.ndarray:
    """Return the image of a name as networks see it.

    uint8 RGB (H, W, 3), or where `images.keep` or `images.bands` ask for it its bands (H, W, B),
    uint8 or uint16.

    Raises
    ------
    InputError
        If it is of a split that is not open, or its archive does not hold it.
    """
    archive = archive_of(photos, name)
    return decode_photo(archive.read_bytes(name), f"{archive.path}: {name}")


def read_picture(photos: dict[str, ImageArchive], name: str) -> np.ndarray:
    """Return the image of a name as eyes see it, uint8 RGB (H, W, 3); else as `read_photo`."""
    archive = archive_of(photos, name)
    return decode_picture(archive.read_bytes(name), f"{archive.path}: {name}")
