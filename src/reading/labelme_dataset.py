"""A data set of images and labelme's JSON files beside them: found, checked, its objects read."""

import base64
import binascii
import json
import math
from collections import Counter
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from src.base.errors import InputError
from src.image_files.image_headers import PNG_START, png_header
from src.reading.image_folders import files_below, find_images, read_unlabelled
from src.reading.mask_files import number_objects
from src.reading.records import Dataset, ImageRecord, SourceObject
from src.reading.regions import Region, joined, region_of
from src.reading.segmentations import leaves_image, read_segmentation

OUTLINES = ("polygon", "rectangle", "oriented_rectangle")
LINES = ("line", "linestrip", "point", "points")
CORNERS = 256  # of a circle
LONGEST = 1 << 29  # bytes of a JSON file; most of it is the image, which nobody reads
NO_RUNS = np.empty((0, 2), np.int64)
SHOWN = 8


class _Shape(NamedTuple):
    """A shape of a file, rasterised."""

    number: int  # its place in the file, from 1
    runs: np.ndarray  # (R, 2) int64
    repaired: bool = False
    incomplete: bool = False
    outside: bool = False
    line: bool = False


def find_records(root: Path, *, category_id: int, labels: tuple[str, ...] | None) -> Dataset:
    """Find the images of a data set and labelme's files.

    In `train/images/`, or `train/` itself, lie images and beside each a JSON file of its name;
    likewise in `val/` if there is such a folder. `test_images/` may hold images without.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    category_id : int
        The number that the objects' category gets; its name is that of the labels.
    labels : tuple of str, optional
        Of the shapes that are read as one; None: the only one of train.

    Returns
    -------
    dataset : Dataset
        The objects of a record are (JSON file, labels), and its size is that which the file says.

    Raises
    ------
    InputError
        If a folder is absent or holds no image, no image of a split has a JSON file, there are
        several labels and none is chosen, or none of those chosen occurs in train.
    """
    root = Path(root)
    records, unlisted, of_others = [], 0, 0
    for split in ("train", "val"):
        if split == "train" or (root / split).is_dir():
            folder = folder_of_images(root / split)
            found, others, counts = _find_labelled(folder, split)
            labels = _checked(counts, labels, folder, split)
            of_others += sum(count for label, count in counts.items() if label not in labels)
            records += [r._replace(objects=(r.objects[0], labels)) for r in found]
            unlisted += others
    if (root / "test_images").is_dir():
        found, others = read_unlabelled(root / "test_images")
        records, unlisted = records + found, unlisted + others
    records.sort(key=lambda record: record.name)
    category = {"id": category_id, "name": ", ".join(labels or ())}
    return Dataset(records, category, unlisted, of_others)


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the objects of one image from its JSON file.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` lists it.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    objects : list of SourceObject
        By the first shape of each, whose place in the file, from 1, is its id. Shapes of one label
        and group are parts of one object. Polygons, rectangles and circles are rasterised as
        `read_segmentation` does; lines and points cover nothing.

    Raises
    ------
    InputError
        With the reason alone: no file, one that is none of labelme's, a shape that cannot be read,
        or too many objects.
    """
    if not record.objects:
        return []
    path, labels = record.objects
    parts: dict[tuple, list[_Shape]] = {}
    for number, shape in enumerate(_read(Path(path))["shapes"], start=1):
        label, group = _label(shape, number), _group(shape, number)
        if label in labels:
            key = (number,) if group is None else (label, group)
            try:
                parts.setdefault(key, []).append(_rasterised(shape, number, height, width))
            except InputError as error:
                raise InputError(f"shape {number} ('{label:.40}'): {error}") from None
    regions = [_joined(shapes, height) for shapes in parts.values()]
    objects = number_objects(record, regions)
    return [
        one._replace(
            id=shapes[0].number,
            repaired=any(shape.repaired for shape in shapes),
            incomplete=any(shape.incomplete for shape in shapes),
            outside=any(shape.outside for shape in shapes),
            line=all(shape.line for shape in shapes),
        )
        for one, shapes in zip(objects, parts.values(), strict=True)
    ]


def folder_of_images(folder: Path) -> Path:
    """Return the folder `images` of a split, or its own."""
    return folder / "images" if (folder / "images").is_dir() else folder


def is_labelme(path: Path) -> bool:
    """Tell whether a JSON file holds shapes as labelme writes them."""
    try:
        return bool(_read(path))
    except InputError:
        return False


def _find_labelled(folder: Path, split: str) -> tuple[list[ImageRecord], int, Counter]:
    """Return records with the paths of their files, files not listed, and shapes by label."""
    records, others = find_images(folder, split)
    texts = {name for name in files_below(folder) if name.endswith(".json")}
    counts, found, taken = Counter(), [], 0
    for record in records:
        name = PurePosixPath(record.file_name).with_suffix(".json").as_posix()
        record = record._replace(objects=(str(folder / name), ()))
        if name in texts:
            taken += 1
            with suppress(InputError):  # its image is rejected later, which says why
                document = _read(folder / name)
                record = record._replace(size=_size(document))
                counts.update(_label(s, n) for n, s in enumerate(document["shapes"], start=1))
        found.append(record)
    if not taken:
        raise InputError(
            f"{folder}: no image ({len(records)} of them) has a file of labelme; that of "
            f"'{records[0].file_name}' should be its name with .json, beside it"
        )
    return found, others - taken, counts


def _checked(
    counts: Counter, labels: tuple[str, ...] | None, folder: Path, split: str
) -> tuple[str, ...]:
    """Return the labels to read; the only one of train where none are given."""
    shown = ", ".join(f"'{label:.40}' ({count})" for label, count in counts.most_common(SHOWN))
    if labels is None and len(counts) > 1:
        raise InputError(
            f"{folder}: shapes of {len(counts)} labels, {shown}; set dataset.category_id to the "
            "one to find, or to a list of those that are one"
        )
    if split == "train" and not counts.keys() & set(counts if labels is None else labels):
        what = f"no shape of label '{labels[0]:.40}'" if labels else "no shape"
        raise InputError(f"{folder}: {what}, but {shown or 'none at all'}; set dataset.category_id")
    return tuple(counts) if labels is None else labels


def _read(path: Path) -> dict:
    name = path.name
    try:
        if path.stat().st_size > LONGEST:
            raise InputError(f"'{name}' has more than {LONGEST >> 20} MiB")
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"no file '{name}' of labelme beside it") from None
    except OSError as error:
        raise InputError(f"'{name}' cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InputError(f"'{name}' is no valid JSON") from None
    if not (isinstance(document, dict) and isinstance(document.get("shapes"), list)):
        raise InputError(f"'{name}' holds no list 'shapes', so it is none of labelme's")
    return document


def _size(document: dict) -> tuple[int, int] | None:
    height, width = document.get("imageHeight"), document.get("imageWidth")
    return (height, width) if type(height) is int and type(width) is int else None


def _label(shape, number: int) -> str:
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.isprintable():
        raise InputError(f"shape {number} has no label that is a text")
    return label


def _group(shape: dict, number: int) -> int | None:
    group = shape.get("group_id")
    if group is not None and type(group) is not int:
        raise InputError(f"shape {number} has the group_id {group!r:.40}, which is no whole number")
    return group


def _rasterised(shape: dict, number: int, height: int, width: int) -> _Shape:
    kind = shape.get("shape_type", "polygon")
    if kind in LINES:
        return _Shape(number, NO_RUNS, line=True)
    points = _points(shape.get("points"))
    if kind == "mask":
        return _Shape(number, _mask_runs(shape.get("mask"), points, height, width))
    if kind == "circle":
        outline = _circle(points)
    elif kind in OUTLINES:
        outline = _corners(points) if kind == "rectangle" and len(points) == 2 else points
    else:
        raise InputError(f"its shape_type is {kind!r:.40}, none that covers pixels")
    if len(outline) < 3:
        return _Shape(number, NO_RUNS, incomplete=True)
    flat = [value for point in outline for value in point]
    region, repaired = read_segmentation([flat], height, width)
    return _Shape(number, region.runs, repaired, outside=leaves_image([flat], height, width))


def _points(points) -> list[list[float]]:
    fits = isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
    if not fits or not all(type(v) in (int, float) and math.isfinite(v) for p in points for v in p):
        raise InputError(f"its points are {points!r:.40}, no list of pairs of numbers")
    return points


def _corners(points: list[list[float]]) -> list[list[float]]:
    (left, top), (right, bottom) = points
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def _circle(points: list[list[float]]) -> list[list[float]]:
    """Return corners of a circle, of its centre and a point on it."""
    if len(points) != 2:
        raise InputError(f"it is a circle of {len(points)} points, not of its centre and one on it")
    (x, y), rim = points
    radius = math.dist((x, y), rim)
    steps = [2 * math.pi * step / CORNERS for step in range(CORNERS)]
    return [[x + radius * math.cos(step), y + radius * math.sin(step)] for step in steps]


def _mask_runs(text, points: list[list[float]], height: int, width: int) -> np.ndarray:
    """Return the runs of a mask, a PNG file in base64, on the pixels from one point to another."""
    if len(points) != 2 or not isinstance(text, str):
        raise InputError("it is a mask without an image, or without two points")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("its mask is no text in base64") from None
    if not content.startswith(PNG_START):
        raise InputError("its mask is no PNG file")
    header = png_header(content)
    (left, top), (right, bottom) = ([int(value) for value in point] for point in points)
    size = bottom - top + 1, right - left + 1
    if (header.height, header.width) != size:
        raise InputError(
            f"its mask is {header.height}x{header.width} px, but its points span "
            f"{size[0]}x{size[1]}"
        )
    if min(top, left) < 0 or bottom >= height or right >= width:
        raise InputError("its mask lies beyond the image")
    mask = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError("its mask is a damaged PNG file")
    columns, rows = np.nonzero(mask.T)
    pixels = (columns + left) * height + rows + top
    return joined(np.stack([pixels, pixels + 1], axis=1).astype(np.int64), NO_RUNS)


def _joined(shapes: list[_Shape], height: int) -> Region:
    runs = [shape.runs for shape in shapes]
    return region_of(runs[0] if len(runs) == 1 else joined(np.concatenate(runs), NO_RUNS), height)
