"""Files that are there whole or not at all, JSON that an earlier stage wrote, and safe names."""

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from src.base.errors import InputError


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """Give a temporary folder that takes the name `path` when the block ends without error.

    Only then is what `path` held before removed: after an error it is as it was.

    Parameters
    ----------
    path : Path
        The folder to write; parents are made.

    Yields
    ------
    folder : Path
        An empty folder beside it, `path` with `.partial` behind its name.
    """
    path = Path(path).absolute()  # "." and ".." have no name to extend
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and give it its own when it is complete.

    After an error the file is as it was before.

    Parameters
    ----------
    path : Path
        Replaced if it exists; parents are made.
    text : str
        Stored in UTF-8, its line ends as they are.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | list[Any]:
    """Read a JSON file whole.

    Parameters
    ----------
    path : Path
        A file in UTF-8.

    Returns
    -------
    document : dict or list
        What it holds; its shape is not looked at.

    Raises
    ------
    InputError
        If there is no such file or it is not valid JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage that writes it")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON; run the stage that writes it again") from None


def is_inside(name: str) -> bool:
    """Tell whether a relative path from a data file stays inside its folder."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    return bool(path.parts) and not unsafe
