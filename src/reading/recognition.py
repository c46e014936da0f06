"""What a data set is, told by what lies in its folder: the values of `auto` in section dataset.

Each reader says in `find_records` what it expects. Here that is looked for in `train`, and taken
where it is the only thing that fits; else a sentence says what was seen. Nothing of val and test is
looked at.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

from src.base.errors import InputError
from src.base.params import AUTO
from src.reading.coco_dataset import annotation_file
from src.reading.image_folders import files_below, folders_in, is_image
from src.reading.labelme_dataset import folder_of_images as labelme_folder
from src.reading.labelme_dataset import is_labelme
from src.reading.mask_files import look_at_mask
from src.reading.mask_names import names_by
from src.reading.params import DatasetParams
from src.reading.records import Dataset
from src.reading.rle_csv_dataset import (
    find_table,
    has_repeated_ids,
    is_no_object,
    is_runs,
    read_head,
)
from src.reading.tiles import ENOUGH, choose_block
from src.reading.vector_dataset import (
    aoi_file,
    file_of_split,
    find_scenes,
    folder_of_images,
    vector_files,
)
from src.reading.vector_files import SUFFIXES, only_layer
from src.reading.yolo_dataset import labels_folder

ID_NAMES = ("id", "imageid", "image", "imagename", "img", "imgid", "imgname", "filename", "file")
RLE_NAMES = ("encodedpixels", "rle", "rlemask", "maskrle", "rles", "encoding", "runs", "runlengths")
CLASS_NAMES = ("class", "classid", "category", "categoryid", "label", "labelid", "classname")
MASKS = "masks"  # the usual name of their folder
ROWS = 1000  # of a table that are looked at
LOOKS = 40  # masks that are opened
STEMS = 20  # images that the ends of the masks' names are looked for with
MOST_PARTS = 1.5  # parts for each value of a mask up to which its values are objects
SHOWN = 8  # entries of a folder that a message names


class Choice(NamedTuple):
    """A value found for a param that says `auto`."""

    key: str  # of params.yaml, dotted
    value: str | int | float
    reason: str  # in words

    @property
    def sentence(self) -> str:
        """What is said of it."""
        value = repr(self.value) if self.value == "" else self.value
        return f"{self.key} is {value}: {self.reason}"


def recognise(root: Path, params: DatasetParams) -> tuple[DatasetParams, list[Choice]]:
    """Find format, masks and columns of a data set where params say `auto`.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    params : DatasetParams
        A value other than `auto` is kept, and what is found goes with it. `category_id` is left as
        it is: see `with_category`.

    Returns
    -------
    params : DatasetParams
        Keys that the format does not use may still be `auto`.
    choices : list of Choice
        In the order of the keys in params.yaml.

    Raises
    ------
    InputError
        If nothing fits, or more than one thing does; the message lists what was seen.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    choices = [_format(root)] if params.format == AUTO else []
    params = _with(params, choices)
    find = {"mask_folder": _mask_files, "rle_csv": _run_lengths, "vector": _outlines}
    find = find.get(params.format)
    found = find(root, params) if find else []
    return _with(params, found), choices + found


def with_category(params: DatasetParams, dataset: Dataset) -> tuple[DatasetParams, list[Choice]]:
    """Put the category of a data set that was read in the place of `auto`.

    Parameters
    ----------
    params : DatasetParams
        As `recognise` returns it.
    dataset : Dataset
        Found with it.

    Returns
    -------
    params : DatasetParams
        With one number.
    choices : list of Choice
        None, or the one.
    """
    if params.category_id != AUTO:
        return params.model_copy(update={"category_id": dataset.category["id"]}), []
    number, name = dataset.category["id"], dataset.category["name"]
    reason = "there is one kind of object, which gets the first number"
    if params.format in ("coco", "yolo"):
        reason = f"'{name}' is the only category that has annotations"
    choices = [Choice("dataset.category_id", number, reason)]
    return _with(params, choices), choices


def _with(params: DatasetParams, choices: list[Choice]) -> DatasetParams:
    return params.model_copy(update={key.split(".")[1]: value for key, value, _ in choices})


# the format


def _format(root: Path) -> Choice:
    train = root / "train"
    if not train.is_dir() and (root / "labels/train").is_dir() and (root / "images/train").is_dir():
        return Choice("dataset.format", "yolo", "there are images/train and labels/train")
    if not train.is_dir():
        raise InputError(
            f"{root}: holds no folder 'train' but {_listed(root)}; put images and annotations "
            "there as docs/data.md says"
        )
    found = {"coco": _coco_file(train), "mask_folder": _mask_folders(train)}
    found |= {"rle_csv": _run_length_table(root), "vector": _vector_files(root)}
    found |= {"yolo": _text_labels(root), "labelme": _shapes(train)}
    if found["labelme"] and not (train / "annotation.json").is_file():
        found["coco"] *= (train / "images").is_dir()  # else it is one of labelme's
    seen = {format: what for format, what in found.items() if what}
    if len(seen) > 1:
        both = " and ".join(f"{format} ({what})" for format, what in seen.items())
        raise InputError(f"{root}: looks like {both}; set dataset.format to the one to read")
    if not seen:
        if any(train.glob("*.json")):
            annotation_file(train)  # says that there are several
        tables = [table for table in ("train.csv", "train/train.csv") if (root / table).is_file()]
        without = f" and no run lengths in {tables[0]}" if tables else ""
        raise InputError(
            f"{train}: holds {_listed(train)}, so no JSON file, no folder of masks, no vector "
            f"file of outlines{without}; lay it out as docs/data.md says, or set dataset.format"
        )
    [(format, what)] = seen.items()
    return Choice("dataset.format", format, f"there is {what}, and nothing of another format")


def _listed(folder: Path) -> str:
    """Name what lies in a folder, folders first."""
    folders = folders_in(folder)
    files = [name for name in files_below(folder) if "/" not in name] if folder.is_dir() else []
    names = [f"{name}/" for name in folders] + files
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"{name!a:.60}" for name in names[:SHOWN]) + more or "nothing"


def _coco_file(train: Path) -> str:
    files = [path.name for path in train.glob("*.json") if path.is_file() and path.name[0] != "."]
    one = len(files) == 1 or "annotation.json" in files
    return f"train/{annotation_file(train).name}" if one else ""


def _mask_folders(train: Path) -> str:
    return ", ".join(f"train/{name}" for name in _folders_of_masks(train))


def _run_length_table(root: Path) -> str:
    paths = [root / "train" / "train.csv", root / "train.csv"]
    if not any(path.is_file() for path in paths):
        return ""
    table = find_table(root, "train")
    columns, rows = read_head(table, ROWS)
    runs = _columns_of_runs(columns, rows)
    return f"{table.relative_to(root).as_posix()} with a column '{runs[0]}'" if runs else ""


def _text_labels(root: Path) -> str:
    labels = labels_folder(root, "train")
    there = labels.is_dir() and any(name.endswith(".txt") for name in files_below(labels))
    return f"text files in {labels.relative_to(root).as_posix()}" if there else ""


def _shapes(train: Path) -> str:
    """Name a file of labelme beside an image."""
    folder = labelme_folder(train)
    names = set(files_below(folder))
    for name in sorted(names):
        path = PurePosixPath(name)
        beside = is_image(name) and path.with_suffix(".json").as_posix() in names
        if beside and is_labelme(folder / path.with_suffix(".json")):
            return f"'{path.with_suffix('.json').name}' of labelme beside an image"
    return ""


def _vector_files(root: Path) -> str:
    files = vector_files(root)
    return ", ".join(path.relative_to(root).as_posix() for path in files[:SHOWN])


# vector


def _outlines(root: Path, params: DatasetParams) -> list[Choice]:
    """Find the file of outlines, its layer, the area of interest, and the size of blocks."""
    choices, name = [], params.vector_file
    if name == AUTO:
        files = vector_files(root)
        if len(files) != 1:
            held = f"holds {_quoted([path.name for path in files])}" if files else "holds none"
            raise InputError(
                f"{root / 'train'}: {held} of the vector files of outlines that are known "
                f"({' '.join(SUFFIXES)}); set dataset.vector_file to the one to read"
            )
        name = files[0].name
        reason = f"it is the only vector file in '{files[0].parent.name}'"
        choices.append(Choice("dataset.vector_file", name, reason))
    if params.layer == AUTO:
        layer = only_layer(
            file_of_split(root, "train", name, "dataset.vector_file"), "dataset.layer"
        )
        reason = f"it is the only layer of {name} that may hold polygons"
        choices.append(Choice("dataset.layer", layer, reason))
    if params.aoi == AUTO:
        area = aoi_file(root)
        reason = "outside of its polygons nothing counts" if area else "there is no file 'aoi'"
        choices.append(Choice("dataset.aoi", area.name if area else "", reason))
    if params.tile_block == AUTO:
        scenes, _ = find_scenes(folder_of_images(root / "train"))
        block, groups = choose_block(scenes, params.tile_size, params.tile_overlap)
        reason = (
            f"so many tiles a side give {groups} groups of neighbouring tiles in train, of which "
            f"there should be {ENOUGH}"
        )
        choices.append(Choice("dataset.tile_block", block, reason))
    return choices


# mask_folder


def _folders_of_masks(train: Path) -> list[str]:
    """Name the folders beside images/ that hold image files; NAME stands for that of an image."""
    if (train / "images").is_dir():
        return [n for n in folders_in(train) if n != "images" and _holds_images(train / n)]
    found = Counter(
        f"NAME/{name}"
        for image in folders_in(train)
        if (train / image / "images").is_dir()
        for name in folders_in(train / image)
        if name != "images" and _holds_images(train / image / name)
    )
    return sorted(found)


def _holds_images(folder: Path) -> bool:
    return any(map(is_image, files_below(folder)))


def _mask_files(root: Path, params: DatasetParams) -> list[Choice]:
    """Find folder, names and meaning of masks."""
    train, choices = root / "train", []
    flat = (train / "images").is_dir()
    if params.mask_folder == AUTO:
        choices.append(_mask_folder(train))
        params = _with(params, choices)
    masks = train / params.mask_folder
    names = sorted(_names_of_masks(masks)) if flat else []
    images = files_below(train / "images") if flat else []
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in images if is_image(name)]
    if params.mask_suffix == AUTO and not names_by(params).patterned:
        choices.append(_mask_suffix(masks, stems, names))
        params = _with(params, choices)
    if params.masks == AUTO:
        if flat:
            how = names_by(params)
            of_images = set(map(how.key_of_image, stems)) - {None}
            expected = [name for name in names if how.key_of_mask(name) in of_images]
            choices.append(_meaning(masks, expected, params.ignored_value))
        else:
            reason = "each image has a folder of its own, with a mask for each object"
            choices.append(Choice("dataset.masks", "instances", reason))
    order = ("dataset.masks", "dataset.mask_folder", "dataset.mask_suffix")
    return sorted(choices, key=lambda choice: order.index(choice.key))


def _mask_folder(train: Path) -> Choice:
    names = [PurePosixPath(name).name for name in _folders_of_masks(train)]
    if len(names) > 1 and MASKS not in names:
        raise InputError(
            f"{train}: {_quoted(names)} hold images beside 'images'; set dataset.mask_folder to "
            "the one with the masks"
        )
    if not names:
        raise InputError(
            f"{train}: holds {_listed(train)}, so no folder of masks beside the images; see "
            "docs/data.md for the layout"
        )
    if len(names) > 1:
        reason = f"of the folders {_quoted(names)} it has the usual name"
        return Choice("dataset.mask_folder", MASKS, reason)
    reason = "it is the only folder with images beside 'images'"
    return Choice("dataset.mask_folder", names[0], reason)


def _names_of_masks(folder: Path) -> set[str]:
    """Paths of masks without extension, and of the folders that masks lie in."""
    if not folder.is_dir():
        return set()
    paths = [PurePosixPath(name) for name in files_below(folder) if is_image(name)]
    inside = {path.parent.as_posix() for path in paths}
    return {path.with_suffix("").as_posix() for path in paths} | (inside - {"."})


def _mask_suffix(folder: Path, stems: list[str], names: list[str]) -> Choice:
    """Find what masks have after the name of their image; `names` are sorted."""
    if not stems:
        reason = "each image has a folder of its own, whose masks may have any name"
        return Choice("dataset.mask_suffix", "", reason)
    suffixes = {""}
    for stem in stems[:STEMS]:
        for name in names[bisect_left(names, stem) :]:
            if not name.startswith(stem):
                break
            suffixes.add(name.removeprefix(stem))
    there = set(names)
    counts = {
        suffix: sum(stem + suffix in there for stem in stems)
        for suffix in sorted(suffixes, key=lambda suffix: (len(suffix), suffix))
        if "/" not in suffix
    }
    most = max(counts.values())
    best = [suffix for suffix, count in counts.items() if count == most]
    if len(best) > 1 and most and "" not in best:
        raise InputError(
            f"{folder}: masks are named like their image with {_quoted(best)} after it; set "
            "dataset.mask_suffix to the one to read"
        )
    after = f"with '{best[0]}' after it" if best[0] else "with nothing after it"
    reason = f"{most} of {len(stems)} images have a mask of their name {after}"
    return Choice("dataset.mask_suffix", best[0], reason)


def _meaning(folder: Path, expected: list[str], ignore_value: int | None) -> Choice:
    """Tell what the masks of those names show, by looking at some."""
    key = "dataset.masks"
    if any((folder / name).is_dir() for name in expected):
        return Choice(key, "instances", "each image has a folder with a mask for each object")
    wanted = set(expected)
    files = [f for f in files_below(folder) if is_image(f)] if folder.is_dir() else []
    files = [f for f in files if PurePosixPath(f).with_suffix("").as_posix() in wanted]
    files = [files[place * len(files) // LOOKS] for place in range(LOOKS)] if files else []
    looks = []
    for file in dict.fromkeys(files):
        try:
            looks.append(look_at_mask(folder / file, ignore_value))
        except InputError:
            continue  # its image is rejected later, which says why
    of_many = [look for look in looks if not look.binary]
    if not of_many:
        reason = f"each of {len(looks)} masks looked at has one value beside the background"
        return Choice(key, "components", f"{reason}, so that objects are its connected parts")
    values, parts = (sum(look[place] for look in of_many) for place in (1, 2))
    found = f"{len(of_many)} of {len(looks)} masks looked at have several values"
    if parts > MOST_PARTS * values:
        raise InputError(
            f"{folder}: {found}, {values} in all, each in {parts / values:.1f} separate parts on "
            "average, as classes or grey levels are; store one class as 0 and 255, or set "
            "dataset.masks to ids if each value is one object"
        )
    return Choice(key, "ids", f"{found}, each in one piece, so that each value is an object")


# rle_csv


def _run_lengths(root: Path, params: DatasetParams) -> list[Choice]:
    """Find the columns of the table, and what a row is."""
    if AUTO not in (params.masks, params.id_column, params.rle_column, params.class_column):
        return []
    table, choices = find_table(root, "train"), []
    columns, rows = read_head(table, ROWS)
    if params.id_column == AUTO:
        images = [normalize("NFC", name) for name in files_below(root / "train" / "images")]
        names = {*images, *(PurePosixPath(name).with_suffix("").as_posix() for name in images)}
        rows = [[normalize("NFC", cell) for cell in row] for row in rows]
        others = [column for column in columns if column != params.rle_column]
        found = _columns_with(columns, rows, lambda cell: cell in names)
        with_class = _columns_with(columns, rows, lambda cell: cell.rpartition("_")[0] in names)
        found = [column for column in found or with_class if column in others]
        what = "names of images", "are the names of images"
        choices.append(_column(table, "id_column", others, ID_NAMES, found, what))
    if params.rle_column == AUTO:
        found = _columns_of_runs(columns, rows)
        taken = params.id_column, *(choice.value for choice in choices)
        others = [column for column in columns if column not in taken]
        found = [column for column in found if column in others]
        what = "run lengths", "are run lengths"
        choices.append(_column(table, "rle_column", others, RLE_NAMES, found, what))
    if params.class_column == AUTO:
        choices += _class_column(root, columns, rows, _with(params, choices))
    if params.masks == AUTO:
        repeated = has_repeated_ids(table, _with(params, choices).id_column)
        if repeated:
            choice = Choice("dataset.masks", "instances", f"{table.name} has several rows an image")
        else:
            reason = f"{table.name} has one row an image, whose connected parts are the objects"
            choice = Choice("dataset.masks", "components", reason)
        choices.insert(0, choice)
    return choices


def _class_column(
    root: Path, columns: list[str], rows: list[list[str]], params: DatasetParams
) -> list[Choice]:
    """Find a column of classes, or that ids end with one; nothing is said where there is none."""
    key, ids = "dataset.class_column", params.id_column
    if ids in columns:
        images = files_below(root / "train" / "images")
        names = {*images, *(PurePosixPath(name).with_suffix("").as_posix() for name in images)}
        cells = [row[columns.index(ids)] for row in rows]
        both = [cell not in names and cell.rpartition("_")[0] in names for cell in cells]
        if both and sum(both) * 2 > len(both):
            reason = "its cells are names of images with a class after the last '_'"
            return [Choice(key, ids, reason)]
    found = [c for c in columns if _is_named(c, CLASS_NAMES) and c not in (ids, params.rle_column)]
    reason = "it has the usual name of a column of classes"
    return [Choice(key, found[0], reason)] if len(found) == 1 else []


def _column(
    table: Path,
    key: str,
    columns: list[str],
    usual: tuple[str, ...],
    found: list[str],
    what: tuple[str, str],
) -> Choice:
    """Choose a column by what its cells are, among several by its name."""
    named = [column for column in columns if _is_named(column, usual)]
    both = [column for column in found if column in named]
    best = both if len(found) > 1 and both else found or named
    if len(best) != 1:
        seen = f"the columns {_quoted(best)} all hold" if best else "no column holds"
        raise InputError(
            f"{table}: {seen} {what[0]}, of {_quoted(columns)}; set dataset.{key} to the one to "
            "read"
        )
    reason = f"its cells {what[1]}" if found else "of the columns it has the usual name"
    return Choice(f"dataset.{key}", best[0], reason)


def _columns_of_runs(columns: list[str], rows: list[list[str]]) -> list[str]:
    """Name the columns of run lengths, and those of such a name in which all cells are empty."""
    found = _columns_with(columns, rows, is_runs)
    empty = [c for i, c in enumerate(columns) if all(is_no_object(row[i]) for row in rows)]
    return found or [column for column in empty if _is_named(column, RLE_NAMES)]


def _is_named(column: str, usual: tuple[str, ...]) -> bool:
    return "".join(filter(str.isalnum, column.lower())) in usual


def _columns_with(
    columns: list[str], rows: list[list[str]], fits: Callable[[str], bool]
) -> list[str]:
    """Name the columns most of whose cells that are not empty fit."""
    found = []
    for place, column in enumerate(columns):
        cells = [row[place] for row in rows if not is_no_object(row[place])]
        if cells and sum(map(fits, cells)) * 2 > len(cells):
            found.append(column)
    return found


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name!s:.60}'" for name in names[:SHOWN])
