"""JSON files that an earlier stage wrote."""

import json
from pathlib import Path

from src.errors import InputError


def read_json(path: Path) -> dict | list:
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
