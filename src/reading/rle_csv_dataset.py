"""A data set of images and a table of run lengths, as competitions hand them out."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

import cv2
import numpy as np

from src.base.errors import InputError
from src.reading.image_folders import find_images, read_unlabelled
from src.reading.mask_files import check_count, component_regions, label_regions, number_objects
from src.reading.records import Dataset, ImageRecord, SourceObject
from src.reading.regions import Region

MASKS = ("instances", "components", "whole")
NO_OBJECT = (b"", b"-1", b"nan")  # a cell without runs, in lower case
MAX_DIGITS = 10  # of a number; more pixels no image has
BEFORE_SPANS = 3  # what the objects of a record begin with: masks, dialect, table
EMPTY_CELL = (0, 0)  # the place of a row without an object
FEW = 4  # runs up to which an object is no comb
MOST_SHIFT = 2  # px, by which an object's edge moves from line to line where it spans the image
BRACKETS = bytes.maketrans(b"[](),", b"     ")
CELL = re.compile(rb'[ \t]*+(?:"([^"]*+(?:""[^"]*+)*+)"[ \t]*+|([^,"]*+))(,|\Z)')
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # that spreadsheets put first


class Dialect(NamedTuple):
    """How a table counts pixels."""

    order: str = "column"  # or row
    first: int = 1  # number of the first pixel
    starts: str = "absolute"  # or relative: pixels between a run and the end of the one before
    empty: tuple[str, ...] = ()  # cells that stand for no object, beside NO_OBJECT


KAGGLE = Dialect()


def find_records(
    root: Path,
    *,
    category_id: int,
    masks: str,
    id_column: str,
    rle_column: str,
    dialect: Dialect = KAGGLE,
    class_column: str = "",
    classes: tuple[str, ...] | None = None,
    missing_mask: str = "refuse",
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
    dialect : Dialect
        How these count.
    class_column : str
        Column with the class of a row, or that of ids if what follows their last "_" is it; "" if
        there is none.
    classes : tuple of str, optional
        Rows of other classes are left out; None: there must be one class alone.
    missing_mask : {"refuse", "empty"}
        An image without a row is rejected when it is read, or has no object.

    Returns
    -------
    dataset : Dataset
        Images are numbered from 1 in each split, by name; rows without an image or of another
        class are unlisted, as are files in a folder of images that are none by their extension.

    Raises
    ------
    InputError
        If a folder is absent or holds no image, a file name is unfit or there twice, a table is
        absent, there twice, no CSV, lacks a column or an id fits none or two, `masks` is "ids", or
        there are several classes and none is chosen, or none of those chosen.
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
    columns = id_column, rle_column, class_column
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds train/")
    records, unlisted = [], 0
    for split in ("train", "val"):
        if split == "train" or (root / split).is_dir():
            found, others = find_images(root / split / "images", split)
            table = find_table(root, split)
            found, strays, classes = _with_spans(found, table, (masks, dialect), columns, classes)
            records, unlisted = records + found, unlisted + others + strays
    bare = {record.name for record in records if len(record.objects) == BEFORE_SPANS}
    unmarked = len(bare) if missing_mask == "empty" else 0
    if unmarked:
        records = [_as_empty(record) if record.name in bare else record for record in records]
    found, others = _find_unlabelled(root)
    records, unlisted = records + found, unlisted + others
    name = ", ".join(classes) if class_column and classes else str(category_id)
    return Dataset(sorted(records), {"id": category_id, "name": name}, unlisted, unmarked=unmarked)


def _as_empty(record: ImageRecord) -> ImageRecord:
    return record._replace(objects=(*record.objects, EMPTY_CELL))


def read_objects(record: ImageRecord, height: int, width: int) -> list[SourceObject]:
    """Read the objects of an image from its rows.

    A cell holds pairs of numbers, the first pixel of a run and its length, as the dialect counts,
    with or without brackets and ".0". An empty cell, "-1" and "nan" stand for no object. Runs may
    come in any order.

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
    masks, dialect, table, *spans = record.objects
    path = Path(table)
    if not spans:
        raise InputError(f"no row in {path.name}")
    if masks == "instances":
        check_count(len(spans))
    rows = [_read_runs(cell, height, width, dialect) for cell in _cells_at(path, spans)]
    rows = [(runs, odd) for runs, odd in rows if len(runs)]
    line = width if dialect.order == "row" else height
    if masks == "instances":
        odd = [flag or _is_comb(runs, line, one=True) for runs, flag in rows]
        if dialect.order == "row":
            regions = [
                label_regions(_painted([runs], height, width, dialect))[0] for runs, _ in rows
            ]
        else:
            regions = [_region(runs, height) for runs, _ in rows]
    else:
        mask = _painted([runs for runs, _ in rows], height, width, dialect)
        regions = component_regions(mask) if masks == "components" else label_regions(mask)
        combs = any(flag or _is_comb(runs, line, one=False) for runs, flag in rows)
        odd = [combs] * len(regions)
    objects = number_objects(record, regions)
    return [one._replace(comb=flag) for one, flag in zip(objects, odd, strict=True)]


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
    for _, name, _, _ in _rows(table, (id_column, id_column, "")):
        if name in seen:
            return True
        seen.add(name)
    return False


def is_runs(cell: str) -> bool:
    """Tell whether a cell holds pairs of whole numbers, as run lengths are."""
    words = _words(cell.encode()).decode().split()
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
    records: list[ImageRecord],
    table: Path,
    how: tuple[str, Dialect],
    columns: tuple[str, str, str],
    classes: tuple[str, ...] | None,
) -> tuple[list[ImageRecord], int, tuple[str, ...] | None]:
    """Add the places of their cells in the table to records.

    Return them, the number of rows without an image or of another class, and the classes read.
    An image whose rows are all of other classes has no object.
    """
    names = defaultdict(set)
    for place, record in enumerate(records):
        file_name = normalize("NFC", record.file_name)
        names[file_name].add(place)
        names[str(PurePosixPath(file_name).with_suffix(""))].add(place)
    spans, strays, seen = [[] for _ in records], 0, Counter()
    id_column, _, class_column = columns
    for number, name, kind, span in _rows(table, columns):
        if class_column == id_column:
            name, _, kind = name.rpartition("_")
        seen[kind] += span[1] > 0
        if classes is not None and class_column and kind not in classes:
            span = EMPTY_CELL
            strays += 1
        places = names.get(normalize("NFC", name), ())
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
    if class_column:
        classes = _checked_classes(seen, classes, table)
    objects = ((*how, str(table), *cells) for cells in spans)
    records = [r._replace(objects=places) for r, places in zip(records, objects, strict=True)]
    return records, strays, classes


def _checked_classes(
    seen: Counter, classes: tuple[str, ...] | None, table: Path
) -> tuple[str, ...] | None:
    """Return the classes to read; the only one of the table where none are given."""
    there = [kind for kind, count in seen.items() if count]
    shown = ", ".join(f"'{kind!s:.40}' ({count} rows)" for kind, count in seen.most_common())
    if classes is None and len(there) > 1:
        raise InputError(
            f"{table}: rows of {len(there)} classes, {shown:.400}; set dataset.category_id to the "
            "one to find, or to a list of those that are one, or dataset.class_column to ''"
        )
    if classes is not None and there and not set(classes) & set(there):
        raise InputError(
            f"{table}: no run lengths of class {' or '.join(classes)}; set dataset.category_id to "
            f"one that occurs: {shown:.400}"
        )
    return tuple(there) or None if classes is None else classes


def _rows(
    table: Path, named: tuple[str, str, str]
) -> Iterator[tuple[int, str, str, tuple[int, int]]]:
    """Yield line number, id, class, and byte offset and length of the cell with the runs."""
    id_column, rle_column, class_column = named
    try:
        with open(table, "rb") as file:
            header = file.readline()
            columns = _columns(header.removeprefix(BYTE_ORDER_MARK), f"{table}: line 1")
            id_place = _place(columns, id_column, "id_column", table)
            rle_place = _place(columns, rle_column, "rle_column", table)
            of_class = _place(columns, class_column, "class_column", table) if class_column else -1
            offset = len(header)
            for number, line in enumerate(file, start=2):
                where = f"{table}: line {number}"
                if line.strip():
                    cells = _row(line, len(columns), where)
                    start, stop = cells[rle_place]
                    name = _text(line, cells[id_place], where)
                    kind = _text(line, cells[of_class], where) if class_column else ""
                    yield number, name, kind, (offset + start, stop - start)
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


def _words(cell: bytes) -> bytes:
    """Return a cell without brackets and commas, and whole numbers written as real ones whole."""
    cell = cell.translate(BRACKETS)
    return re.sub(rb"\.0+(?=\s|\Z)", b"", cell) if b"." in cell else cell


def _read_runs(cell: bytes, height: int, width: int, dialect: Dialect) -> tuple[np.ndarray, bool]:
    """Return runs, int64 (R, 2): the first pixel of each and the one after its last, from 0.

    And whether they look odd: backwards, or the pixel that some tables write for none.
    """
    if cell.strip().lower() in NO_OBJECT or cell.strip().decode("latin-1") in dialect.empty:
        return np.empty((0, 2), np.int64), False
    words = _words(cell).split()
    if not words:
        return np.empty((0, 2), np.int64), False
    for word in words:
        if not word.isdigit() or len(word) > MAX_DIGITS:
            shown = word[:40].decode("ascii", "backslashreplace")
            raise InputError(f"run lengths with {shown!r}, not a whole number from 1 up")
    if len(words) % 2:
        raise InputError(f"an odd count of run lengths ({len(words)}); they come in pairs")
    starts, lengths = np.array(list(map(int, words)), np.int64).reshape(-1, 2).T
    first = dialect.first
    if dialect.starts == "relative":
        first, starts = 0, np.cumsum(starts) + np.cumsum(lengths) - lengths
    _check_runs(starts, lengths, height * width, first)
    odd = bool((starts[1:] < starts[:-1]).any()) or words == [b"1", b"1"]
    order = np.argsort(starts)
    starts = starts[order] - first
    stops = starts + lengths[order]
    overlaps = np.flatnonzero(starts[1:] < stops[:-1])
    if overlaps.size:
        one, two = (f"{starts[i] + first} {stops[i] - starts[i]}" for i in overlaps[0] + (0, 1))
        raise InputError(f"the runs '{one}' and '{two}' cover the same pixels")
    apart = starts[1:] > stops[:-1]
    runs = np.stack(
        [starts[np.concatenate([[True], apart])], stops[np.concatenate([apart, [True]])]], axis=1
    )
    return runs, odd


def _check_runs(starts: np.ndarray, lengths: np.ndarray, pixels: int, first: int) -> None:
    for values, what, least in ((starts, "start", first), (lengths, "length", 1)):
        if values.min() < least:
            place = int(values.argmin())
            hint = " (dataset.rle_first is 1)" if what == "start" else ""
            raise InputError(
                f"the run '{starts[place]} {lengths[place]}' has a {what} of 0; pixels and "
                f"lengths count from 1{hint}"
            )
    beyond = np.flatnonzero(starts + lengths - first > pixels)
    if beyond.size:
        raise InputError(
            f"the run '{starts[beyond[0]]} {lengths[beyond[0]]}' ends beyond the image's "
            f"{pixels} pixels"
        )


def _painted(rows: list[np.ndarray], height: int, width: int, dialect: Dialect) -> np.ndarray:
    """Return the mask, bool (H, W), of runs."""
    filled = np.zeros(height * width, bool)
    for runs in rows:
        for start, stop in runs.tolist():
            filled[start:stop] = True
    if dialect.order == "row":
        return filled.reshape(height, width)
    return filled.reshape(width, height).T


def _is_in_parts(runs: np.ndarray, line: int) -> bool:
    """Tell whether runs are not one connected part, each pixel having 8 neighbours."""
    filled = np.zeros((int(runs[-1, 1]) // line + 1) * line, np.uint8)
    for start, stop in runs.tolist():
        filled[start:stop] = 1
    return cv2.connectedComponents(filled.reshape(-1, line), connectivity=8)[0] > 2


def _is_comb(runs: np.ndarray, line: int, *, one: bool) -> bool:
    """Tell whether runs look as if lines were `line` pixels long by mistake.

    Most of them touch none in the line before or after; or many go over the end of a line, which
    those of an object do only where it reaches from one edge to the other. `one`: the runs
    are one object's, which a single such run of fewer pixels than a line gives away.
    """
    starts, stops = runs.T
    crossing = (starts // line != (stops - 1) // line) & (stops - starts < line)
    if one and crossing.any() and (stops - starts).sum() < line:
        return True
    if len(runs) < FEW:
        return False
    if crossing.mean() >= 0.25:
        shifts = np.diff(starts) % line  # of an object's edge from line to line: small
        drifts = np.median(np.minimum(shifts, line - shifts)) > MOST_SHIFT
        return not one or bool(drifts) or _is_in_parts(runs, line)
    alone = np.ones(len(runs), bool)
    for step in (-line, line):
        place = np.searchsorted(stops, starts + step - 1, side="right")
        met = starts[np.minimum(place, len(runs) - 1)] < stops + step + 1
        alone &= ~(met & (place < len(runs)))
    return bool(alone.mean() > 0.5)


def _region(runs: np.ndarray, height: int) -> Region:
    first, last = runs[:, 0], runs[:, 1] - 1
    left, right = int(first[0] // height), int(last[-1] // height)
    top, bottom = 0, height - 1
    if (first // height == last // height).all():  # else a run touches bottom and top
        top, bottom = int((first % height).min()), int((last % height).max())
    box = (left, top, right - left + 1, bottom - top + 1)
    return Region(runs, int((last - first + 1).sum()), box)
