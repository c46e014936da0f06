"""The values that a search chose, by who gets them: chosen.json.

{"metric": "ap50", "all": {"threshold": 0.5}, "folds": {"0": {"threshold": 0.6}}}
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from src.base.errors import InputError
from src.base.files import read_json, write_text


class Chosen(NamedTuple):
    """Values by key of the section `postprocess`; empty where nothing was searched."""

    metric: str  # that they were chosen by
    all: dict[str, float | int]  # best on all oof images, for val and test
    folds: dict[str, dict[str, float | int]]  # for a part of the oof images, best on the others


def write_chosen(path: Path, chosen: Chosen) -> None:
    """Write what `read_chosen` reads."""
    write_text(path, json.dumps(chosen._asdict(), indent=2) + "\n")


def read_chosen(path: Path) -> Chosen:
    """Read the values that search_postprocess chose.

    Parameters
    ----------
    path : Path
        chosen.json.

    Returns
    -------
    chosen : Chosen
        Whether the values fit their keys is not looked at; see `src.objects.params.with_chosen`.

    Raises
    ------
    InputError
        If the file is absent or has no values for all images and for folds.
    """
    found = read_json(path)
    known = isinstance(found, dict) and found.keys() == set(Chosen._fields)
    parts = cast("dict[str, Any]", found) if known else {}
    if not parts or not all(isinstance(one, dict) for one in _maps(parts)):
        raise InputError(f"{path}: no values for all images and for folds; run search_postprocess")
    return Chosen(**parts)


def _maps(parts: dict[str, Any]) -> list[Any]:
    """Return what must be maps from keys to values."""
    folds = parts["folds"]
    inside = cast("dict[str, Any]", folds).values() if isinstance(folds, dict) else ()
    return [parts["all"], folds, *inside]
