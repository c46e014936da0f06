"""Images of a data set that `dataset.leave_out` names."""

from collections.abc import Sequence
from pathlib import Path

from src.base.errors import InputError
from src.reading.records import Dataset


def read_names(given: str | Sequence[str], root: Path) -> list[str]:
    """Return the names that the param gives, or that the file has which it names.

    Parameters
    ----------
    given : str or sequence of str
        A file in `root` with one name a line, where empty lines and what follows a # count for
        nothing; or names.
    root : Path
        Of the data set.

    Raises
    ------
    InputError
        If the file is absent or not UTF-8.
    """
    if not isinstance(given, str):
        return list(given)
    path = root / given
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; put the list that dataset.leave_out names there, or name the "
            "images themselves, as a list"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as such") from None
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def leave_out(dataset: Dataset, given: str | Sequence[str], root: Path) -> Dataset:
    """Take images out of a data set.

    Parameters
    ----------
    dataset : Dataset
    given : str or sequence of str
        See `read_names`; names are those of `data/prepared`, such as "train/000007".
    root : Path
        Of the data set.

    Returns
    -------
    rest : Dataset
        `further` tells how many were taken out, if any.

    Raises
    ------
    InputError
        If the list cannot be read, names an image that is not in the data set or one twice.
    """
    names = read_names(given, root)
    known = {record.name for record in dataset.records}
    where = f"{root / given}" if isinstance(given, str) else "dataset.leave_out"
    taken: set[str] = set()
    for name in names:
        if name not in known:
            raise InputError(
                f"{where}: '{name}' is no image of {root}; name images by split and file name "
                "without extension, as images.csv in data/prepared does"
            )
        if name in taken:
            raise InputError(f"{where}: '{name}' is there twice; name each image once")
        taken.add(name)
    if not names:
        return dataset
    records = [record for record in dataset.records if record.name not in taken]
    told = ("images left out by name", len(names))
    return dataset._replace(records=records, further=(*dataset.further, told))
