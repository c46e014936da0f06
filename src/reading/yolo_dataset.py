"""A data set of images and YOLO's text files of polygons: found, checked, its objects read."""

import math
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path, PurePosixPath

from src.base.errors import InputError
from src.base.params import read_yaml
from src.reading.image_folders import files_below, find_images, read_unlabelled
from src.reading.mask_files import number_objects
from src.reading.records import Dataset, ImageRecord, SourceObject
from src.reading.regions import Region
from src.reading.segmentations import leaves_image, read_segmentation

NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
LONGEST = 1 << 26  # bytes of a file of labels
BOX = 4  # numbers behind the class
FARTHEST = 2.0  # times the side of the image; beyond it numbers are px, not shares
DATA = ("data.yaml", "data.yml")
SHOWN = 8


def find_records(
    root: Path, *, classes: list[int | str] | None, boxes: str, centres: bool = False
) -> Dataset:
    """Find the images of a data set in YOLO's layout and the classes of their objects.

    Images and labels lie in `train/images/` and `train/labels/`, or in `images/train/` and
    `labels/train/`; so those of val, if there are any, and of test, whose labels nobody looks at;
    or those of test in `test_images/`. The labels of `a/b.jpg` are `a/b.txt`; an image without such
    a file has no objects. `data.yaml`, beside the folders or in train, may name the classes.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    classes : list of int or str, optional
        Numbers or names of those that are read, as the first; None: the only one of train.
    boxes : {"refuse", "objects"}
        What a line of a class and four numbers, which is a box, becomes.
    centres : bool
        Outlines go through the centres of the outermost pixels, as contours of OpenCV do.

    Returns
    -------
    dataset : Dataset
        The objects of a record are (file, classes, boxes, centres), or () of one without a file.
        The category is the first class that is read.

    Raises
    ------
    InputError
        If a folder is absent or holds no image, no image of train has an object of the classes,
        there are several classes and none is chosen, one chosen is unknown, or data.yaml is no
        YAML.
    """
    root = Path(root)
    names = _names(root)
    numbers = None if classes is None else [_number(one, names) for one in classes]
    records, unlisted, of_others, further = [], 0, 0, []
    for split in ("train", "val"):
        if split == "train" or labels_folder(root, split).is_dir():
            found, others, counts = _find_labelled(root, split)
            numbers = _checked(counts, numbers, names, labels_folder(root, split), split)
            taken = set(numbers)
            of_others += sum(count for kind, count in counts.items() if kind not in taken)
            bare = sum(not record.objects for record in found)
            further += [(f"images of {split} without a file of labels", bare)] * bool(bare)
            records += [_with(record, numbers, boxes, centres) for record in found]
            unlisted += others
    found, others = _find_unlabelled(root)
    numbers = numbers or [0]
    name = ", ".join(names.get(number, str(number)) for number in numbers)
    records = sorted(records + found, key=lambda record: record.name)
    category = {"id": numbers[0], "name": name}
    return Dataset(records, category, unlisted + others, of_others, tuple(further))


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the objects of one image from its file of labels.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` lists it.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    objects : list of SourceObject
        Their ids are the numbers of their lines, from 1. Several parts that are joined by lines
        there and back, as converters write them, are one object of these parts.

    Raises
    ------
    InputError
        With the reason alone: a line that is no class and coordinates, coordinates that are no
        shares of the sides, a box where these are refused, an outline that is too long, or too many
        objects.
    """
    if not record.objects:
        return []
    path, classes, boxes, centres = record.objects
    found: list[tuple[int, Region, bool, bool]] = []
    for number, words in _lines(Path(path)):
        if _class(words, number) not in classes:
            continue
        polygon = _polygon(words[1:], number, boxes)
        corners = _in_pixels(polygon, height, width)
        try:
            region, repaired = read_segmentation([corners], height, width, centres=centres)
        except InputError as error:
            raise InputError(f"line {number} of the labels: {error}") from None
        found.append((number, region, repaired, leaves_image([corners], height, width)))
    objects = number_objects(record, [region for _, region, _, _ in found])
    return [
        one._replace(id=number, repaired=repaired, outside=outside)
        for one, (number, _, repaired, outside) in zip(objects, found, strict=True)
    ]


def labels_folder(root: Path, split: str) -> Path:
    """Return the folder of labels of a split; that of the one way where there is neither."""
    other = root / "labels" / split
    return other if other.is_dir() else root / split / "labels"


def images_folder(root: Path, split: str) -> Path:
    """Return the folder of images of a split, as `labels_folder` does."""
    other = root / "images" / split
    return other if other.is_dir() else root / split / "images"


def _find_labelled(root: Path, split: str) -> tuple[list[ImageRecord], int, Counter]:
    """Return records with the paths of their labels, files not listed, and lines by class."""
    records, unlisted = find_images(images_folder(root, split), split)
    folder, counts, found = labels_folder(root, split), Counter(), []
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; put the text files of labels there")
    texts = {name for name in files_below(folder) if name.endswith(".txt")}
    for record in records:
        name = PurePosixPath(record.file_name).with_suffix(".txt").as_posix()
        if name in texts:
            texts.remove(name)
            record = record._replace(objects=(str(folder / name), (), ""))
            with suppress(InputError):  # its image is rejected later, which says why
                counts.update(_class(words, number) for number, words in _lines(folder / name))
        found.append(record)
    if not any(record.objects for record in found):
        raise InputError(
            f"{folder}: no image ({len(records)} of them) has labels; those of "
            f"'{records[0].file_name}' should be its name with .txt"
        )
    return found, unlisted + len(texts), counts


def _find_unlabelled(root: Path) -> tuple[list[ImageRecord], int]:
    if (root / "test_images").is_dir():
        return read_unlabelled(root / "test_images")
    folder = images_folder(root, "test")
    return find_images(folder, "test") if folder.is_dir() else ([], 0)


def _with(record: ImageRecord, numbers: list[int], boxes: str, centres: bool) -> ImageRecord:
    if not record.objects:
        return record
    return record._replace(objects=(record.objects[0], tuple(numbers), boxes, centres))


def _names(root: Path) -> dict[int, str]:
    """Return the names of classes by number as data.yaml has them; none without it."""
    for path in (folder / name for folder in (root, root / "train") for name in DATA):
        if path.is_file():
            break
    else:
        return {}
    document = read_yaml(path)
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    return {key: name for key, name in names.items() if type(key) is int and type(name) is str}


def _number(one: int | str, names: dict[int, str]) -> int:
    if isinstance(one, int):
        return one
    numbers = [number for number, name in names.items() if name == one]
    if len(numbers) != 1:
        known = ", ".join(f"'{name!s:.40}'" for name in list(names.values())[:SHOWN]) or "none"
        raise InputError(f"dataset.category_id: data.yaml names no class '{one}', but {known}")
    return numbers[0]


def _checked(
    counts: Counter, numbers: list[int] | None, names: dict[int, str], folder: Path, split: str
) -> list[int]:
    """Return the classes to read; the only one of train where none are given."""
    shown = ", ".join(
        f"{number} ('{names.get(number, number)!s:.40}', {count} times)"
        for number, count in counts.most_common(SHOWN)
    )
    if numbers is None and len(counts) > 1:
        raise InputError(
            f"{folder}: objects of {len(counts)} classes, {shown}; set dataset.category_id to the "
            "one to find, or to a list of those that are one"
        )
    if split == "train" and not (counts.keys() & set(counts if numbers is None else numbers)):
        what = f"no object of class {' or '.join(map(str, numbers))}" if numbers else "no object"
        raise InputError(f"{folder}: {what}, but {shown or 'none at all'}; set dataset.category_id")
    return list(counts) if numbers is None else numbers


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a file that are not empty, by number, each as its words."""
    try:
        if path.stat().st_size > LONGEST:
            raise InputError(f"the labels have more than {LONGEST >> 20} MiB")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the labels cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError("the labels are no text in UTF-8") from None
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.split()) for number, line in lines if line.strip()]


def _class(words: list[str], number: int) -> int:
    value = float(words[0]) if NUMBER.fullmatch(words[0]) else -1.0
    if not (0 <= value < 2**31 and value.is_integer()):
        raise InputError(f"line {number} of the labels begins with {words[0]!a:.40}, not a class")
    return int(value)


def _polygon(words: list[str], number: int, boxes: str) -> list[float]:
    """Return x and y of the corners in turn, as shares of the sides."""
    where = f"line {number} of the labels"
    bad = [word for word in words if not NUMBER.fullmatch(word)]
    if bad:
        raise InputError(f"{where} holds {bad[0]!a:.40}, which is not a number")
    values = [float(word) for word in words]
    far = [v for v in values if not (math.isfinite(v) and 1 - FARTHEST <= v <= FARTHEST)]
    if far:
        raise InputError(f"{where} holds {far[0]:g}, which is no share of a side of the image")
    if len(values) == BOX:
        if boxes == "refuse":
            raise InputError(
                f"{where} is a box (a class and four numbers), not an outline; set dataset.boxes "
                "to objects to take boxes for objects"
            )
        x, y, w, h = values
        left, right, top, bottom = x - w / 2, x + w / 2, y - h / 2, y + h / 2
        return [left, top, right, top, right, bottom, left, bottom]
    if len(values) % 2:
        raise InputError(
            f"{where} has {len(values)} numbers behind the class, an odd one: no pairs of x and y"
        )
    return values


def _in_pixels(polygon: list[float], height: int, width: int) -> list[float]:
    """Return the corners in px, to a thousandth: shares are written with few digits."""
    sides = [width, height] * (len(polygon) // 2)
    return [round(value * side, 3) for value, side in zip(polygon, sides, strict=True)]
