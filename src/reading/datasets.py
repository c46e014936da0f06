"""The formats of datasets behind one door."""

import re
from pathlib import Path

from src.base.errors import InputError
from src.reading import coco_dataset, mask_folder_dataset, rle_csv_dataset
from src.reading.records import Dataset, ImageRecord, SourceObject

FORMATS = {"coco": coco_dataset, "mask_folder": mask_folder_dataset, "rle_csv": rle_csv_dataset}
OPTIONS = {
    "coco": (),
    "mask_folder": ("masks", "mask_folder", "mask_suffix"),
    "rle_csv": ("masks", "id_column", "rle_column"),
}


def find_records(
    root: Path, *, format: str, category_id: int, group_pattern: str, **options
) -> Dataset:
    """Find the images of a dataset and check what lists them.

    Parameters
    ----------
    root : Path
        Folder of the dataset.
    format : {"coco", "mask_folder", "rle_csv"}
        See docs/data.md.
    category_id : int
        The one to read in `coco`, the one to give to all objects in the others.
    group_pattern : str
        Regular expression that is searched for in each file name. What its first group finds, or
        all that it finds if it has none, becomes the image's group; an image in whose name it
        finds nothing keeps its own. The empty pattern changes nothing.
    **options
        Keyword arguments of the format's own `find_records`; those of others are left out.

    Returns
    -------
    dataset : Dataset
        Records sorted by name.

    Raises
    ------
    InputError
        If the pattern is none, or the dataset is not in order.
    """
    try:
        pattern = re.compile(group_pattern)
    except re.error as error:
        raise InputError(
            f"dataset.group_pattern is {group_pattern!r:.80}, no regular expression ({error}); "
            "correct it"
        ) from None
    own = {key: options[key] for key in OPTIONS[format]}
    dataset = FORMATS[format].find_records(root, category_id=category_id, **own)
    if not group_pattern:
        return dataset
    records = [record._replace(group=_group(record, pattern)) for record in dataset.records]
    return dataset._replace(records=records)


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
