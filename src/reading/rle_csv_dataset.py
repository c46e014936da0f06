"""A data set of images and a table of run lengths, as competitions hand them out."""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from src.base.errors import InputError
from src.reading.image_folders import find_images, read_unlabelled
from src.reading.mask_files import check_count, component_regions, label_regions, number_objects
from src.reading.records import Dataset, ImageRecord, SourceObject
from src.reading.regions import Region

MASKS = ("instances", "components", "whole")
NO_OBJECT = (b"", b"-1", b"nan")  # a cell without runs, in lower case
MAX_DIGITS = 10  # of a number; more pixels no image has
CELL = re.compile(rb'[ \t]*+(?:"([^"]*+(?:""[^"]*+)*+)"[ \t]*+|([^,"]*+))(,|\Z)')
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # that spreadsheets put first


def find_records(
    root: Path, *, category_id: int, masks: str, id_column: str, rle_column: str
) -> Dataset:
    """Find the images of a data set of run lengths, and where in the table those of each are.

    `train/images/` must be there, with the table `train/train.csv` or `train.csv` beside the
    folder train; `val/` likewise if there is such a folder; `test_images/` or `test/images/` may
    hold images without. Images are not opened and run lengths not looked at.

    Parameters
    ----------
    root : Path
        Folder of the data set.
    category_id : int
        The number that the objects' category gets.
    masks : {"instances", "components", "whole"}
        Each row of an image is an object, or all of them together are a mask whose connected
        parts are the objects, or which is one object.
    id_column : str
        Column with an image's file name below `images/`, with or without extension.
    rle_column : str
        Column with its run lengths.

    Returns
    -------
    dataset : Dataset
        Images are numbered from 1 in each split, by name; rows without an image are unlisted, as
        are files in a folder of images that are none by their extension.

    Raises
    ------
    InputError
        If a folder is absent or holds no image, a file name is unfit or there twice, a table is
        absent, there twice, no CSV, lacks a column or an id fits none or two, or `masks` is "ids".
    ValueError
        If `masks` is unknown.
    """
    if masks == "ids":
        raise InputError("dataset.masks is ids: run lengths have no values; set it to another")
    if masks not in MASKS:
        raise ValueError(f"masks must be one of {', '.join(MASKS)}: {masks}")
    if id_column == rle_column:
        raise InputError(
            f"dataset.id_column and dataset.rle_column are both {id_column!r:.80}; name two columns"
        )
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    records, unlisted = [], 0
    for split in ("train", "val"):
        if split == "train" or (root / split).is_dir():
            found, others = find_images(root / split / "images", split)
            table = find_table(root, split)
            found, strays = _with_spans(found, table, masks, id_column, rle_column)
            records, unlisted = records + found, unlisted + others + strays
    found, others = _find_unlabelled(root)
    records, unlisted = records + found, unlisted + others
    return Dataset(sorted(records), {"id": category_id, "name": str(category_id)}, unlisted)


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the objects of an image from its rows.

    A cell holds pairs of numbers, the first pixel of a run and its length; pixels are counted
    from 1 down the columns. An empty cell, "-1" and "nan" stand for no object. Runs may come in
    any order.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` lists it.
    height, width : int
        Of the image, in pixels.

    Returns
    -------
    objects : list of SourceObject
        Numbered from 1: rows as they come in the table, parts by their first pixel row for row.
        Empty in test.

    Raises
    ------
    InputError
        With the reason alone: no row, a cell that is no pairs of numbers, runs outside the image
        or one over the other, more than 65534 rows or parts.
    """
    if record.split == "test":
        return []
    masks, table, *spans = record.objects
    path = Path(table)
    if not spans:
        raise InputError(f"no row in {path.name}")
    if masks == "instances":
        check_count(len(spans))
    rows = [_read_runs(cell, height, width) for cell in _cells_at(path, spans)]
    rows = [runs for runs in rows if len(runs)]
    if masks == "instances":
        regions = [_region(runs, height) for runs in rows]
    else:
        filled = np.zeros(height * width, bool)
        for runs in rows:
            for start, stop in runs.tolist():
                filled[start:stop] = True
        mask = filled.reshape(width, height).T
        regions = component_regions(mask) if masks == "components" else label_regions(mask)
    return number_objects(record, regions)


def find_table(root: Path, split: str) -> Path:
    """Return the table of a split.

    Raises
    ------
    InputError
        If it is absent or there twice.
    """
    inner, outer = root / split / f"{split}.csv", root / f"{split}.csv"
    if inner.is_file() and outer.is_file():
        raise InputError(f"{inner}: {outer} is there too; remove one of the two tables")
    if not inner.is_file() and not outer.is_file():
        raise InputError(f"{inner}: no such file, nor {outer}; see docs/data.md for the layout")
    return inner if inner.is_file() else outer


def read_head(table: Path, rows: int) -> tuple[list[str], list[list[str]]]:
    """Read the names of the columns of a table, and the cells of its first rows.

    Raises
    ------
    InputError
        If it is no CSV in UTF-8, or a row has not as many cells as the first line.
    """
    try:
        with open(table, "rb") as file:
            header = file.readline().removeprefix(BYTE_ORDER_MARK)
            columns, found = _columns(header, f"{table}: line 1"), []
            for number, line in enumerate(islice(file, rows), start=2):
                where = f"{table}: line {number}"
                if line.strip():
                    cells = _row(line, len(columns), where)
                    found.append([_text(line, cell, where) for cell in cells])
    except OSError as error:
        raise InputError(f"{table}: cannot be read: {error.strerror}") from None
    return columns, found


def has_repeated_ids(table: Path, id_column: str) -> bool:
    """Tell whether two rows of a table have one id. Raises InputError as `find_records` does."""
    seen = set()
    for _, name, _ in _rows(table, id_column, id_column):
        if name in seen:
            return True
        seen.add(name)
    return False


def is_runs(cell: str) -> bool:
    """Tell whether a cell holds pairs of whole numbers, as run lengths are."""
    words = cell.split()
    return bool(words) and len(words) % 2 == 0 and all(w.isascii() and w.isdigit() for w in words)


def is_no_object(cell: str) -> bool:
    """Tell whether a cell says that there is no object."""
    return cell.strip().lower().encode() in NO_OBJECT


def _find_unlabelled(root: Path) -> tuple[list[ImageRecord], int]:
    folder, images = root / "test", root / "test_images"
    if folder.is_dir() and images.is_dir():
        raise InputError(f"{root}: holds both test and test_images; remove one of the two")
    if images.is_dir():
        return read_unlabelled(images)
    return find_images(folder / "images", "test") if folder.is_dir() else ([], 0)


def _with_spans(
    records: list[ImageRecord], table: Path, masks: str, id_column: str, rle_column: str
) -> tuple[list[ImageRecord], int]:
    """Add the places of their cells in the table to records; count the rows without an image."""
    names = defaultdict(set)
    for place, record in enumerate(records):
        names[record.file_name].add(place)
        names[str(PurePosixPath(record.file_name).with_suffix(""))].add(place)
    spans, strays = [[] for _ in records], 0
    for number, name, span in _rows(table, id_column, rle_column):
        places = names.get(name, ())
        if len(places) > 1:
            first, second = (records[place].file_name for place in sorted(places)[:2])
            raise InputError(
                f"{table}: line {number}: {id_column} '{name}' fits '{first}' and '{second}'; "
                "rename one of the images"
            )
        for place in places:
            spans[place].append(span)
        strays += not places
    if not any(spans):
        raise InputError(
            f"{table}: no row of an image ({len(records)} images, such as "
            f"'{records[0].file_name}'); give their names in the column '{id_column}'"
        )
    objects = ((masks, str(table), *cells) for cells in spans)
    records = [r._replace(objects=places) for r, places in zip(records, objects, strict=True)]
    return records, strays


def _rows(
    table: Path, id_column: str, rle_column: str
) -> Iterator[tuple[int, str, tuple[int, int]]]:
    """Yield line number, id, and byte offset and length of the cell with the runs."""
    try:
        with open(table, "rb") as file:
            header = file.readline()
            columns = _columns(header.removeprefix(BYTE_ORDER_MARK), f"{table}: line 1")
            id_place = _place(columns, id_column, "id_column", table)
            rle_place = _place(columns, rle_column, "rle_column", table)
            offset = len(header)
            for number, line in enumerate(file, start=2):
                where = f"{table}: line {number}"
                if line.strip():
                    cells = _row(line, len(columns), where)
                    start, stop = cells[rle_place]
                    name = _text(line, cells[id_place], where)
                    yield number, name, (offset + start, stop - start)
                offset += len(line)
    except OSError as error:
        raise InputError(f"{table}: cannot be read: {error.strerror}") from None


def _columns(header: bytes, where: str) -> list[str]:
    _text(header, (0, len(header)), where)  # UTF-16 would look like another mistake
    return [_text(header, span, where) for span in _cells(header, where)]


def _row(line: bytes, columns: int, where: str) -> list[tuple[int, int]]:
    """Begin and end of the cells of a line, of which there must be so many."""
    cells = _cells(line, where)
    if len(cells) != columns:
        raise InputError(
            f"{where}: the number of cells is {len(cells)}, in the first line {columns}; put as "
            "many into each line"
        )
    return cells


def _cells(line: bytes, where: str) -> list[tuple[int, int]]:
    """Begin and end of the cells of a line, without their quotation marks."""
    line, cells, place = line.rstrip(b"\r\n"), [], 0
    if line.count(b'"') % 2:
        raise InputError(f"{where}: a quoted cell does not end there; put each row into one line")
    if b"\r" in line:
        raise InputError(f"{where}: a carriage return in it; end lines with a line feed")
    while True:
        found = CELL.match(line, place)
        if found is None:
            raise InputError(f"{where}: a quotation mark within a cell; write it as CSV")
        cells.append(found.span(1 if found[1] is not None else 2))
        if not found[3]:
            return cells
        place = found.end()


def _text(line: bytes, span: tuple[int, int], where: str) -> str:
    try:
        return line[slice(*span)].decode().replace('""', '"').strip()
    except UnicodeDecodeError:
        raise InputError(f"{where}: not UTF-8 text; save the table as such") from None


def _place(columns: list[str], column: str, key: str, table: Path) -> int:
    if columns.count(column) != 1:
        raise InputError(
            f"{table}: {columns.count(column)} columns '{column}' in the first line "
            f"{','.join(columns)!r:.200}; set dataset.{key} to one that is there once"
        )
    return columns.index(column)


def _cells_at(table: Path, spans: list[tuple[int, int]]) -> list[bytes]:
    try:
        with open(table, "rb") as file:
            cells = []
            for offset, length in spans:
                file.seek(offset)
                cells.append(file.read(length))
            return cells
    except OSError as error:
        raise InputError(f"{table.name} cannot be read: {error.strerror}") from None


def _read_runs(cell: bytes, height: int, width: int) -> np.ndarray:
    """Return runs, int64 (R, 2): the first pixel of each and the one after its last."""
    if cell.strip().lower() in NO_OBJECT:
        return np.empty((0, 2), np.int64)
    words = cell.split()
    for word in words:
        if not word.isdigit() or len(word) > MAX_DIGITS:
            shown = word[:40].decode("ascii", "backslashreplace")
            raise InputError(f"run lengths with {shown!r}, not a whole number from 1 up")
    if len(words) % 2:
        raise InputError(f"an odd count of run lengths ({len(words)}); they come in pairs")
    starts, lengths = np.array(list(map(int, words)), np.int64).reshape(-1, 2).T
    _check_runs(starts, lengths, height, width)
    order = np.argsort(starts)
    starts, stops = starts[order] - 1, starts[order] + lengths[order] - 1
    overlaps = np.flatnonzero(starts[1:] < stops[:-1])
    if overlaps.size:
        first, second = (f"{starts[i] + 1} {stops[i] - starts[i]}" for i in overlaps[0] + (0, 1))
        raise InputError(f"the runs '{first}' and '{second}' cover the same pixels")
    apart = starts[1:] > stops[:-1]
    return np.stack(
        [starts[np.concatenate([[True], apart])], stops[np.concatenate([apart, [True]])]], axis=1
    )


def _check_runs(starts: np.ndarray, lengths: np.ndarray, height: int, width: int) -> None:
    for values, what in ((starts, "start"), (lengths, "length")):
        if not values.all():
            place = int(np.flatnonzero(values == 0)[0])
            raise InputError(
                f"the run '{starts[place]} {lengths[place]}' has a {what} of 0; pixels and "
                "lengths count from 1"
            )
    beyond = np.flatnonzero(starts + lengths - 1 > height * width)
    if beyond.size:
        raise InputError(
            f"the run '{starts[beyond[0]]} {lengths[beyond[0]]}' ends beyond the image's "
            f"{height * width} pixels"
        )


def _region(runs: np.ndarray, height: int) -> Region:
    first, last = runs[:, 0], runs[:, 1] - 1
    left, right = int(first[0] // height), int(last[-1] // height)
    top, bottom = 0, height - 1
    if (first // height == last // height).all():  # else a run touches bottom and top
        top, bottom = int((first % height).min()), int((last % height).max())
    box = (left, top, right - left + 1, bottom - top + 1)
    return Region(runs, int((last - first + 1).sum()), box)
