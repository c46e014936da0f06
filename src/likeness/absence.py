"""Libraries imported without the parts of others that they would load for uses we do not make."""

import sys
from collections.abc import Generator
from contextlib import contextmanager


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
    sys.modules.update(dict.fromkeys(hidden))  # None: importing it raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
