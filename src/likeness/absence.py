"""Libraries imported without the parts of others that they would load for uses we do not make."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def absent(*packages: str) -> Generator[None]:
    """Let imports within the block find no package of these names, as if it were not installed.

    For libraries that do without: lightgbm takes six times as long to import with scikit-learn,
    which only its estimators and its own cross-validation need. One that is loaded already is
    found as ever, and afterwards so are all.

    Parameters
    ----------
    *packages : str
        Top-level names.
    """
    hidden = [name for name in packages if name not in sys.modules]
    modules: dict[str, Any] = sys.modules  # None in place of one: its import is refused
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
