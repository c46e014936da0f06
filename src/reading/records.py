"""What a dataset lists, in one form whatever its format, and how its images are found."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

from src.base.errors import InputError
from src.base.files import is_inside
from src.image_files.geotiff import Window
from src.reading.regions import Region

UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # cannot stand in a table or an archive


class ImageRecord(NamedTuple):
    """One image that the dataset lists; whether the file is intact is not known yet."""

    name: str  # "<split>/<file name without extension>"
    split: str  # train, val or test
    image_id: int
    file_name: str  # as listed
    path: Path
    group: str  # as listed, or the name
    size: tuple[int, int] | None  # (H, W) as listed; None where the dataset does not say
    objects: tuple  # what the format's `read_objects` finds this image's objects by; () in test
    window: Window | None = None  # the part of the file that is the image; None: all of it


class SourceObject(NamedTuple):
    """One annotated object, whole, as the dataset has it."""

    id: int  # in the dataset
    truth_id: int  # the same, but for 0 the first free one: COCO's evaluation takes 0 for none
    crowd: bool
    area: float | None  # px, as listed; None: to be counted
    region: Region
    repaired: bool  # the outline crossed itself
    comb: bool = False  # its run lengths look as if they counted otherwise
    incomplete: bool = False  # a part of the outline has fewer than three points
    shrunk: bool = False  # by a row and a column, since the outline goes through pixel centres
    outside: bool = False  # the outline left the image by more than a pixel; masks cannot
    line: bool = False  # no outline but a line or a point, which covers nothing
    outer: bool = False  # a crowd: all that lies outside of where objects were looked for
    void: bool = False  # no object but pixels that a mask says to ignore


class Dataset(NamedTuple):
    """What a format's `find_records` found."""

    records: list[ImageRecord]  # sorted by name
    category: dict  # {"id", "name"}
    unlisted: int  # files in the labelled image folders that the dataset does not list
    of_others: int = 0  # annotations of other categories
    further: tuple[tuple[str, int], ...] = ()  # what else was left out, in words, and how often
    unmarked: int = 0  # images without a mask or row, taken as images without objects


def image_files(folder: Path) -> set[str]:
    """Relative paths of all files in a folder and below, but the hidden ones.

    Parameters
    ----------
    folder : Path
        Links to folders in it are followed.

    Returns
    -------
    found : set of str
        With "/" between their parts; at least one.

    Raises
    ------
    InputError
        If there is no such folder or no file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; see docs/data.md for the layout")
    found = set()
    for parent, _, file_names in os.walk(folder, followlinks=True):
        inside = Path(parent).relative_to(folder)
        found |= {(inside / name).as_posix() for name in file_names if not name.startswith(".")}
    if not found:
        raise InputError(f"{folder}: holds no images; put the images there")
    return found


def as_on_disk(file_name: str, present: set[str], decomposed: dict[str, str]) -> str:
    """Return the name that a listed file has on the disk, where both may differ in Unicode's form.

    Parameters
    ----------
    file_name : str
        As listed.
    present : set of str
        Files that are there.
    decomposed : dict of str to str
        Those whose name is not in the form NFC, by that form.

    Returns
    -------
    file_name : str
        As it is there; as listed if it is not.
    """
    if file_name in present:
        return file_name
    composed = normalize("NFC", file_name)
    return composed if composed in present else decomposed.get(composed, file_name)


def by_composed_name(present: set[str], where: Path) -> dict[str, str]:
    """Return the files whose name is not in Unicode's form NFC, by that form.

    Raises
    ------
    InputError
        If the names of two files are one in that form.
    """
    found = {}
    for file_name in sorted(present):
        composed = normalize("NFC", file_name)
        if composed == file_name:
            continue
        if composed in present or composed in found:
            raise InputError(
                f"{where}: two files named '{composed}', which differ only in how Unicode composes "
                "letters with accents; rename or remove one"
            )
        found[composed] = file_name
    return found


def check_file_name(file_name: str, where: str) -> None:
    """Refuse the name of an image that leaves its folder, is hidden or cannot be printed.

    Parameters
    ----------
    file_name : str
        Relative to the folder of images.
    where : str
        It stands, for the message.

    Raises
    ------
    InputError
        If it is such a name.
    """
    hidden = PurePosixPath(file_name).name.startswith(".")
    if hidden or not is_inside(file_name) or UNPRINTABLE.search(file_name):
        raise InputError(
            f"{where} {file_name!a:.80}: a file name must be printable and stay inside its "
            "folder, without '..', '\\' or a leading '/' or '.'; rename the file"
        )


def record_name(split: str, file_name: str) -> str:
    """Return "<split>/<file name without extension>", the name of an image everywhere.

    In Unicode's form NFC, whichever form file systems and tables use.
    """
    return normalize("NFC", f"{split}/{PurePosixPath(file_name).with_suffix('')}")


def check_unique(records: Iterable[ImageRecord], where: Path | str) -> None:
    """Make sure that no two records of a split share an id or a name.

    Parameters
    ----------
    records : iterable of ImageRecord
        Of one split.
    where : Path or str
        They were listed, for the message.

    Raises
    ------
    InputError
        If two do.
    """
    ids, names = {}, {}
    for record in records:
        twin = ids.setdefault(record.image_id, record)
        if twin is not record:
            raise InputError(
                f"{where}: two images with id {record.image_id}, '{twin.file_name}' and "
                f"'{record.file_name}'; give each its own"
            )
        twin = names.setdefault(record.name, record)
        if twin is not record:
            raise InputError(
                f"{where}: '{twin.file_name}' and '{record.file_name}' are one name, "
                f"'{record.name}', without the extension and however Unicode composes letters; "
                "rename or remove one"
            )
