"""How a stage runs: held to what it has read, stopped in order, its limits told in a sentence."""

import errno
import signal
from collections.abc import Callable
from typing import NoReturn

from src.base.changes import refuse_changes, watch
from src.base.errors import InputError
from src.base.orphans import held

LIMITS = {
    errno.ENOSPC: "no space is left on the disk; make room",
    errno.EDQUOT: "the quota of the disk is used up; make room",
    errno.EFBIG: "a file grew larger than the disk or `ulimit -f` permits; raise the limit",
    errno.EMFILE: "too many files are open at once; raise `ulimit -n`, or lower train.workers",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.ENOMEM: "memory is used up; close other programs, lower train.workers and "
    "train.cache_mb, or set LOKY_MAX_CPU_COUNT to fewer processes",
}
# What libraries say in exceptions of their own.
SAYINGS = {
    "os error 28": LIMITS[errno.ENOSPC],
    "os error 122": LIMITS[errno.EDQUOT],
    "os error 27": LIMITS[errno.EFBIG],
    "No space left on device": LIMITS[errno.ENOSPC],
    "shared memory": "/dev/shm is too small for the processes that load images; set "
    "train.workers to 0",
    "DataLoader worker": "a process that loads images was killed, most likely for want of memory "
    "or of room in /dev/shm; set train.workers to 0",
    "Too many open files": LIMITS[errno.EMFILE],
    "CUDA out of memory": "the memory of the GPU is used up; lower train.batch_size (and raise "
    "train.accumulate as much), train.crop_size or predict.max_size",
    "can't allocate memory": LIMITS[errno.ENOMEM],
    "Insufficient memory": LIMITS[errno.ENOMEM],  # of OpenCV
}
LONGEST = 2000  # characters of a message


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage from the command line; every stage ends with this.

    What it reads from now on is not to change while it runs (`src.base.changes`), and it neither
    outlives its `dvc` nor runs twice at once (`src.base.orphans`). A mistake of the user, a limit
    of the machine, SIGTERM and Ctrl-C end it with a sentence, its partial outputs removed; any
    other exception is a defect of ours and keeps its traceback.

    Parameters
    ----------
    main : callable
        Reads the command line and does the work.

    Raises
    ------
    SystemExit
        With that sentence.
    """
    signal.signal(signal.SIGTERM, _stop)
    watch()
    try:
        with held():
            main()
            refuse_changes()
    except InputError as error:
        raise SystemExit(sentence(str(error), error)) from None
    except KeyboardInterrupt as error:
        raise SystemExit(sentence("interrupted", error)) from None
    except Terminated as error:
        raise SystemExit(sentence("stopped by SIGTERM", error)) from None
    except Exception as error:
        limit = limit_of(error)
        if limit is None:
            raise
        raise SystemExit(sentence(limit, error)) from None


class Terminated(BaseException):
    """SIGTERM came: no error, so nothing but `finally` stands in its way."""


def limit_of(error: Exception) -> str | None:
    """Say which limit of the machine an exception tells of, and what to do; None if of none."""
    if isinstance(error, MemoryError):
        return LIMITS[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in LIMITS:
        named = f"{error.filename}: " if error.filename else ""
        return named + LIMITS[error.errno]
    text = str(error)
    return next((limit for saying, limit in SAYINGS.items() if saying in text), None)


def sentence(text: str, error: BaseException) -> str:
    """Add the notes of an exception to what is told of it, and cut it where it is endless."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} ... (cut)"
    return "; ".join([text, *getattr(error, "__notes__", ())])


def _stop(number: int, frame: object) -> NoReturn:
    raise Terminated
