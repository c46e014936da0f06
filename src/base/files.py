"""Files that are there whole or not at all, JSON that an earlier stage wrote, and safe names."""

import glob
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from src.base.changes import expect_file, refuse_changes
from src.base.errors import InputError

PARTIAL = ".partial"  # behind the name of what is not complete; git and DVC ignore it


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
        An empty folder beside it, with the name of `partial_path`.

    Raises
    ------
    InputError
        If what the stage has read was changed meanwhile; see `src.base.changes`.
    """
    path = Path(path).absolute()  # "." and ".." have no name to extend
    partial = partial_path(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        refuse_changes()
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def partial_path(path: Path) -> Path:
    """Return the name under which this process writes what is to be `path`.

    What killed processes have left under theirs is removed. A process that still runs, as a stage
    does whose `dvc` was killed alone, keeps its own.
    """
    for left in path.parent.glob(f"{glob.escape(path.name)}.*{PARTIAL}"):
        number = left.name[len(path.name) + 1 : -len(PARTIAL)]
        if not (number.isdecimal() and _runs(int(number))):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")


def _runs(process: int) -> bool:
    """Tell whether there is another process of that number that has not ended.

    One that was killed and has not been waited for, a zombie, still has its number.
    """
    import psutil  # here, as left-overs are rare and every stage would wait for it

    try:
        os.kill(process, 0)
        return process != os.getpid() and psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):  # the latter where it has just ended
        return False
    except PermissionError:  # of another user
        return True


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """Give a temporary name for a file that becomes `path` when the block ends without error.

    Parameters
    ----------
    path : Path
        Replaced if it exists, as it was after an error; parents are made.

    Raises
    ------
    InputError
        If what the stage has read was changed meanwhile; see `src.base.changes`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        yield partial
        refuse_changes()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


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
    expect_file(path)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON; run the stage that writes it again") from None


def is_inside(name: str) -> bool:
    """Tell whether a relative path from a data file stays inside its folder."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    return bool(path.parts) and not unsafe
