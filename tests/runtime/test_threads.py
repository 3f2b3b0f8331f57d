"""The pool: every chunk once, whatever the number of threads, who calls, and from which process."""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from twofold.base.errors import ArgumentError
from twofold.codegen.compile import Code
from twofold.codegen.native import core, pool
from twofold.runtime import threads

THREADS = (1, 2, 3, 8)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def words(*values: int) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


def pool_run(task: int, job: ctypes.Array[ctypes.c_int64], chunks: int) -> None:
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    run(core.start().code.address("pool_run"))(task, ctypes.addressof(job), chunks)


def count_up(kernels: Code, size: int, chunks: int) -> None:
    array = np.zeros(size, np.int64)
    job = words(array.ctypes.data, size)
    pool_run(kernels.address("count_up"), job, chunks)
    assert (array == 1).all()


def state(index: int) -> int:
    return ctypes.c_int64.from_address(core.start().code.address("pool_state") + 8 * index).value


@pytest.mark.parametrize("count", THREADS)
def test_every_chunk_runs_once(kernels: Code, count: int) -> None:
    threads.set_num_threads(count)
    assert threads.get_num_threads() == count
    for chunks in (0, 1, 2, 3, 7, 64, 1000):
        array = np.zeros(1000, np.int64)
        pool_run(kernels.address("count_up"), words(array.ctypes.data, 1000), chunks)
        assert (array == (chunks > 0)).all()


@pytest.mark.parametrize("count", THREADS)
def test_many_regions_back_to_back(kernels: Code, count: int) -> None:
    threads.set_num_threads(count)
    array = np.zeros(50, np.int64)
    job = words(array.ctypes.data, 50)
    for _ in range(3000):
        pool_run(kernels.address("count_up"), job, 10)
    assert (array == 3000).all()


def test_the_caller_takes_the_first_chunks_and_a_worker_the_last(kernels: Code) -> None:
    threads.set_num_threads(2)
    helped = 0
    for _ in range(200):
        array = np.zeros(16, np.int64)
        pool_run(kernels.address("sign"), words(array.ctypes.data, 1000), 16)
        ours = array == threading.get_ident()
        assert ours[0] and (np.sort(ours)[::-1] == ours).all(), "each thread has its own end"
        helped += not ours.all()  # on a busy machine a worker may come too late
        if helped == 3:
            return
    pytest.fail("no worker came")


def test_more_chunks_than_a_ticket_counts_run_alone(kernels: Code) -> None:
    threads.set_num_threads(2)
    for chunks in (pool.LEFT, pool.LEFT + 1, 3 * pool.LEFT):
        count_up(kernels, 1000, chunks)


@pytest.mark.parametrize("pause", [0.0005, 0.02])
def test_after_the_workers_slept(kernels: Code, pause: float) -> None:
    threads.set_num_threads(2)
    for chunks in (2, 16):
        for _ in range(10):
            time.sleep(pause)
            count_up(kernels, 100_000, chunks)


def test_sleepers_are_woken_for_long_work_and_left_alone_for_short(kernels: Code) -> None:
    threads.set_num_threads(2)
    count_up(kernels, 1000, 8)
    deadline = time.monotonic() + 10
    while state(pool.ASLEEP) == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state(pool.ASLEEP) == 1
    count_up(kernels, 100, 8)
    time.sleep(0.05)
    assert state(pool.ASLEEP) == 1, "a job of a microsecond woke a worker"
    array = np.zeros(10, np.int64)
    pool_run(kernels.address("sign"), words(array.ctypes.data, 20_000), 10)
    assert array.all() and len(set(array.tolist())) == 2, "nobody helped"


def test_resizing_ends_and_starts_workers(kernels: Code) -> None:
    for count in (3, 8, 2, 1, 5, 1, 2):
        threads.set_num_threads(count)
        count_up(kernels, 1000, 30)
        assert state(pool.STARTED) == count - 1
        time.sleep(0.001)
        assert len(os.listdir("/proc/self/task")) >= count


@pytest.mark.parametrize("wrong", [0, -1, 10**9, 1.5, True, "2"])
def test_wrong_numbers_are_refused(wrong: int) -> None:
    with pytest.raises(ArgumentError, match="set_num_threads"):
        threads.set_num_threads(wrong)


@pytest.mark.parametrize("count", (1, 2, 8))
def test_a_region_inside_a_region_runs_alone(kernels: Code, count: int) -> None:
    threads.set_num_threads(count)
    counter = ctypes.c_int64(0)
    inner = words(ctypes.addressof(counter), 10)
    job = words(kernels.address("spin"), ctypes.addressof(inner), 5)
    pool_run(kernels.address("nested"), job, 7)
    assert counter.value == 35


def test_several_python_threads_at_once(kernels: Code) -> None:
    threads.set_num_threads(2)
    failed: list[str] = []

    def work() -> None:
        array = np.zeros(5000, np.int64)
        job = words(array.ctypes.data, 5000)
        for _ in range(300):
            pool_run(kernels.address("count_up"), job, 8)
        if not (array == 300).all():
            failed.append("a chunk was lost or ran twice")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for turn in range(20):
        threads.set_num_threads(1 + turn % 4)
    for worker in workers:
        worker.join()
    assert not failed


def test_a_second_caller_does_not_wait(kernels: Code) -> None:
    threads.set_num_threads(2)
    slow, quick = ctypes.c_int64(0), ctypes.c_int64(0)
    job = words(ctypes.addressof(slow), 100_000)
    other = threading.Thread(target=pool_run, args=(kernels.address("slowly"), job, 8))
    other.start()
    while state(pool.BUSY) == 0:
        time.sleep(0.001)
    pool_run(kernels.address("spin"), words(ctypes.addressof(quick), 10), 8)
    assert quick.value == 8
    assert slow.value < 8, "the second region waited for the first"
    other.join()
    assert slow.value == 8


FORK = """
import ctypes, os, sys, threading, time
from conftest import build
from twofold.codegen.compile import load
from twofold.codegen.native import core, pool
from twofold.runtime import threads
base = core.start().code
kernels = load("tests/runtime/2", build)
pointer = ctypes.c_void_p
run = ctypes.CFUNCTYPE(None, pointer, pointer, ctypes.c_int64)(base.address("pool_run"))
def words(*values): return (ctypes.c_int64 * len(values))(*values)
def slowly(wait, chunks):
    counter = ctypes.c_int64(0)
    job = words(ctypes.addressof(counter), wait)
    run(kernels.address("slowly"), ctypes.addressof(job), chunks)
    assert counter.value == chunks, counter.value
place = base.address("pool_state") + 8 * pool.STARTED
def started(): return ctypes.c_int64.from_address(place).value
threads.set_num_threads(3)
slowly(10, 20)
assert started() == 2
BUSY
child = os.fork()
if child == 0:
    assert len(os.listdir("/proc/self/task")) == 1, "a child begins with one thread"
    assert started() == 0
    signed = (ctypes.c_int64 * 12)()
    run(kernels.address("sign"), ctypes.addressof(words(ctypes.addressof(signed), 20000)), 12)
    assert len(set(signed)) > 1, "the child has no workers"
    assert started() == 2
    threads.set_num_threads(1); slowly(10, 20); threads.set_num_threads(2); slowly(10, 20)
    if os.fork() == 0:
        slowly(10, 20); os._exit(0)
    assert os.wait()[1] == 0
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
END
slowly(10, 20)
print("done")
"""


@pytest.mark.parametrize("busy", [False, True])
def test_fork(python: Callable[..., str], busy: bool) -> None:
    begin = "t = threading.Thread(target=slowly, args=(100000, 6)); t.start(); time.sleep(0.05)"
    program = FORK.replace("BUSY", begin if busy else "").replace("END", "t.join()" if busy else "")
    assert python(program) == "done\n"


def test_the_environment_sets_the_size(python: Callable[..., str]) -> None:
    program = "from twofold.runtime import threads; print(threads.get_num_threads())"
    assert python(program, TWOFOLD_THREADS="5") == "5\n"


def test_no_threads_to_be_had(python: Callable[..., str]) -> None:
    program = """
import resource
from conftest import build
import ctypes
from twofold.codegen.compile import load
from twofold.codegen.native import core
from twofold.runtime import threads
base = core.start().code
kernels = load("tests/runtime/2", build)
threads.set_num_threads(1000)
pages = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (pages + (40 << 20), -1))
counter = ctypes.c_int64(0)
job = (ctypes.c_int64 * 2)(ctypes.addressof(counter), 1)
pointer = ctypes.c_void_p
run = ctypes.CFUNCTYPE(None, pointer, pointer, ctypes.c_int64)(base.address("pool_run"))
for _ in range(3):
    run(kernels.address("slowly"), ctypes.addressof(job), 50)
print(counter.value)
"""
    assert python(program) == "150\n"


def test_workers_get_no_signals(kernels: Code) -> None:
    threads.set_num_threads(3)
    count_up(kernels, 1000, 30)
    deaf = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/status", encoding="ascii") as status:
            blocked = next(line for line in status if line.startswith("SigBlk:"))
        deaf += int(blocked.split()[1], 16) & (1 << 1) != 0  # SIGINT
    assert deaf == 2
