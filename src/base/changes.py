"""Whether what a stage has read is still as it was: its code, its params, its inputs.

DVC looks at these files after a stage has ended. One that was edited meanwhile would be recorded
with its new content beside an output that was made with the old.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from src.base.errors import InputError

ROOT = Path(__file__).parents[2]
CODE = ("src", "stages")
SUFFIXES = (".py", ".jinja")

_expected: dict[str, tuple[Callable[[], object], object]] = {}  # by name: how to look, what it was
_watching: list[bool] = []  # holds something from `watch` on


def _digests() -> dict[Path, str]:
    found = (path for folder in CODE for path in (ROOT / folder).rglob("*.*"))
    return {path: _digest(path) for path in found if path.suffix in SUFFIXES}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "absent"


# When this module is imported, so that no stage can forget it, and before a stage imports the rest.
_STARTED_WITH = _digests()


def watch() -> None:
    """Hold this process to what it reads from now on, and to the code that it started with."""
    _watching.append(True)


def expect(name: str, look: Callable[[], object]) -> None:
    """Remember something that was read, if this process is held to it.

    Parameters
    ----------
    name : str
        What it is, for the message.
    look : callable
        Returns what is there now, to be compared; or raises OSError or InputError.
    """
    if _watching:
        _expected.setdefault(name, (look, look()))


def expect_file(path: Path) -> None:
    """Remember size and time of a file that is read, if this process is held to it."""
    if _watching and not any(part.endswith(".partial") for part in path.parts):  # its own
        path = path.absolute()
        expect(str(path), lambda: (path.stat().st_size, path.stat().st_mtime_ns))


def code_digests() -> dict[str, str]:
    """Return the SHA-256 of every file of code that is loaded, as it was when the process began.

    Returns
    -------
    digests : dict of str to str
        By path in the repository, sorted: modules of `src` and `stages`, and templates in the
        wings of these.
    """
    modules = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    files = {Path(file) for file in modules if file} & _STARTED_WITH.keys()
    wings = {file.parent for file in files}
    files |= {path for path in _STARTED_WITH if path.suffix == ".jinja" and path.parent in wings}
    return {path.relative_to(ROOT).as_posix(): _STARTED_WITH[path] for path in sorted(files)}


def refuse_changes() -> None:
    """Refuse to go on if something that this process is held to has changed.

    Raises
    ------
    InputError
        If a file of code, a section of params or an input is no longer as it was read.
    """
    if not _watching:
        return
    code = code_digests()
    changed = [name for name, digest in code.items() if _digest(ROOT / name) != digest]
    changed += [name for name, (look, was) in _expected.items() if _now(look) != was]
    if changed:
        raise InputError(
            f"{changed[0]}: was changed while this stage ran, which would be recorded for an "
            "output made without the change; run it again"
        )


def _now(look: Callable[[], object]) -> object:
    try:
        return look()
    except (OSError, InputError):
        return "absent"
