"""A dataset of images and COCO annotations on disk: found, checked, brought into one form."""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from src.archive import encode_png, is_inside
from src.errors import InputError
from src.instances import MAX_OBJECTS, Region, draw_instances
from src.labels import IGNORE
from src.photos import read_photo
from src.segmentations import compress, read_segmentation

UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # cannot stand in a table or an archive


class ImageRecord(NamedTuple):
    """One image that the dataset lists; whether the file is intact is not known yet."""

    name: str  # "<split>/<file name without extension>"
    split: str  # train, val or test
    image_id: int
    file_name: str  # as listed
    path: Path
    group: str  # as listed, or the name
    size: tuple[int, int] | None  # (H, W) as listed; None in test
    annotations: list[dict]  # of the category, by id; see `read_dataset`; empty in test


class PreparedImage(NamedTuple):
    """What `prepare_image` makes of one image; the last six are None or empty in test."""

    height: int  # px
    width: int  # px
    objects: int | None  # labels in the label map
    ignored: int | None  # crowds and edge objects in it
    coverage: float | None  # object pixels / pixels
    instances: bytes  # the label map as uint16 PNG; see `draw_instances`
    truth: list[dict]  # COCO annotations of all objects that have a pixel, whole
    losses: dict[str, int]  # objects that the label map does not show, by cause


class CocoDataset(NamedTuple):
    """What `read_dataset` found."""

    records: list[ImageRecord]  # sorted by name
    category: dict  # {"id", "name"}
    unlisted: int  # files in the labelled image folders that no annotation file lists


def read_dataset(root: Path, category_id: int) -> CocoDataset:
    """Find the splits of a dataset in the CrowdAI layout and check their annotation files.

    `train/images/` and `train/annotation.json` must be there, `val/` likewise if there is such
    a folder; `test_images/` may hold unlabelled images, numbered 1..N by sorted file name. Image
    files are not opened and segmentations not looked at.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    category_id : int
        Only annotations of this category are kept.

    Returns
    -------
    dataset : CocoDataset
        Each annotation has the keys id, truth_id (the same, but for an id of 0 the first free
        one: COCO's evaluation takes an object with id 0 for none), iscrowd (0 or 1), area (None
        where no positive number is given) and segmentation (unchecked; None where absent).

    Raises
    ------
    InputError
        If a folder or file is absent or empty, an annotation file is not JSON of COCO's shape,
        ids or names clash, an annotation's image does not exist, a file name leaves its folder,
        a split has annotations but none of the category, or train has none at all.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    records, category, unlisted = _read_labelled(root, "train", category_id)
    if not any(record.annotations for record in records):
        raise InputError(
            f"{root / 'train/annotation.json'}: no annotations, so nothing could be learnt; "
            "annotate at least one object"
        )
    if (root / "val").is_dir():
        val_records, _, val_unlisted = _read_labelled(root, "val", category_id)
        records, unlisted = records + val_records, unlisted + val_unlisted
    if (root / "test_images").is_dir():
        records += _read_unlabelled(root / "test_images")
    return CocoDataset(sorted(records), category, unlisted)


def prepare_image(record: ImageRecord, category_id: int, **painting) -> PreparedImage | str:
    """Read one image, check its file and its annotations and paint its label map.

    Parameters
    ----------
    record : ImageRecord
        As `read_dataset` lists it.
    category_id : int
        Stands in the truth.
    **painting
        Keyword arguments of `draw_instances`.

    Returns
    -------
    prepared : PreparedImage or str
        The reason in words if the image must be rejected: its file is not intact, is of another
        size than listed, or one of its annotations cannot be read.
    """
    try:
        _, (height, width) = read_photo(record.path, record.size)
        regions = [_region(annotation, height, width) for annotation in record.annotations]
    except InputError as error:
        return str(error)
    if record.split == "test":
        return PreparedImage(height, width, None, None, None, b"", [], {})
    crowd = [annotation["iscrowd"] == 1 for annotation in record.annotations]
    drawn = draw_instances(regions, crowd, height, width, **painting)
    covered = np.count_nonzero((drawn.instances > 0) & (drawn.instances < IGNORE))
    truth = [
        {
            "id": annotation["truth_id"],
            "image_id": record.image_id,
            "category_id": category_id,
            "iscrowd": annotation["iscrowd"],
            "segmentation": compress(region, height, width),
            "area": annotation["area"] or region.area,
            "bbox": region.bbox,
        }
        for annotation, region in zip(record.annotations, regions, strict=True)
        if region.area
    ]
    return PreparedImage(
        height=height,
        width=width,
        objects=drawn.objects,
        ignored=drawn.ignored,
        coverage=round(covered / (height * width), 6),
        instances=encode_png(drawn.instances),
        truth=truth,
        losses={"hidden under others": drawn.hidden, "without a pixel": len(regions) - len(truth)},
    )


def write_truth(
    path: Path, images: Iterable[dict], category: dict, annotations: Iterable[str]
) -> None:
    """Write a COCO ground truth file, one annotation a line, without holding them in memory.

    Parameters
    ----------
    path : Path
        Overwritten.
    images : iterable of dict
        With the keys image_id, name, file_name, height and width; others are left out.
    category : dict
        {"id", "name"}.
    annotations : iterable of str
        Each the JSON of one, with or without a line end.
    """
    listed = [
        {"id": image["image_id"], **{k: image[k] for k in ("name", "file_name", "height", "width")}}
        for image in images
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{"categories": {json.dumps([category])},\n"images": {json.dumps(listed)},\n')
        file.write('"annotations": [')
        for number, annotation in enumerate(annotations):
            file.write((",\n" if number else "\n") + annotation.rstrip("\n"))
        file.write("\n]}\n")


def _region(annotation: dict, height: int, width: int) -> Region:
    try:
        return read_segmentation(annotation["segmentation"], height, width)
    except InputError as error:
        raise InputError(f"annotation {annotation['id']}: {error}") from None


def _read_labelled(root: Path, split: str, category_id: int) -> tuple[list[ImageRecord], dict, int]:
    """Return the records of train or val, the category and how many files are unlisted."""
    folder, path = root / split / "images", root / split / "annotation.json"
    present = _image_files(folder)
    document = _read_document(path)
    records = [
        _image_record(image, f"{path}: images[{position}]", split, folder)
        for position, image in enumerate(document["images"])
    ]
    if not records:
        raise InputError(f"{path}: lists no images; list every image of {folder}")
    _check_unique(records, path)
    by_image = _annotations_by_image(document["annotations"], records, path, category_id)
    records = [record._replace(annotations=by_image[record.image_id]) for record in records]
    for record in records:
        if len(record.annotations) > MAX_OBJECTS:
            raise InputError(
                f"{path}: {len(record.annotations)} objects in image '{record.file_name}', more "
                f"than {MAX_OBJECTS}; cut it into tiles"
            )
    listed = {PurePosixPath(record.file_name).as_posix() for record in records}
    return records, _category(document, path, category_id), len(present - listed)


def _read_unlabelled(folder: Path) -> list[ImageRecord]:
    file_names = sorted(name for name in _image_files(folder) if "/" not in name)
    if not file_names:
        raise InputError(f"{folder}: holds no images; put them there or remove the folder")
    records = []
    for image_id, file_name in enumerate(file_names, start=1):
        _check_file_name(file_name, str(folder))
        name = _name("test", file_name)
        path = folder / file_name
        records.append(ImageRecord(name, "test", image_id, file_name, path, name, None, []))
    _check_unique(records, folder)
    return records


def _image_files(folder: Path) -> set[str]:
    """Relative paths of all files in a folder but the hidden ones."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; see docs/data.md for the layout")
    found = set()
    for parent, _, file_names in os.walk(folder, followlinks=True):
        inside = Path(parent).relative_to(folder)
        found |= {(inside / name).as_posix() for name in file_names if not name.startswith(".")}
    if not found:
        raise InputError(f"{folder}: holds no images; put the images there")
    return found


def _read_document(path: Path) -> dict:
    """Return the JSON of an annotation file, sure to have the two lists of dicts it needs."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; see docs/data.md for the layout")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); write it again") from None
    for key in ("images", "annotations"):
        entries = document.get(key) if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise InputError(f"{path}: no list '{key}', so not COCO's format; see docs/data.md")
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise InputError(
                    f"{path}: {key}[{position}] is {entry!r:.40}, not an object with keys; "
                    "see docs/data.md"
                )
    return document


def _image_record(image: dict, where: str, split: str, folder: Path) -> ImageRecord:
    image_id = _whole_number(image, "id", where)
    size = _whole_number(image, "height", where, 1), _whole_number(image, "width", where, 1)
    file_name, group = image.get("file_name"), image.get("group")
    if not isinstance(file_name, str):
        raise InputError(
            f"{where}.file_name is {file_name!r:.40}, not a text; give the file's name"
        )
    _check_file_name(file_name, f"{where}.file_name")
    if group is not None and (type(group) not in (int, str) or UNPRINTABLE.search(str(group))):
        raise InputError(f"{where}.group is {group!r:.40}, neither a text nor a whole number")
    name = _name(split, file_name)
    group = name if group in (None, "") else str(group)
    path = folder / file_name
    return ImageRecord(name, split, image_id, file_name, path, group, size, [])


def _name(split: str, file_name: str) -> str:
    return f"{split}/{PurePosixPath(file_name).with_suffix('')}"


def _check_file_name(file_name: str, where: str) -> None:
    hidden = PurePosixPath(file_name).name.startswith(".")
    if hidden or not is_inside(file_name) or UNPRINTABLE.search(file_name):
        raise InputError(
            f"{where} {file_name!a:.80}: a file name must be printable and stay inside its "
            "folder, without '..', '\\' or a leading '/' or '.'; rename the file"
        )


def _whole_number(entry: dict, key: str, where: str, least: int = 0) -> int:
    if key not in entry:
        raise InputError(f"{where} has no '{key}'; see docs/data.md for the keys it needs")
    value = entry[key]
    if type(value) is not int or not least <= value < 2**63:
        raise InputError(
            f"{where}.{key} is {value!r:.40}, not a whole number from {least} up; correct it"
        )
    return value


def _check_unique(records: list[ImageRecord], path: Path) -> None:
    ids, names = {}, {}
    for record in records:
        twin = ids.setdefault(record.image_id, record)
        if twin is not record:
            raise InputError(
                f"{path}: two images with id {record.image_id}, '{twin.file_name}' and "
                f"'{record.file_name}'; give each its own"
            )
        twin = names.setdefault(record.name, record)
        if twin is not record:
            raise InputError(
                f"{path}: '{twin.file_name}' and '{record.file_name}' are one name, "
                f"'{record.name}', without the extension; rename or remove one"
            )


def _annotations_by_image(
    annotations: list[dict], records: list[ImageRecord], path: Path, category_id: int
) -> dict[int, list[dict]]:
    """Annotations of the category by image id, each list by annotation id."""
    image_ids = {record.image_id for record in records}
    by_image, categories, seen = defaultdict(list), Counter(), set()
    for position, annotation in enumerate(annotations):
        where = f"{path}: annotations[{position}]"
        annotation_id = _whole_number(annotation, "id", where)
        image_id = _whole_number(annotation, "image_id", where)
        category = _whole_number(annotation, "category_id", where)
        if annotation_id in seen:
            raise InputError(f"{path}: two annotations with id {annotation_id}; give each its own")
        seen.add(annotation_id)
        if image_id not in image_ids:
            raise InputError(
                f"{path}: annotation {annotation_id} is of image {image_id}, which is not in "
                "'images'; list the image or remove the annotation"
            )
        categories[category] += 1
        if category == category_id:
            by_image[image_id].append(_object(annotation, where))
    if categories and category_id not in categories:
        occurring = ", ".join(f"{key} ({categories[key]} times)" for key in sorted(categories))
        raise InputError(
            f"{path}: no annotation of category {category_id}; set dataset.category_id to one "
            f"that occurs: {occurring}"
        )
    spare = max(seen, default=0) + 1
    for objects in by_image.values():
        objects.sort(key=lambda entry: entry["id"])
        for entry in objects:
            entry["truth_id"] = entry["id"] or spare
    return by_image


def _object(annotation: dict, where: str) -> dict:
    crowd, area = annotation.get("iscrowd", 0), annotation.get("area")
    if type(crowd) not in (int, bool) or crowd not in (0, 1):
        raise InputError(f"{where}.iscrowd is {crowd!r:.40}, neither 0 nor 1; correct it")
    positive = type(area) in (int, float) and 0 < area < float("inf")
    return {
        "id": annotation["id"],
        "iscrowd": int(crowd),
        "area": area if positive else None,  # None: to be counted
        "segmentation": annotation.get("segmentation"),
    }


def _category(document: dict, path: Path, category_id: int) -> dict:
    """Return the category's id and name; its id serves as name where none is given."""
    categories = document.get("categories", [])
    if not isinstance(categories, list) or not all(isinstance(c, dict) for c in categories):
        raise InputError(f"{path}: 'categories' is not a list of objects; see docs/data.md")
    names = {str(c.get("id")): c["name"] for c in categories if isinstance(c.get("name"), str)}
    return {"id": category_id, "name": names.get(str(category_id), str(category_id))}
