"""Work on one image after the other, spread over processes or over machines."""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from itertools import chain, islice
from time import process_time
from typing import Any, cast

from pydantic import field_validator

from src.base.errors import InputError
from src.base.params import Params
from src.parallel.memory import available_memory

# joblib and distributed have no types for what is used of them here.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

Submit = Callable[..., Any]  # hands a call over and returns its future

AHEAD = 32  # calls handed out for each core, of which results may wait in memory
BATCH = 4  # of them sent together
QUEUED = 1 << 28  # bytes; of calls that take more each, no more than two are handed out for a core
ALONE = 2.0  # s of a processor in calls here, before processes are started that take as long
PROCESS = 1 << 28  # bytes that a process takes before it has an image
SHARE = 0.9  # of the memory that is available
PATIENCE = 10  # s, for the scheduler and for the first of its workers
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SCHEMES = ("tcp://", "tls://")


class WorkersParams(Params):
    """The section `workers` of params.yaml, which every stage reads that calls `in_order`."""

    scheduler: str

    @field_validator("scheduler")
    @classmethod
    def _check_scheduler(cls, scheduler: str) -> str:
        if scheduler != "none" and not scheduler.startswith(SCHEMES):
            raise ValueError("must be none or the address of a Dask scheduler, tcp://host:port")
        return scheduler


def in_order(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    scheduler: str,
    memory: int = 0,
    at_once: bool = False,
    **fixed: Any,
) -> Iterator[Any]:
    """Call a function many times, in parallel, and give what it returns in the order of calls.

    Arguments are taken only as results are used, some ahead for each core, so memory does not
    grow with their number. Where the calls run changes nothing of what they return.

    Parameters
    ----------
    function : callable
        Of a module or a script, not a lambda.
    arguments : iterable of tuple
        The positional arguments of each call; sent to where it runs, so best small.
    scheduler : str
        "none" for joblib's processes on this machine, as many as it has cores (this process where
        that is one, or joblib is told to be sequential). They are started once this process has
        worked for `ALONE`: what takes less is done before they would be there. Or the address
        of a Dask scheduler. It and its workers need this project on their path, and the workers
        the files that `function` opens, under the same names.
    memory : int
        Bytes that the largest call takes; see `worker_count`. Workers of a cluster have limits of
        their own. Calls of more than `QUEUED` are long and few, as with `at_once`.
    at_once : bool
        Whether processes are started before the first call: calls are long, or by a library
        whose results go with its number of threads, of which a process of many has one.
    **fixed
        Keyword arguments of every call.

    Yields
    ------
    result : object
        Of each call; nothing without calls.

    Raises
    ------
    InputError
        If the scheduler does not answer, has no workers, does not know this project, or fails on
        the way, or a process is killed, or there is not the memory for one call; and whatever
        `function` raises.
    """
    arguments, cores = iter(arguments), 0
    if scheduler == "none":
        if memory:
            worker_count(memory, 1, available_memory())  # refuses what fits nowhere
        yield from _here(function, arguments, fixed, 0 if at_once or memory > QUEUED else ALONE)
        rest = list(islice(arguments, 1))
        if not rest:
            return
        arguments, cores = chain(rest, arguments), _cores(memory)
    if cores == 1:
        yield from _here(function, arguments, fixed, math.inf)
        return
    waiting: deque[Any] = deque()
    together, ahead = (BATCH, AHEAD) if memory <= QUEUED else (1, 2)
    with _processes(cores) if cores else _cluster(scheduler) as (submit, cores):
        try:
            while batch := list(islice(arguments, together)):
                waiting.append(submit(_call, function, batch, fixed))
                if len(waiting) * together >= ahead * cores:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def worker_count(memory: int, cores: int, available: int) -> int:
    """Tell how many processes may work at once, each on a call that takes so much memory.

    Parameters
    ----------
    memory : int
        Bytes that the largest call takes at its peak.
    cores : int
        At least 1.
    available : int
        Bytes that may be taken, as `src.parallel.memory.available_memory` tells; a tenth of it is
        left to others.

    Returns
    -------
    count : int
        From 1 to `cores`: as many as `PROCESS` and the call fit for. One alone is this process,
        which is there already, so that the call alone has to fit.

    Raises
    ------
    InputError
        If not even one fits.
    """
    room = int(SHARE * available)
    if memory > room:
        raise InputError(
            f"one of the images takes {memory / 1e9:.1f} GB of memory here and "
            f"{available / 1e9:.1f} GB are available; close other programs, raise the limit of "
            "memory, or cut the image into tiles"
        )
    return max(1, min(cores, room // (PROCESS + memory)))


def _here(
    function: Callable[..., Any],
    arguments: Iterator[tuple[Any, ...]],
    fixed: dict[str, Any],
    seconds: float,
) -> Iterator[Any]:
    """Call in this process until the calls have taken so many seconds; leave the other arguments.

    Seconds of a processor, not of the clock: so the same is done here on a busy machine too.
    """
    if seconds <= 0:
        return
    for one in arguments:
        started = process_time()
        result = function(*one, **fixed)
        seconds -= process_time() - started
        yield result
        if seconds <= 0:
            return


def _cores(memory: int) -> int:
    """Return how many processes of this machine may work at once."""
    from joblib import effective_n_jobs  # which most stages on small data never need

    cores = cast("int", effective_n_jobs(-1))
    return worker_count(memory, cores, available_memory()) if memory else cores


def _call(
    function: Callable[..., Any], batch: list[tuple[Any, ...]], fixed: dict[str, Any]
) -> list[Any]:
    return [function(*one, **fixed) for one in batch]


@contextmanager
def _processes(cores: int) -> Generator[tuple[Submit, int]]:
    """Give the function that hands a call to so many processes on this machine, and how many."""
    from joblib.externals import loky

    alone = {name: os.environ.get(name, "1") for name in THREADS}  # each process is one of many
    try:
        yield loky.get_reusable_executor(max_workers=cores, env=alone).submit, cores
    except BrokenProcessPool:
        raise InputError(
            f"one of {cores} processes was killed, most likely for want of memory; set "
            "LOKY_MAX_CPU_COUNT to a smaller number of them"
        ) from None


@contextmanager
def _cluster(scheduler: str) -> Generator[tuple[Submit, int]]:
    """Give the function that hands a call to a cluster, and its number of cores.

    Not by joblib's backend for Dask: that waits for ever for a cluster that has gone.
    """
    from distributed import KilledWorker  # takes as long to import as a small dataset to prepare

    try:
        with _connected(scheduler) as client:
            yield partial(client.submit, pure=False), sum(client.nthreads().values())
    except (CancelledError, KilledWorker) as error:
        raise InputError(
            f"workers.scheduler: the Dask cluster behind '{scheduler}' has failed "
            f"({_one_line(error)}); look into its log, then start it and this again"
        ) from None


@contextmanager
def _connected(scheduler: str) -> Generator[Any]:
    """Give a client of a cluster that has workers and knows this project."""
    from distributed import Client

    with ExitStack() as stack:
        try:
            client = stack.enter_context(Client(scheduler, timeout=PATIENCE, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE)
            client.run_on_scheduler(import_module, __name__)
            client.run(import_module, __name__)
        except ImportError as error:
            raise InputError(
                f"workers.scheduler: a process behind '{scheduler}' lacks this project "
                f"({_one_line(error)}); start scheduler and workers with PYTHONPATH set to its "
                "folder, with its requirements installed"
            ) from None
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise InputError(
                f"workers.scheduler: no Dask workers behind '{scheduler}' ({_one_line(error)}); "
                "start them, correct the address, or set none"
            ) from None
        yield client


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
