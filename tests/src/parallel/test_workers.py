import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import joblib
import pytest

from src.base.errors import InputError
from src.base.params import load_params
from src.parallel import workers
from src.parallel.workers import (
    AHEAD,
    BATCH,
    PROCESS,
    QUEUED,
    WorkersParams,
    in_order,
    worker_count,
)

CORES = joblib.cpu_count()
several = pytest.mark.skipif(CORES == 1, reason="one core needs no other process")


@pytest.fixture(autouse=True)
def _from_the_first_call(monkeypatch):
    """Start processes before any call, unless a test says otherwise."""
    monkeypatch.setattr(workers, "ALONE", 0)


def half(number, slow=(), per=2):
    time.sleep(0.05 * (number in slow))
    return number / per


def half_and_process(number):
    return half(number), os.getpid()


def refuse(number):
    raise InputError(f"{number}: is odd")


def process_of(_):
    return os.getpid()


def folder_of(_):
    return str(Path.cwd())


def numbers(count):
    return ((number,) for number in range(count))


def test_results_come_in_the_order_of_calls():
    assert list(in_order(half, numbers(5), scheduler="none")) == [0, 0.5, 1, 1.5, 2]


def test_keyword_arguments_are_those_of_every_call():
    assert list(in_order(half, [(6,), (9,)], scheduler="none", per=3)) == [2, 3]


def test_without_calls_there_is_nothing():
    assert list(in_order(half, [], scheduler="none")) == []


def test_processes_keep_the_order_whoever_is_slow():
    with joblib.parallel_config(backend="loky"):
        found = list(in_order(half, numbers(8), scheduler="none", slow=(0, 3), per=4))
    assert found == [number / 4 for number in range(8)]


@pytest.mark.parametrize(
    ("backend", "ahead"),
    [("sequential", 1), pytest.param("loky", AHEAD * CORES, marks=several)],
)
def test_arguments_are_taken_as_results_are_used(backend, ahead):
    taken = []
    calls = ((taken.append(number) or number,) for number in range(AHEAD * CORES + 50))
    with joblib.parallel_config(backend=backend):
        results = in_order(half, calls, scheduler="none")
        assert [next(results), len(taken)] == [0, ahead]
        assert [next(results) for _ in range(BATCH)][-1] == BATCH / 2
        assert len(taken) == (BATCH + 1 if backend == "sequential" else ahead + BATCH)
        assert len(list(results)) == AHEAD * CORES + 50 - BATCH - 1


def test_what_is_done_sooner_than_processes_start_is_done_here(monkeypatch):
    monkeypatch.setattr(workers, "ALONE", 60)
    monkeypatch.setattr(workers, "_processes", None)
    taken = []
    calls = ((taken.append(number) or number,) for number in range(99))
    with joblib.parallel_config(backend="loky"):
        results = in_order(process_of, calls, scheduler="none", memory=QUEUED)
        assert [next(results), taken] == [os.getpid(), [0]]
        assert set(results) == {os.getpid()}
    assert taken == list(range(99))


@several
def test_processes_take_over_after_so_many_seconds_of_calls(monkeypatch):
    monkeypatch.setattr(workers, "ALONE", 4)
    monkeypatch.setattr(workers, "process_time", count().__next__)  # a call takes a second
    with joblib.parallel_config(backend="loky"):
        found = list(in_order(half_and_process, numbers(9), scheduler="none"))
    assert [half for half, _ in found] == [number / 2 for number in range(9)]
    here = [process == os.getpid() for _, process in found]
    assert here == [True] * 4 + [False] * 5


@several
def test_calls_that_take_much_memory_go_to_processes_at_once(monkeypatch):
    monkeypatch.setattr(workers, "ALONE", 60)
    monkeypatch.setattr(workers, "available_memory", lambda: 10 * GB)
    with joblib.parallel_config(backend="loky"):
        found = set(in_order(process_of, numbers(2), scheduler="none", memory=QUEUED + 1))
    assert os.getpid() not in found


GB = 10**9


@pytest.mark.parametrize(
    ("memory", "cores", "available", "count"),
    [
        (0, 16, 16 * GB, 16),  # as many as there are cores
        (4 * GB, 16, 24 * GB, 5),  # 21.6 of 24 GB, 4.27 each
        (4 * GB, 4, 24 * GB, 4),
        (4 * GB, 16, 9 * GB, 1),  # two want 8.5 of 8.1
        (4 * GB, 16, int(4.5 * GB), 1),  # in this process, which is there
        (29 * 12_000**2, 8, 16 * GB, 3),
    ],
)
def test_as_many_processes_work_as_memory_has_room_for(memory, cores, available, count):
    assert worker_count(memory, cores, available) == count
    if 1 < count < cores:
        assert count * (PROCESS + memory) <= 0.9 * available < (count + 1) * (PROCESS + memory)


def test_an_image_without_the_memory_for_it_is_said_in_a_sentence(monkeypatch):
    words = r"takes 4.0 GB of memory here and 4.0 GB are available; .* cut the image into tiles"
    with pytest.raises(InputError, match=words):
        worker_count(4 * GB, 2, 4 * GB)
    monkeypatch.setattr(workers, "available_memory", lambda: 4 * GB)
    with pytest.raises(InputError, match=words):
        list(in_order(half, numbers(2), scheduler="none", memory=4 * GB))


@several
def test_calls_that_take_much_memory_are_handed_out_one_by_one_to_fewer_processes(monkeypatch):
    monkeypatch.setattr(workers, "available_memory", lambda: 10 * GB)
    taken = []
    calls = ((taken.append(number) or number,) for number in range(9))
    with joblib.parallel_config(backend="loky"):
        results = in_order(half, calls, scheduler="none", memory=4 * GB)  # for two
        assert [next(results), len(taken)] == [0, 4]
        assert list(results) == [number / 2 for number in range(1, 9)]
        processes = set(in_order(process_of, numbers(9), scheduler="none", memory=8 * GB))
    assert processes == {os.getpid()}


@several
def test_a_killed_process_is_said_in_a_sentence():
    words = "processes was killed, most likely for want of memory; set LOKY_MAX_CPU_COUNT"
    with joblib.parallel_config(backend="loky"), pytest.raises(InputError, match=words):
        list(in_order(os._exit, [(5,)], scheduler="none"))


def test_an_error_of_a_call_is_raised():
    with pytest.raises(InputError, match="7: is odd"):
        list(in_order(refuse, [(7,)], scheduler="none"))


NOWHERE = pytest.param("tcp://nowhere.invalid:8786", marks=pytest.mark.slow)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", NOWHERE, "tcp://"])
def test_a_scheduler_that_is_not_there_is_said_in_a_sentence(monkeypatch, address):
    monkeypatch.setattr("src.parallel.workers.PATIENCE", 1)
    with pytest.raises(InputError, match=f"workers.scheduler: no Dask workers behind '{address}'"):
        list(in_order(half, numbers(2), scheduler=address))


@pytest.mark.parametrize("value", ["localhost:8786", "''", "http://a:1", "3", "null"])
def test_what_is_no_address_is_refused(tmp_path, value):
    (tmp_path / "params.yaml").write_text(f"workers: {{scheduler: {value}}}")
    with pytest.raises(InputError, match=r"workers\.scheduler: "):
        load_params(tmp_path / "params.yaml", "workers", WorkersParams)


@pytest.mark.slow
def test_a_cluster_answers_as_one_process_does(dask_scheduler):
    with joblib.parallel_config(backend="sequential"):
        found = list(in_order(half, numbers(3000), scheduler=dask_scheduler, slow=(5, 2000), per=3))
    assert found == [number / 3 for number in range(3000)]


@pytest.mark.slow
def test_the_work_is_done_by_the_workers_of_the_cluster(dask_scheduler):
    processes = set(in_order(process_of, numbers(40), scheduler=dask_scheduler))
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= 2


@pytest.mark.slow
def test_an_error_on_the_cluster_is_raised_here(dask_scheduler):
    with pytest.raises(InputError, match="7: is odd"):
        list(in_order(refuse, [(7,)], scheduler=dask_scheduler))


@pytest.mark.slow
def test_a_cluster_whose_workers_die_is_said_in_a_sentence(dask_scheduler):
    with pytest.raises(InputError, match="behind 'tcp://.*' has failed .*died"):
        list(in_order(os._exit, [(5,)], scheduler=dask_scheduler))
    assert list(in_order(half, numbers(3), scheduler=dask_scheduler)) == [0, 0.5, 1]


@pytest.mark.slow
def test_a_cluster_takes_arguments_as_results_are_used(dask_scheduler):
    taken = []
    calls = ((taken.append(number) or number,) for number in range(AHEAD * 2 + 50))
    results = in_order(half, calls, scheduler=dask_scheduler)  # two workers of one core
    assert [next(results) for _ in range(3)] == [0, 0.5, 1]
    assert AHEAD <= len(taken) <= AHEAD * 2  # a worker that joins late is not counted
    results.close()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_a_cluster_without_this_project_is_said_in_a_sentence(part, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("src.parallel.workers.PATIENCE", 30)
    file = tmp_path / "scheduler.json"
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    knowing = plain | {"PYTHONPATH": str(Path(__file__).parents[3])}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    commands = {
        "scheduler": ["--host", "127.0.0.1", "--port", "0", *common],
        "worker": [*common, "--nthreads", "1", "--no-nanny"],
    }
    with ExitStack() as stack:
        for name, options in commands.items():
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", name, *options],
                env=plain if name == part else knowing,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        while not (file.is_file() and file.read_text().endswith("}")):
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with pytest.raises(InputError, match="lacks this project .No module named 'src'"):
            list(in_order(half, numbers(2), scheduler=address))


@pytest.mark.slow
def test_a_scheduler_without_workers_is_said_in_a_sentence(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("src.parallel.workers.PATIENCE", 1)
    options = {"n_workers": 0, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(processes=True, **options) as empty,
        pytest.raises(InputError, match="no Dask workers behind 'tcp://"),
    ):
        list(in_order(half, numbers(2), scheduler=empty.scheduler_address))
