"""The ids that a competition's official list asks for, and the images that they stand for."""

import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

import pandas as pd

from src.base.changes import expect_file
from src.base.errors import InputError

SHOWN = 3  # names that a sentence tells


class OfficialList(NamedTuple):
    """A list such as sample_submission.csv."""

    table: pd.DataFrame  # of texts, in the order of the list
    id_column: str
    rle_column: str


class Answered(NamedTuple):
    """The submission in the order of the list."""

    table: pd.DataFrame  # with the columns of the list
    absent: list[str]  # ids of the list that are of no image
    unasked: list[str]  # images that the list does not have


def read_official_list(path: Path, id_column: str, rle_column: str) -> OfficialList:
    """Read the list.

    Parameters
    ----------
    path : Path
        CSV in UTF-8 with a header.
    id_column, rle_column : str
        Names that the data set has; a column that is not there is the first, and the one besides
        it in a list of two.

    Raises
    ------
    InputError
        If the file is absent, no such table, without a row, repeats an id, or it is not clear
        which column is that of run lengths.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; correct export.submission_list or set it to none")
    expect_file(path)
    try:
        with warnings.catch_warnings(action="error"):  # rows longer than the header
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except (UnicodeDecodeError, ValueError, pd.errors.ParserWarning) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: no table of ids ({reason}); write it as CSV") from None
    columns = list(table.columns)
    ids = id_column if id_column in columns else columns[0]
    rest = [column for column in columns if column != ids]
    runs = rle_column if rle_column in rest else rest[0] if len(rest) == 1 else None
    if runs is None:
        raise InputError(
            f"{path}: the columns are {', '.join(columns):.200}, none of which is "
            f"'{rle_column}'; set dataset.rle_column to the one of run lengths"
        )
    repeated = table[ids][table[ids].duplicated()]
    if len(repeated) or not len(table):
        wrong = f"'{repeated.iloc[0]}' is there twice" if len(repeated) else "lists no id"
        raise InputError(f"{path}: {wrong}; give a list of each image once")
    return OfficialList(table, ids, runs)


def answered(
    official: OfficialList, names: Sequence[tuple[str, str]], texts: list[list[str]]
) -> Answered:
    """Put run lengths into the rows of the list.

    Parameters
    ----------
    official : OfficialList
    names : sequence of (str, str)
        Of each image its name in its split, which has no extension, and its file name; an id is
        either, or the file name without extension, however Unicode composes it.
    texts : list of list of str
        For each image the cells of its rows, one at least.

    Returns
    -------
    answered : Answered
        Every id of the list in its order, as the list writes it; of an image of several rows they
        follow each other; of no image the cell is empty. Further columns are as in the list.
    """
    by_id = {}
    for number, (name, file_name) in enumerate(names):
        composed = normalize("NFC", file_name)
        by_id.setdefault(str(PurePosixPath(composed).with_suffix("")), number)
        by_id |= {normalize("NFC", name): number, composed: number}
    ids = official.table[official.id_column]
    numbers = [by_id.get(normalize("NFC", one)) for one in ids]
    cells = [[""] if number is None else texts[number] for number in numbers]
    table = official.table.loc[official.table.index.repeat([len(of_one) for of_one in cells])]
    flat = [text for of_one in cells for text in of_one]
    table = table.assign(**{official.rle_column: flat}).reset_index(drop=True)
    found = set(numbers)
    absent = [one for one, number in zip(ids, numbers, strict=True) if number is None]
    unasked = [name for number, (name, _) in enumerate(names) if number not in found]
    return Answered(table, absent, unasked)


def list_sentences(official: str, found: Answered, images: int) -> list[str]:
    """Say what list and images do not have in common.

    Raises
    ------
    InputError
        If they have nothing in common.
    """
    if len(found.unasked) == images:
        raise InputError(
            f"{official}: none of its ids, such as '{found.absent[0]}', is an image of test; they "
            "must be names of files with or without extension; correct export.submission_list"
        )
    sentences = []
    if found.absent:
        sentences.append(
            f"{official}: {len(found.absent)} ids are of no image of test ({_some(found.absent)}); "
            "their cells are empty"
        )
    if found.unasked:
        sentences.append(
            f"{official}: does not list {len(found.unasked)} images of test "
            f"({_some(found.unasked)}); they are left out of the submission"
        )
    return sentences


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
