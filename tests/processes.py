"""Several processes that train together, forked: without the seconds of imports anew."""

import multiprocessing
import os
import socket
import sys
import traceback


def started(count, work, *args):
    """Start `work(*args)` in processes that are told of each other as torchrun does."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_work, args=(rank, count, port, work, args)) for rank in range(count)
    ]
    for process in processes:
        process.start()
    return processes


def run_in(count, work, *args):
    """Run it and fail if one of them does."""
    processes = started(count, work, *args)
    for process in processes:
        process.join(120)
    ended = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert ended == [0] * count, ended


def _work(rank, count, port, work, args):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    status = 1
    try:
        work(*args)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)  # nothing of pytest's at exit
