"""Warnings of libraries kept back, by one thread at a time."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOCK = threading.Lock()  # the filters of warnings are those of all threads


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings inside a `with`, and leave the filters as they were found.

    For decoders that warn of odd metadata and raise what matters. Other threads wait here, so that
    none puts back the filters of another.
    """
    with LOCK, warnings.catch_warnings(action="ignore"):
        yield
