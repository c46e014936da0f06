"""A dataset of images and COCO annotations on disk: found, checked, its objects read."""

import json
from array import array
from collections import Counter
from pathlib import Path, PurePosixPath
from reprlib import repr as short  # of what may be nested deeply
from typing import NamedTuple

import numpy as np

from src.base.errors import InputError
from src.reading.image_folders import read_unlabelled
from src.reading.json_index import Element, index_lists
from src.reading.records import (
    UNPRINTABLE,
    Dataset,
    ImageRecord,
    SourceObject,
    as_on_disk,
    by_composed_name,
    check_file_name,
    check_unique,
    image_files,
    record_name,
)
from src.reading.regions import MAX_OBJECTS
from src.reading.segmentations import is_shrunk, leaves_image, read_segmentation, whole_parts

LISTS = ("images", "annotations", "categories")  # the last may be absent
SPANS = np.dtype((np.int64, 3))


class _Annotations(NamedTuple):
    """All annotations of a file in its order, as 64-bit numbers: 32 bytes for each."""

    ids: array
    image_ids: array
    offsets: array  # bytes
    lengths: array  # bytes; 0 for one of another category
    categories: Counter  # id -> annotations


class _Way(NamedTuple):
    """How annotations are taken."""

    crowd_objects: bool  # those with iscrowd 1 are objects
    centres: bool  # polygons go through the centres of pixels that are the object's


def find_records(
    root: Path,
    *,
    category_id: int | list[int] | None,
    crowd_objects: bool = False,
    centres: bool = False,
) -> Dataset:
    """Find the splits of a dataset in the CrowdAI layout and check their annotation files.

    `train/images/` and `train/annotation.json`, or one JSON file of another name, must be there,
    `val/` likewise if there is such a folder; `test_images/` may hold unlabelled images, numbered
    1..N by sorted file name. Image files are not opened and segmentations not looked at. Annotation
    files are read from end to end but not held: an annotation costs 32 bytes until all are read,
    and 24 bytes from then on.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    category_id : int or list of int, optional
        Only annotations of this category are kept, or of these, as of the first; None: of the one
        that train has annotations of.
    crowd_objects : bool
        Take annotations with iscrowd 1 for objects, as brushes of annotation tools write them.
    centres : bool
        Polygons go through the centres of the outermost pixels, as contours of OpenCV do.

    Returns
    -------
    dataset : Dataset
        The objects of a record are (annotation file, how they are taken, its first free id, spans),
        or () if the image has none. Spans are the bytes of an int64 array (N, 3): offset and length
        in bytes and id of each annotation of the category, by id.

    Raises
    ------
    InputError
        If a folder or file is absent or empty, an annotation file is not JSON of COCO's shape,
        ids or names clash, an annotation's image does not exist, a file name leaves its folder,
        a split has annotations but none of the category, or train has none at all, or has those of
        several and none is chosen.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    chosen = [category_id] if isinstance(category_id, int) else category_id
    way = _Way(crowd_objects, centres)
    records, category, unlisted, of_others = _read_labelled(root, "train", chosen, way)
    if not any(record.objects for record in records):
        raise InputError(
            f"{annotation_file(root / 'train')}: no annotations, so nothing could be learnt; "
            "annotate at least one object"
        )
    if (root / "val").is_dir():
        val = _read_labelled(root, "val", chosen or [category["id"]], way)
        val_records, _, val_unlisted, val_of_others = val
        of_others += val_of_others
        records, unlisted = records + val_records, unlisted + val_unlisted
    if (root / "test_images").is_dir():
        test_records, others = read_unlabelled(root / "test_images")
        records, unlisted = records + test_records, unlisted + others
    return Dataset(sorted(records, key=lambda record: record.name), category, unlisted, of_others)


def annotation_file(folder: Path) -> Path:
    """Return the file in the folder of a split that lists its images.

    Raises
    ------
    InputError
        If there is no JSON file, or there are several of which none is annotation.json.
    """
    path = folder / "annotation.json"
    others = sorted(p for p in folder.glob("*.json") if p.is_file() and p.name[0] != ".")
    if path.is_file() or not others:
        if not path.is_file():
            raise InputError(f"{path}: no such file; see docs/data.md for the layout")
        return path
    if len(others) > 1:
        raise InputError(
            f"{folder}: holds '{others[0].name}' and '{others[1].name}'; name the one that lists "
            "the images annotation.json"
        )
    return others[0]


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the annotations of one image from the annotation file.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` gives it.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    objects : list of SourceObject
        By id; the area is None where no positive number is given.

    Raises
    ------
    InputError
        With the reason alone, if a segmentation cannot be read or the annotation file is no
        longer the one that was indexed.
    """
    if not record.objects:
        return []
    path, way, spare, spans = record.objects
    objects = []
    try:
        with open(path, "rb") as file:
            for offset, length, annotation_id in np.frombuffer(spans, SPANS).tolist():
                file.seek(offset)
                annotation = _reread(file.read(length), annotation_id, record.image_id, path)
                objects.append(_object(annotation, annotation_id or spare, height, width, way))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    return objects


def _reread(content: bytes, annotation_id: int, image_id: int, path: Path) -> dict:
    """Return the annotation that stands at its place, or refuse another."""
    try:
        annotation = json.loads(content.decode("utf-8", "surrogatepass"))
        found = annotation["id"], annotation["image_id"]
    except (ValueError, LookupError, TypeError):
        found = None
    except RecursionError:  # a call deeper than when it was indexed
        raise InputError(f"annotation {annotation_id}: nested too deeply") from None
    if found != (annotation_id, image_id):
        raise InputError(
            f"{path} has changed since it was indexed: annotation {annotation_id} is not in its "
            "place; start again"
        )
    return annotation


def _object(annotation: dict, truth_id: int, height: int, width: int, way: _Way) -> SourceObject:
    area, segmentation = annotation.get("area", 0), annotation.get("segmentation")
    positive = type(area) in (int, float) and 0 < area < float("inf")
    shown = whole_parts(segmentation)
    try:
        region, repaired = read_segmentation(shown, height, width, centres=way.centres)
    except InputError as error:
        raise InputError(f"annotation {annotation['id']}: {error}") from None
    except RecursionError:
        raise InputError(f"annotation {annotation['id']}: nested too deeply") from None
    return SourceObject(
        id=annotation["id"],
        truth_id=truth_id,
        crowd=annotation.get("iscrowd", 0) == 1 and not way.crowd_objects,
        area=area if positive else None,
        region=region,
        repaired=repaired,
        incomplete=shown is not segmentation,
        shrunk=positive and not way.centres and is_shrunk(shown, area, region, height, width),
        outside=leaves_image(shown, height, width),
    )


def _read_labelled(
    root: Path, split: str, chosen: list[int] | None, way: _Way
) -> tuple[list[ImageRecord], dict, int, int]:
    """Return the records of train or val, the category, and two numbers.

    How many files are unlisted, and how many annotations of other categories.
    """
    folder = root / split / "images"
    present = image_files(folder)
    path = annotation_file(root / split)
    records, annotations, category = _read_document(path, split, folder, chosen)
    if not records:
        raise InputError(f"{path}: lists no images; list every image of {folder}")
    check_unique(records, path)
    decomposed = by_composed_name(present, folder)
    there = [as_on_disk(record.file_name, present, decomposed) for record in records]
    records = [
        record if name == record.file_name else record._replace(path=folder / name)
        for record, name in zip(records, there, strict=True)
    ]
    _check_category(annotations.categories, path, chosen or [category["id"]])
    records = _with_objects(records, annotations, path, way)
    of_others = annotations.lengths.count(0)
    listed = {PurePosixPath(name).as_posix() for name in there}
    return records, category, len(present - listed), of_others


def _read_document(
    path: Path, split: str, folder: Path, chosen: list[int] | None
) -> tuple[list[ImageRecord], _Annotations, dict]:
    """Read an annotation file once; its lists may come in any order.

    Without a category, that of the first annotation is the one: there must be no other.
    """
    records, found, names, given = [], set(), {}, chosen
    annotations = _Annotations(array("q"), array("q"), array("q"), array("q"), Counter())
    origin = str(path)
    for element in index_lists(path, LISTS):
        if element.place < 0:
            if isinstance(element.value, list):
                found.add(element.key)
            elif element.key == "categories":
                raise InputError(f"{path}: 'categories' is not a list of objects; see docs/data.md")
            continue
        where = f"{origin}: {element.key}[{element.place}]"
        if not isinstance(element.value, dict):
            if element.key == "categories":
                raise InputError(f"{path}: 'categories' is not a list of objects; see docs/data.md")
            raise InputError(
                f"{where} is {short(element.value):.40}, not an object with keys; see docs/data.md"
            )
        if element.key == "images":
            records.append(_image_record(element.value, where, split, folder))
        elif element.key == "annotations":
            _add(annotations, element, where, chosen)
            chosen = [element.value["category_id"]] if chosen is None else chosen
        elif isinstance(name := element.value.get("name"), str):
            names[str(element.value.get("id"))] = name
    for key in ("images", "annotations"):
        if key not in found:
            raise InputError(f"{path}: no list '{key}', so not COCO's format; see docs/data.md")
    if given is None and len(annotations.categories) > 1:
        raise InputError(_several(annotations.categories, names, path))
    known = chosen or [None]
    name = ", ".join(names.get(str(category_id), str(category_id)) for category_id in known)
    return records, annotations, {"id": known[0], "name": name}


def _several(categories: Counter, names: dict[str, str], path: Path) -> str:
    """Say which categories have annotations, the most frequent first."""
    shown = [
        f"{key} ('{names.get(str(key), key)!s:.40}', {count} times)"
        for key, count in categories.most_common()
    ]
    return (
        f"{path}: annotations of {len(shown)} categories, {', '.join(shown)}; set "
        "dataset.category_id to the one to find, or to a list of those that are one"
    )


def _image_record(image: dict, where: str, split: str, folder: Path) -> ImageRecord:
    image_id = _whole_number(image, "id", where)
    size = _whole_number(image, "height", where, 1), _whole_number(image, "width", where, 1)
    file_name, group = image.get("file_name"), image.get("group")
    if not isinstance(file_name, str):
        raise InputError(
            f"{where}.file_name is {short(file_name):.40}, not a text; give the file's name"
        )
    check_file_name(file_name, f"{where}.file_name")
    if group is not None and (type(group) not in (int, str) or UNPRINTABLE.search(str(group))):
        raise InputError(f"{where}.group is {short(group):.40}, neither a text nor a whole number")
    name = record_name(split, file_name)
    group = name if group in (None, "") else str(group)
    path = folder / file_name
    return ImageRecord(name, split, image_id, file_name, path, group, size, ())


def _whole_number(entry: dict, key: str, where: str, least: int = 0) -> int:
    if key not in entry:
        raise InputError(f"{where} has no '{key}'; see docs/data.md for the keys it needs")
    value = entry[key]
    if type(value) is not int or not least <= value < 2**63:
        raise InputError(
            f"{where}.{key} is {short(value):.40}, not a whole number from {least} up; correct it"
        )
    return value


def _add(annotations: _Annotations, element: Element, where: str, chosen: list[int] | None) -> None:
    annotation = element.value
    annotations.ids.append(_whole_number(annotation, "id", where))
    annotations.image_ids.append(_whole_number(annotation, "image_id", where))
    category = _whole_number(annotation, "category_id", where)
    crowd = annotation.get("iscrowd", 0)
    of_category = chosen is None or category in chosen
    if of_category and (type(crowd) not in (int, bool) or crowd not in (0, 1)):
        raise InputError(f"{where}.iscrowd is {short(crowd):.40}, neither 0 nor 1; correct it")
    annotations.categories[category] += 1
    annotations.offsets.append(element.offset)
    annotations.lengths.append(element.length if of_category else 0)


def _check_category(categories: Counter, path: Path, chosen: list[int]) -> None:
    if categories and not categories.keys() & set(chosen):
        occurring = ", ".join(f"{key} ({categories[key]} times)" for key in sorted(categories))
        raise InputError(
            f"{path}: no annotation of category {' or '.join(map(str, chosen))}; set "
            f"dataset.category_id to one that occurs: {occurring}"
        )


def _with_objects(
    records: list[ImageRecord], annotations: _Annotations, path: Path, way: _Way
) -> list[ImageRecord]:
    """Return the records with the places of their annotations of the category."""
    ids = np.frombuffer(annotations.ids, np.int64)
    image_ids = np.frombuffer(annotations.image_ids, np.int64)
    _check_annotation_ids(ids, path)
    known = np.array([record.image_id for record in records], np.int64)
    by_id = np.argsort(known)
    places = np.searchsorted(known, image_ids, sorter=by_id)
    images = by_id[np.minimum(places, len(known) - 1)]
    unknown = np.flatnonzero(known[images] != image_ids)
    if unknown.size:
        raise InputError(
            f"{path}: annotation {ids[unknown[0]]} is of image {image_ids[unknown[0]]}, which is "
            "not in 'images'; list the image or remove the annotation"
        )
    lengths = np.frombuffer(annotations.lengths, np.int64)
    order = np.lexsort((ids, images))
    order = order[lengths[order] > 0]
    offsets = np.frombuffer(annotations.offsets, np.int64)
    spans = np.stack([offsets[order], lengths[order], ids[order]], axis=1)
    spare = int(ids.max(initial=0)) + 1
    counts = np.bincount(images[order], minlength=len(records))
    for record, count in zip(records, counts.tolist(), strict=True):
        if count > MAX_OBJECTS:
            raise InputError(
                f"{path}: {count} objects in image '{record.file_name}', more than "
                f"{MAX_OBJECTS}; cut it into tiles"
            )
    parts = zip(records, np.split(spans, np.cumsum(counts)[:-1]), strict=True)
    return [
        record._replace(objects=(path, way, spare, part.tobytes())) if len(part) else record
        for record, part in parts
    ]


def _check_annotation_ids(ids: np.ndarray, path: Path) -> None:
    order = np.argsort(ids, kind="stable")
    twins = order[1:][ids[order[1:]] == ids[order[:-1]]]
    if twins.size:
        raise InputError(f"{path}: two annotations with id {ids[twins.min()]}; give each its own")
