"""Numbers per image that a dataset brings beside its images, such as the depth of a tile."""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from src.base.errors import InputError
from src.reading.image_folders import is_image


def read_metadata(
    path: Path, columns: list[str], names: Iterable[str]
) -> dict[str, dict[str, float]]:
    """Read the chosen columns of a table of numbers per image.

    Parameters
    ----------
    path : Path
        CSV in UTF-8 with the chosen columns and one that names the image: `name`, as in `names`,
        or where there is none `id`, the file name with or without extension, in whichever split
        it is. Other columns are not looked at, nor are rows of other images. Not opened where no
        column is chosen.
    columns : list of str
        Names of the columns to keep.
    names : iterable of str
        The images, each "<split>/<file name without extension>"; all must be in the table.

    Returns
    -------
    metadata : dict
        name -> column -> finite number, in the order of `names` and `columns`; without columns
        an empty dict for each name.

    Raises
    ------
    InputError
        If the file is absent or no such table, lacks a column or an image, has one of them
        twice, an id fits images of two splits, or a cell holds no finite number.
    """
    names = list(names)
    if not columns:
        return {name: {} for name in names}
    wanted, by_id, read = set(names), _names_by_id(names), {}
    for line, row in _rows(path, columns):
        where = f"{path}: line {line}"
        given = normalize("NFC", row["name" if "name" in row else "id"] or "")
        name = given if "name" in row else _name(given, by_id, where)
        if name not in wanted:
            continue
        if name in read:
            raise InputError(f"{where}: '{name}' is there twice; remove one row")
        read[name] = {
            column: _number(row[column], column, f"{where}: {name}") for column in columns
        }
    missing = [name for name in names if name not in read]
    if missing:
        raise InputError(
            f"{path}: no row for '{missing[0]}' ({len(missing)} of {len(names)} images have none); "
            "add one for every image or take the column out of dataset.metadata"
        )
    return {name: read[name] for name in names}


def _names_by_id(names: list[str]) -> dict[str, list[str]]:
    by_id = defaultdict(list)
    for name in names:
        by_id[name.partition("/")[2]].append(name)
    return by_id


def _name(image_id: str, by_id: dict[str, list[str]], where: str) -> str | None:
    """Name of the image that an id, a file name with or without extension, stands for."""
    if image_id not in by_id and is_image(image_id):
        image_id = str(PurePosixPath(image_id).with_suffix(""))
    names = by_id.get(image_id, [None])
    if len(names) > 1:
        raise InputError(
            f"{where}: id '{image_id}' fits '{names[0]}' and '{names[1]}'; give a column 'name' "
            "with such names instead"
        )
    return names[0]


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield line number and cells by column; a cell is None where the line ends before it."""
    if not path.is_file():
        raise InputError(
            f"{path}: no such file, but dataset.metadata is {columns}; see docs/data.md"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")  # with the mark that spreadsheets put first
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = list(table.fieldnames or [])
        naming = "id" if "id" in header and "name" not in header else "name"
        for column in (naming, *columns):
            if header.count(column) != 1:
                raise InputError(
                    f"{path}: {header.count(column)} columns '{column}' in the first line "
                    f"{','.join(header)!r:.200}; give the table exactly one"
                )
        for row in table:
            yield table.line_num, row
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as such") from None
    except csv.Error as error:
        raise InputError(
            f"{path}: line {table.reader.line_num}: {error}; write it as CSV"
        ) from None


def _number(cell: str | None, column: str, where: str) -> float:
    try:
        number = float((cell or "").replace("_", "?"))  # Python's float takes 1_0 for 10
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{where}: {column} is {cell or ''!r:.40}, not a finite number; correct it"
        )
    return number
