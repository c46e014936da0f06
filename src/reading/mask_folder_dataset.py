"""A data set of images and mask files: one for each object, or one for all of an image."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

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
    read_ignored,
    read_object_ids,
)
from src.reading.mask_names import MaskNames, check_keys, proposal
from src.reading.records import Dataset, ImageRecord, SourceObject, check_file_name
from src.reading.regions import Region

MASKS = ("instances", "components", "whole", "ids")
NO_PIXEL = Region(np.empty((0, 2), np.int64), 0, (0, 0, 0, 0))


class _Masks(NamedTuple):
    """What the objects of an image are read by."""

    kind: str  # of MASKS
    ignore_value: int | None  # of pixels that are neither object nor background
    may_be_missing: bool  # then there is no object
    expected: str  # what should be there, in words
    paths: tuple[str, ...] = ()  # what is there


class _Way(NamedTuple):
    """How masks are found and taken; see `find_records`."""

    kind: str
    folder: str
    names: MaskNames
    missing: str
    ignore_value: int | None


def find_records(
    root: Path,
    *,
    category_id: int,
    masks: str,
    mask_folder: str,
    names: MaskNames,
    missing_mask: str = "refuse",
    ignore_value: int | None = None,
) -> Dataset:
    """Find the images of a data set of mask files, and the masks of each.

    `train/` must be there, `val/` likewise labelled if there is such a folder; `test_images/`,
    or `test/` built like `train/`, may hold images whose masks nobody looks at. In a split lie
    `images/NAME.png` and `<mask_folder>/NAME<suffix>.png`, of any format each, or with
    masks "instances" a folder `<mask_folder>/NAME<suffix>/` with a mask for each object,
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
    names : MaskNames
        How the name of a mask follows from that of its image. Where patterns tell, images that
        theirs does not match are unlisted, in train and val.
    missing_mask : {"refuse", "empty"}
        An image without a mask is rejected when it is read, or has no object.
    ignore_value : int, optional
        Value of pixels that are neither object nor background.

    Returns
    -------
    dataset : Dataset
        Images are numbered from 1 in each split, by name; masks without an image are unlisted,
        as are files in a folder of images that are none by their extension.

    Raises
    ------
    InputError
        If a folder is absent or holds no image, no image of a split has a mask, two images have
        one name or one mask, a file name is unfit, or folder or suffix of the masks cannot be one.
    ValueError
        If `masks` is unknown.
    """
    if masks not in MASKS:
        raise ValueError(f"masks must be one of {', '.join(MASKS)}: {masks}")
    _check_mask_names(mask_folder, names.suffix)
    way = _Way(masks, mask_folder, names, missing_mask, ignore_value)
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    records, unlisted = [], 0
    for split in ("train", "val"):
        if split == "train" or (root / split).is_dir():
            found, others = _find_labelled(root / split, way)
            records, unlisted = records + found, unlisted + others
    found, others = _find_unlabelled(root, masks)
    bare = sum(not record.objects[0].paths for record in records) * (missing_mask == "empty")
    category = {"id": category_id, "name": str(category_id)}
    return Dataset(sorted(records + found), category, unlisted + others, unmarked=bare)


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
    (masks,) = record.objects
    if not masks.paths:
        if masks.may_be_missing:
            return []
        raise InputError(f"no mask {masks.expected}")
    if len(masks.paths) > 1:
        first, second = (Path(path).name for path in masks.paths[:2])
        raise InputError(f"two masks, '{first}' and '{second}'; remove one")
    path = Path(masks.paths[0])
    of_file = {"height": height, "width": width, "ignore_value": masks.ignore_value}
    files = _mask_files(path) if masks.kind == "instances" else [path]
    if masks.kind == "instances":
        regions = [_one_region(_named(read_binary_mask, file, **of_file)) for file in files]
    elif masks.kind == "ids":
        regions = label_regions(_named(read_object_ids, path, **of_file))
    else:
        mask = _named(read_binary_mask, path, **of_file)
        regions = component_regions(mask) if masks.kind == "components" else label_regions(mask)
    if masks.ignore_value is None:
        return number_objects(record, regions)
    ignored = np.logical_or.reduce([_named(read_ignored, file, **of_file) for file in files])
    return number_objects(record, regions, label_regions(ignored))


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


def _find_labelled(folder: Path, way: _Way) -> tuple[list[ImageRecord], int]:
    """Return the records of train or val and how many files are unlisted."""
    masks, mask_folder, names = way[:3]
    if _is_nested(folder, masks, mask_folder):
        if names.patterned:
            raise InputError(
                f"{folder}: each image has a folder of its own, where any mask is of it; leave "
                "dataset.image_pattern and dataset.mask_pattern empty"
            )
        records, unlisted = _find_nested(folder)
        keys = [f"{PurePosixPath(r.file_name).parts[0]}/{mask_folder}" for r in records]
        expected = [f"'{key}'" for key in keys]
        found = {key: [PurePosixPath(key)] for key in keys if (folder / key).is_dir()}
        unlisted += sum(_count_others(folder / key) for key in found)
        stems = []
    else:
        records, keys, unlisted = _images_with_keys(folder, names)
        expected = [_expected(key, mask_folder, names) for key in keys]
        if not (folder / mask_folder).is_dir():
            raise InputError(
                f"{folder / mask_folder}: no such folder; set dataset.mask_folder to the name of "
                "the one that holds the masks"
            )
        stems, found = _masks_by_key(folder, way, keys)
        unlisted += _count_strays(folder, way, found)
    paths = [tuple(str(folder / path) for path in found.get(key, ())) for key in keys]
    if not any(paths):
        kind = "folder" if masks == "instances" else "file of any image format"
        images = [PurePosixPath(record.file_name).with_suffix("").as_posix() for record in records]
        remedy = proposal(images, stems)
        raise InputError(
            f"{folder}: no image ({len(records)} of them) has masks; those of "
            f"'{records[0].file_name}' should be the {kind} {expected[0]}, "
            + (remedy or "set dataset.mask_folder and dataset.mask_suffix accordingly")
        )
    may_be_missing = way.missing == "empty"
    sources = (
        _Masks(masks, way.ignore_value, may_be_missing, words, of_image)
        for words, of_image in zip(expected, paths, strict=True)
    )
    records = [
        record._replace(objects=(source,)) for record, source in zip(records, sources, strict=True)
    ]
    return records, unlisted


def _images_with_keys(folder: Path, names: MaskNames) -> tuple[list[ImageRecord], list[str], int]:
    """Return the images of a split, what each shares with its mask, and how many files are none."""
    records, unlisted = find_images(folder / "images", folder.name)
    stems = [PurePosixPath(record.file_name).with_suffix("").as_posix() for record in records]
    keys = list(map(names.key_of_image, stems))
    kept = [(record, key) for record, key in zip(records, keys, strict=True) if key is not None]
    if not kept:
        raise InputError(
            f"{folder / 'images'}: dataset.image_pattern '{names.image_pattern}' matches the name "
            f"of no image, such as '{stems[0]}'; correct it"
        )
    if names.patterned:
        check_keys([(key, record.file_name) for record, key in kept], str(folder / "images"))
    numbered = [record._replace(image_id=place) for place, (record, _) in enumerate(kept, 1)]
    return numbered, [key for _, key in kept], unlisted + len(records) - len(kept)


def _expected(key: str, mask_folder: str, names: MaskNames) -> str:
    if names.patterned:
        return f"in '{mask_folder}' in whose name dataset.mask_pattern finds '{key}'"
    return f"'{mask_folder}/{key}'"


def _masks_by_key(
    folder: Path, way: _Way, keys: list[str]
) -> tuple[list[str], dict[str, list[PurePosixPath]]]:
    """Return names of masks without extension, and by keys where they lie in the split's folder.

    With masks "instances" they are folders.
    """
    inside = PurePosixPath(way.folder)
    if way.kind == "instances":
        stems = {path: path.as_posix() for path in _folders_below(folder / inside)}
        direct = {key: PurePosixPath(key) for key in keys} if not way.names.patterned else {}
        stems |= {path: key for key, path in direct.items() if (folder / inside / path).is_dir()}
    else:
        paths = [PurePosixPath(name) for name in files_below(folder / inside) if is_image(name)]
        stems = {path: path.with_suffix("").as_posix() for path in paths}
    found, wanted = defaultdict(list), set(keys)
    for path, stem in stems.items():
        key = way.names.key_of_mask(stem)
        if key in wanted:
            found[key].append(inside / path)
    return list(stems.values()), found


def _folders_below(folder: Path) -> list[PurePosixPath]:
    """List the folders in a folder, by name; in a folder that lies in these none is looked for."""
    found, names = [], folders_in(folder)
    for name in names:
        inner = [PurePosixPath(name) / path for path in folders_in(folder / name)]
        found += [PurePosixPath(name), *inner]
    return found


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


def _count_strays(folder: Path, way: _Way, found: dict[str, list[PurePosixPath]]) -> int:
    """Count the files among the masks that belong to no image, or are none."""
    own = {path for paths in found.values() for path in paths}
    paths = [PurePosixPath(way.folder) / name for name in files_below(folder / way.folder)]
    masks = [path.parent for path in paths] if way.kind == "instances" else paths
    return sum(
        mask not in own or not _may_be_mask(path.name)
        for path, mask in zip(paths, masks, strict=True)
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


def _one_region(mask: np.ndarray) -> Region:
    regions = label_regions(mask)
    return regions[0] if regions else NO_PIXEL


def _named(read: Callable[..., np.ndarray], path: Path, **options) -> np.ndarray:
    """Read a mask; what is wrong with it begins with its name."""
    try:
        return read(path, **options)
    except InputError as error:
        raise InputError(f"mask {path.name!a:.80}: {error}") from None
