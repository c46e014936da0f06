"""A stage whose `dvc` was killed alone: it ends too, and the next run of the stage waits for that.

Else both would compute at once, and the older could rename its output while the newer is recorded.
"""

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

# What DVC sets for the commands of its stages.
NAME, ROOT = "DVC_STAGE", "DVC_ROOT"
FOLDER = ".dvc/tmp/stages"
RANK = "RANK"  # set by a launcher, for processes of a stage that holds the lock itself
SET_DEATH_SIGNAL = 1  # of prctl(2)


@contextmanager
def held() -> Generator[None]:
    """Hold a stage that `dvc` runs to that `dvc`, and to be the only process of its stage.

    Without `dvc` this does nothing. When it dies the stage gets SIGTERM (on Linux, and where no
    shell that lives on stands between). A process of the same stage that has not ended yet, of
    whatever is left of an earlier run, is waited for, which is told on stderr.
    """
    if NAME not in os.environ or RANK in os.environ:
        yield
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGTERM)
    path = Path(os.environ[ROOT], FOLDER, quote(os.environ[NAME], safe=""))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:  # which the system unlocks when this process has ended, anyhow
        _lock(file.fileno(), path)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(number: int, path: Path) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(
            f"{os.environ[NAME]}: process {path.read_text()} of an earlier run of this stage has "
            "not ended yet; waits for it\n"
        )
        fcntl.flock(number, fcntl.LOCK_EX)
