"""The formats of datasets behind one door."""

import re
from pathlib import Path

from src.base.errors import InputError
from src.base.params import AUTO
from src.reading import (
    coco_dataset,
    labelme_dataset,
    mask_folder_dataset,
    rle_csv_dataset,
    vector_dataset,
    yolo_dataset,
)
from src.reading.left_out import leave_out
from src.reading.mask_names import names_by
from src.reading.params import DatasetParams
from src.reading.records import Dataset, ImageRecord, SourceObject

FORMATS = {
    "coco": coco_dataset,
    "mask_folder": mask_folder_dataset,
    "rle_csv": rle_csv_dataset,
    "vector": vector_dataset,
    "yolo": yolo_dataset,
    "labelme": labelme_dataset,
}

ONLY_CATEGORY = 1  # number of the objects of a data set that has no numbers of categories


def find_records(root: Path, params: DatasetParams) -> Dataset:
    """Find the images of a dataset and check what lists them.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    params : DatasetParams
        As `src.reading.recognition.recognise` returns it. `category_id`: in coco the one to read,
        several to be read as the first, or auto, the only one that train has annotations of;
        so too in rle_csv with a `class_column`, where they may be texts. Else the number to give to
        all objects, auto 1. `group_pattern`: a regular expression that is searched for in each
        file name. What its first group finds, or all that it finds if it has none, becomes the
        image's group; an image in whose name it finds nothing keeps its own. The empty pattern
        changes nothing. `leave_out`: see `src.reading.left_out`.

    Returns
    -------
    dataset : Dataset
        Records sorted by name.

    Raises
    ------
    InputError
        If the dataset is not in order.
    """
    dataset = leave_out(_of_format(root, params), params.leave_out, root)
    if not params.group_pattern:
        return dataset
    pattern = re.compile(params.group_pattern)
    records = [record._replace(group=_group(record, pattern)) for record in dataset.records]
    return dataset._replace(records=records)


def _of_format(root: Path, params: DatasetParams) -> Dataset:
    given = params.categories
    numbers = [one for one in given or [] if isinstance(one, int)]
    if params.format == "coco":
        if given is not None and len(numbers) < len(given):
            raise InputError(f"dataset.category_id is {given}: name the categories of coco by id")
        return coco_dataset.find_records(
            root,
            category_id=numbers or None,
            crowd_objects=params.crowd == "objects",
            centres=params.polygons == "centres",
        )
    if params.format == "yolo":
        return yolo_dataset.find_records(
            root, classes=given, boxes=params.boxes, centres=params.polygons == "centres"
        )
    if params.format == "labelme":
        labels = None if given is None else tuple(map(str, given))
        number = (numbers or [ONLY_CATEGORY])[0]
        return labelme_dataset.find_records(root, category_id=number, labels=labels)
    class_column = "" if params.class_column == AUTO else params.class_column
    classes = params.format == "rle_csv" and class_column
    if given is not None and not classes and (len(given) > 1 or not numbers):
        raise InputError(
            f"dataset.category_id is {given}: there is no column of classes to choose from; give "
            "the one number that the objects get"
        )
    category_id = numbers[0] if numbers else ONLY_CATEGORY
    if params.format == "vector":
        return vector_dataset.find_records(root, params, category_id)
    if params.format == "mask_folder":
        return mask_folder_dataset.find_records(
            root,
            category_id=category_id,
            masks=params.masks,
            mask_folder=params.mask_folder,
            names=names_by(params),
            missing_mask=params.missing_mask,
            ignore_value=params.ignored_value,
        )
    columns = {"id_column": params.id_column, "rle_column": params.rle_column}
    dialect = rle_csv_dataset.Dialect(
        params.rle_order, params.rle_first, params.rle_starts, tuple(params.rle_empty)
    )
    return rle_csv_dataset.find_records(
        root,
        category_id=category_id,
        masks=params.masks,
        dialect=dialect,
        class_column=class_column,
        classes=None if given is None else tuple(map(str, given)),
        missing_mask=params.missing_mask,
        **columns,
    )


def read_objects(format: str, record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the objects of one image; none in test.

    Parameters
    ----------
    format : str
        With which `find_records` found the record.
    record : ImageRecord
        From there.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    objects : list of SourceObject
        By id.

    Raises
    ------
    InputError
        With the reason alone, if the image must be rejected.
    """
    return FORMATS[format].read_objects(record, height, width)


def _group(record: ImageRecord, pattern: re.Pattern) -> str:
    found = pattern.search(record.file_name)
    return (found and found[min(pattern.groups, 1)]) or record.group
