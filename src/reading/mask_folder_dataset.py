"""A data set of images and mask files: one for each object, or one for all of an image."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from src.base.errors import InputError
from src.base.files import is_inside
from src.reading.image_folders import (
    files_below,
    find_images,
    folders_in,
    image_record,
    is_image,
    read_unlabelled,
)
from src.reading.mask_files import (
    check_count,
    component_regions,
    label_regions,
    number_objects,
    read_binary_mask,
    read_object_ids,
)
from src.reading.records import Dataset, ImageRecord, SourceObject, check_file_name
from src.reading.regions import Region

MASKS = ("instances", "components", "whole", "ids")
NO_PIXEL = Region(np.empty((0, 2), np.int64), 0, (0, 0, 0, 0))


def find_records(
    root: Path, *, category_id: int, masks: str, mask_folder: str, mask_suffix: str
) -> Dataset:
    """Find the images of a data set of mask files, and the masks of each.

    `train/` must be there, `val/` likewise labelled if there is such a folder; `test_images/`,
    or `test/` built like `train/`, may hold images whose masks nobody looks at. In a split lie
    `images/NAME.png` and `<mask_folder>/NAME<mask_suffix>.png`, of any format each, or with
    masks "instances" a folder `<mask_folder>/NAME<mask_suffix>/` with a mask for each object,
    or else `NAME/images/` with one image and `NAME/<mask_folder>/`. No file is opened.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    category_id : int
        The number that the objects' category gets.
    masks : {"instances", "components", "whole", "ids"}
        The objects are files, connected parts of a mask, all of a mask, or its values.
    mask_folder : str
        Name of the folders of masks.
    mask_suffix : str
        What the name of a mask has after that of the image.

    Returns
    -------
    dataset : Dataset
        Images are numbered from 1 in each split, by name; masks without an image are unlisted,
        as are files in a folder of images that are none by their extension.

    Raises
    ------
    InputError
        If a folder is absent or holds no image, no image of a split has a mask, two images have
        one name, a file name is unfit, or the name or suffix of the masks cannot be one.
    ValueError
        If `masks` is unknown.
    """
    if masks not in MASKS:
        raise ValueError(f"masks must be one of {', '.join(MASKS)}: {masks}")
    _check_mask_names(mask_folder, mask_suffix)
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    records, unlisted = [], 0
    for split in ("train", "val"):
        if split == "train" or (root / split).is_dir():
            found, others = _find_labelled(root / split, masks, mask_folder, mask_suffix)
            records, unlisted = records + found, unlisted + others
    found, others = _find_unlabelled(root, masks)
    records, unlisted = records + found, unlisted + others
    return Dataset(sorted(records), {"id": category_id, "name": str(category_id)}, unlisted)


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the objects of an image from its masks.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` lists it.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    objects : list of SourceObject
        Numbered from 1: files by name (one without a pixel too), parts by their first pixel row
        for row, values ascending. Empty in test.

    Raises
    ------
    InputError
        With the reason alone: no mask, two that fit, one that is unreadable, of another size or
        has values that it must not have, more than 65534 objects.
    """
    if record.split == "test":
        return []
    masks, expected, *paths = record.objects
    if not paths:
        raise InputError(f"no mask '{expected}'")
    if len(paths) > 1:
        first, second = (Path(path).name for path in paths[:2])
        raise InputError(f"two masks, '{first}' and '{second}'; remove one")
    path = Path(paths[0])
    if masks == "instances":
        regions = [_read_instance(mask, height, width) for mask in _mask_files(path)]
    elif masks == "ids":
        regions = label_regions(_named(read_object_ids, path, height, width))
    else:
        mask = _named(read_binary_mask, path, height, width)
        regions = component_regions(mask) if masks == "components" else label_regions(mask)
    return number_objects(record, regions)


def _check_mask_names(mask_folder: str, mask_suffix: str) -> None:
    parts = PurePosixPath(mask_folder).parts
    if not is_inside(mask_folder) or any(part.startswith(".") for part in parts):
        raise InputError(
            f"dataset.mask_folder is {mask_folder!a:.80}: must be the name of a folder inside "
            "the split's, not a hidden one"
        )
    if parts[0] == "images":
        raise InputError(
            f"dataset.mask_folder is {mask_folder!a:.80}: the folder images holds images alone; "
            "put the masks into another"
        )
    if set(mask_suffix) & set("/\\\0"):
        raise InputError(
            f"dataset.mask_suffix is {mask_suffix!a:.80}: must be the end of a file name, "
            "without '/' and '\\'"
        )


def _find_labelled(
    folder: Path, masks: str, mask_folder: str, mask_suffix: str
) -> tuple[list[ImageRecord], int]:
    """Return the records of train or val and how many files are unlisted."""
    if _is_nested(folder, masks, mask_folder):
        records, unlisted = _find_nested(folder)
        expected = [f"{PurePosixPath(r.file_name).parts[0]}/{mask_folder}" for r in records]
    else:
        records, unlisted = find_images(folder / "images", folder.name)
        stems = [PurePosixPath(record.file_name).with_suffix("") for record in records]
        expected = [f"{mask_folder}/{stem}{mask_suffix}" for stem in stems]
        if not (folder / mask_folder).is_dir():
            raise InputError(
                f"{folder / mask_folder}: no such folder; set dataset.mask_folder to the name of "
                "the one that holds the masks"
            )
        unlisted += _count_strays(folder, mask_folder, set(expected), masks)
    if masks == "instances":
        found = {name: [folder / name] for name in expected if (folder / name).is_dir()}
        if not (folder / "images").is_dir():
            unlisted += sum(_count_others(path) for [path] in found.values())
    else:
        found = _files_by_stem(folder, mask_folder)
    if not any(name in found for name in expected):
        kind = "folder" if masks == "instances" else "file of any image format"
        raise InputError(
            f"{folder}: no image ({len(records)} of them) has masks; those of "
            f"'{records[0].file_name}' should be the {kind} '{expected[0]}', set "
            "dataset.mask_folder and dataset.mask_suffix accordingly"
        )
    records = [
        record._replace(objects=(masks, name, *map(str, found.get(name, ()))))
        for record, name in zip(records, expected, strict=True)
    ]
    return records, unlisted


def _is_nested(folder: Path, masks: str, mask_folder: str) -> bool:
    """Tell whether each image has a folder of its own."""
    if masks != "instances" or not (folder / "images").is_dir():
        return masks == "instances"
    for name in folders_in(folder):
        if name != PurePosixPath(mask_folder).parts[0] and (folder / name / "images").is_dir():
            raise InputError(
                f"{folder}: holds the folder images and '{name}/images'; keep all images in one "
                "folder or each in its own"
            )
    return False


def _find_nested(folder: Path) -> tuple[list[ImageRecord], int]:
    """Return the records of NAME/images/, and how many files are none or lie in other folders."""
    records, unlisted = [], 0
    for name in folders_in(folder):
        inside = folder / name / "images"
        files = files_below(inside) if inside.is_dir() else []
        images = [f for f in files if is_image(f)]
        if len(images) > 1:
            raise InputError(
                f"{inside}: {len(images)} images, '{images[0]}' and '{images[1]}' among them; "
                "leave the one that the masks are of"
            )
        if not images:
            unlisted += len(files_below(folder / name))
            continue
        unlisted += len(files) - 1
        file_name = f"{name}/images/{images[0]}"
        check_file_name(file_name, str(folder))
        path = folder / file_name
        records.append(image_record(f"{folder.name}/{name}", len(records) + 1, file_name, path))
    if not records:
        raise InputError(f"{folder}: holds no images; see docs/data.md for the layout")
    return records, unlisted


def _find_unlabelled(root: Path, masks: str) -> tuple[list[ImageRecord], int]:
    folder, images = root / "test", root / "test_images"
    if folder.is_dir() and images.is_dir():
        raise InputError(f"{root}: holds both test and test_images; remove one of the two")
    if images.is_dir():
        return read_unlabelled(images)
    if not folder.is_dir():
        return [], 0
    if masks == "instances" and not (folder / "images").is_dir():
        return _find_nested(folder)
    return find_images(folder / "images", "test")


def _files_by_stem(folder: Path, mask_folder: str) -> dict[str, list[Path]]:
    """Masks by their path in the split's folder, without extension."""
    found = defaultdict(list)
    for file_name in files_below(folder / mask_folder):
        if is_image(file_name):
            path = PurePosixPath(mask_folder) / file_name
            found[path.with_suffix("").as_posix()].append(folder / path)
    return found


def _count_strays(folder: Path, mask_folder: str, expected: set[str], masks: str) -> int:
    """Count the files among the masks that belong to no image, or are none."""
    paths = [PurePosixPath(mask_folder) / name for name in files_below(folder / mask_folder)]
    own = (path.parent if masks == "instances" else path.with_suffix("") for path in paths)
    return sum(
        mask.as_posix() not in expected or not _may_be_mask(path.name)
        for path, mask in zip(paths, own, strict=True)
    )


def _mask_files(folder: Path) -> list[Path]:
    """Files of one image's masks, by name; what is no image by its extension lies beside them."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise InputError(f"the folder of masks cannot be read: {error.strerror}") from None
    masks = [name for name in names if _may_be_mask(name)]
    if names and not masks:  # else it would be an image without objects
        raise InputError(f"the folder of masks holds {names[0]!a:.80} but no image file")
    check_count(len(masks))
    return [folder / name for name in masks]


def _count_others(folder: Path) -> int:
    """Count what lies beside one image's masks."""
    return sum(not name.startswith(".") and not _may_be_mask(name) for name in os.listdir(folder))


def _may_be_mask(name: str) -> bool:
    """Tell by its extension; a name without one is no other program's file beside an image."""
    return is_image(name) or not PurePosixPath(name).suffix


def _read_instance(path: Path, height: int, width: int) -> Region:
    regions = label_regions(_named(read_binary_mask, path, height, width))
    return regions[0] if regions else NO_PIXEL


def _named(read: Callable[..., np.ndarray], path: Path, height: int, width: int) -> np.ndarray:
    """Read a mask; what is wrong with it begins with its name."""
    try:
        return read(path, height, width)
    except InputError as error:
        raise InputError(f"mask {path.name!a:.80}: {error}") from None
