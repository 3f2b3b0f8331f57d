"""Workers fetch ahead, in order, and leave when they are told."""

import gc
import sys
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

from twofold.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from twofold.ops.tensor import wrap


class Numbers(Dataset):
    """0, 1, 2 ... and whatever happens on the way."""

    def __init__(self, count, act=lambda index: None):
        self.count = count
        self.act = act

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.act(index)
        return index


class Stream(IterableDataset):
    def __init__(self, count, act=lambda index: None):
        self.count = count
        self.act = act

    def __iter__(self):
        for index in range(self.count):
            self.act(index)
            yield index


def values(loader):
    return [batch.array.tolist() for batch in loader]


def workers_alive():
    return [t for t in threading.enumerate() if t.name.startswith("twofold-data")]


def uneven(index):
    time.sleep(0.001 * (index * 7 % 5))


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    gc.collect()
    assert not workers_alive()


@pytest.mark.parametrize("kind", [Numbers, Stream])
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("factor", [None, 1, 7])
def test_order_is_kept(kind, workers, factor):
    loader = DataLoader(kind(23, uneven), 2, num_workers=workers, prefetch_factor=factor)
    expected = values(DataLoader(kind(23), 2))
    assert values(loader) == expected == values(loader)


@pytest.mark.parametrize("kind", [Numbers, Stream])
@pytest.mark.parametrize("count", [0, 1])
def test_few_items_for_many_workers(kind, count):
    assert values(DataLoader(kind(count), 4, num_workers=3)) == [[0]] * count


def test_work_is_done_on_several_threads_at_once():
    meeting = threading.Barrier(3, timeout=10)
    loader = DataLoader(Numbers(3, lambda index: meeting.wait()), num_workers=3)
    assert values(loader) == [[0], [1], [2]]


def test_fetches_no_further_ahead_than_asked():
    fetched = []
    loader = DataLoader(Numbers(100, fetched.append), num_workers=2, prefetch_factor=3)
    iterator = iter(loader)
    next(iterator)
    deadline = time.monotonic() + 10
    while len(fetched) < 7 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.02)
    assert sorted(fetched) == list(range(7))
    iterator.close()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [Numbers, Stream])
def test_an_error_comes_in_its_turn_with_the_worker_s_traceback(kind, workers):
    def fail_at_seven(index):
        if index == 7:
            raise KeyError("seven")

    given = []
    with pytest.raises(KeyError, match="seven") as caught:
        given.extend(DataLoader(kind(20, fail_at_seven), num_workers=workers))
    assert len(given) == 7
    trace = "".join(traceback.format_exception(caught.value))
    assert "fail_at_seven" in trace
    assert ("DataLoader worker" in trace and "batch 7" in trace) or workers == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_stop_iteration_in_a_dataset_does_not_end_the_pass_in_silence(workers):
    def stop(index):
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(DataLoader(Numbers(3, stop), num_workers=workers))


def test_an_error_of_the_sampler_comes_in_its_turn():
    def sampler():
        yield 0
        yield 1
        raise ValueError("no more")

    given = []
    with pytest.raises(ValueError, match="no more"):
        given.extend(DataLoader(Numbers(9), sampler=sampler(), num_workers=2))
    assert len(given) == 2


def test_an_error_of_the_collate_function():
    def collate(items):
        raise TypeError("cannot")

    with pytest.raises(TypeError, match="cannot"):
        list(DataLoader(Numbers(9), collate_fn=collate, num_workers=2))


def test_the_loader_works_again_after_an_error():
    failing = [True]

    def act(index):
        if index == 2 and failing[0]:
            raise OSError

    loader = DataLoader(Numbers(4, act), num_workers=2)
    with pytest.raises(OSError):
        list(loader)
    failing[0] = False
    assert values(loader) == [[0], [1], [2], [3]]


def test_breaking_off_stops_the_workers():
    for batch in DataLoader(Numbers(1000, uneven), num_workers=3):
        if batch.array == 5:
            break
    assert not workers_alive()


def test_an_iterator_that_is_dropped_stops_its_workers():
    iterator = iter(DataLoader(Numbers(1000, uneven), num_workers=2))
    next(iterator)
    del iterator
    assert not workers_alive()


def test_an_iterator_that_was_never_asked_starts_no_workers():
    iterator = iter(DataLoader(Numbers(10), num_workers=2))
    assert not workers_alive()
    del iterator


def test_two_passes_at_once():
    loader = DataLoader(Numbers(20, uneven), num_workers=2)
    pairs = [(a.item(), b.item()) for a, b in zip(loader, loader, strict=True)]
    assert pairs == [(i, i) for i in range(20)]


def test_a_slow_worker_does_not_hold_up_leaving(monkeypatch):
    monkeypatch.setattr("twofold.data.workers.PATIENCE", 0.05)
    release = threading.Event()
    iterator = iter(DataLoader(Numbers(9, lambda i: i and release.wait(10)), num_workers=1))
    next(iterator)
    iterator.close()
    release.set()
    for thread in workers_alive():
        thread.join(5)


def test_a_batch_that_takes_too_long():
    release = threading.Event()
    loader = DataLoader(Numbers(4, lambda i: release.wait(10)), num_workers=1, timeout=0.05)
    release_soon = threading.Timer(0.3, release.set)
    release_soon.start()
    with pytest.raises(TimeoutError, match="took too long"):
        list(loader)
    release_soon.join()


def test_worker_info_and_init():
    started, seen = [], set()
    data = Numbers(40, lambda index: (uneven(index), seen.add(get_worker_info())))
    list(DataLoader(data, num_workers=3, worker_init_fn=started.append))
    assert sorted(started) == [0, 1, 2]
    assert {(info.num_workers, info.dataset is data) for info in seen} == {(3, True)}
    assert get_worker_info() is None


def test_a_stream_is_read_once_however_many_workers():
    seen = set()
    list(DataLoader(Stream(20, lambda i: seen.add(get_worker_info()[:2])), num_workers=3))
    assert seen == {(0, 1)}


def test_a_failing_init():
    def start(worker):
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        list(DataLoader(Numbers(9), num_workers=2, worker_init_fn=start))


def test_memory_is_flat_over_passes():
    data = TensorDataset(wrap(np.zeros((64, 10_000), np.float32)))
    loader = DataLoader(data, 8, shuffle=True, num_workers=2)
    alive = weakref.WeakSet()
    most = 0
    for _ in range(20):
        for (batch,) in loader:
            alive.add(batch)
            most = max(most, len(alive))
    # in hand, the loop's last one, and at most prefetch_factor ahead of each worker
    assert most <= 2 + 2 * 2 + 2
    del batch
    assert not alive


def test_nothing_accumulates_over_passes():
    loader = DataLoader(Numbers(64), 4, shuffle=True, num_workers=2)
    values(loader)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(60):  # 960 batches
        values(loader)
    gc.collect()
    assert sys.getallocatedblocks() - before < 900


def test_the_interpreter_ends_with_an_open_iterator(tmp_path):
    import subprocess

    program = tmp_path / "program.py"
    program.write_text(
        "from twofold.data import DataLoader\n"
        "class D:\n"
        "    def __len__(self): return 99\n"
        "    def __getitem__(self, i): return i\n"
        "iterator = iter(DataLoader(D(), num_workers=3))\n"
        "print(next(iterator).array)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")
