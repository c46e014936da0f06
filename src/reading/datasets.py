"""The formats of datasets behind one door."""

import re
from pathlib import Path

from src.base.params import AUTO
from src.reading import coco_dataset, mask_folder_dataset, rle_csv_dataset
from src.reading.params import DatasetParams
from src.reading.records import Dataset, ImageRecord, SourceObject

FORMATS = {"coco": coco_dataset, "mask_folder": mask_folder_dataset, "rle_csv": rle_csv_dataset}

ONLY_CATEGORY = 1  # number of the objects of a data set that has no numbers of categories


def find_records(root: Path, params: DatasetParams) -> Dataset:
    """Find the images of a dataset and check what lists them.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    params : DatasetParams
        As `src.reading.recognition.recognise` returns it. `category_id`: the one to read in coco,
        auto the only one that train has annotations of; in the others the one to give to all
        objects, auto 1. `group_pattern`: a regular expression that is searched for in each
        file name. What its first group finds, or all that it finds if it has none, becomes the
        image's group; an image in whose name it finds nothing keeps its own. The empty pattern
        changes nothing.

    Returns
    -------
    dataset : Dataset
        Records sorted by name.

    Raises
    ------
    InputError
        If the dataset is not in order.
    """
    dataset = _of_format(root, params)
    if not params.group_pattern:
        return dataset
    pattern = re.compile(params.group_pattern)
    records = [record._replace(group=_group(record, pattern)) for record in dataset.records]
    return dataset._replace(records=records)


def _of_format(root: Path, params: DatasetParams) -> Dataset:
    given = None if params.category_id == AUTO else params.category_id
    if params.format == "coco":
        return coco_dataset.find_records(root, category_id=given)
    category_id = ONLY_CATEGORY if given is None else given
    if params.format == "mask_folder":
        names = {"mask_folder": params.mask_folder, "mask_suffix": params.mask_suffix}
        return mask_folder_dataset.find_records(
            root, category_id=category_id, masks=params.masks, **names
        )
    columns = {"id_column": params.id_column, "rle_column": params.rle_column}
    return rle_csv_dataset.find_records(
        root, category_id=category_id, masks=params.masks, **columns
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
