"""Workers that are processes: the same batches, shared memory, and errors that come through."""

import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import twofold
from twofold.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    get_worker_info,
    random_split,
)
from twofold.data.processes import MEMORY, WorkerExitError


class Items(Dataset):
    """Items that tell where they are made."""

    def __init__(self, fail=None):
        self.table = np.arange(100_000, dtype=np.float64)
        self.fail = fail
        self.mark = 0

    def __getitem__(self, index):
        if index == self.fail:
            raise KeyError("no such item")
        if index == -1:
            os._exit(3)
        info = get_worker_info()
        return {
            "value": self.table[index],
            "drawn": twofold.rand(1),
            "process": os.getpid(),
            "worker": info.id if info else -1,
            "writeable": self.table.flags.writeable,
            "mark": self.mark,
        }

    def __len__(self):
        return 12


def set_mark(worker):
    get_worker_info().dataset.mark = 10 + worker


def epoch(**options):
    loader = DataLoader(Items(), 3, generator=twofold.Generator(seed=5), **options)
    return list(loader)


def leftovers():
    return list(Path(MEMORY).glob("twofold-data-*"))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_batches_are_those_of_threads(method):
    wanted = epoch()
    found = epoch(num_workers=2, multiprocessing_context=method, worker_init_fn=set_mark)
    assert [b["value"].tolist() for b in found] == [b["value"].tolist() for b in wanted]
    assert [b["drawn"].tolist() for b in found] == [b["drawn"].tolist() for b in wanted]
    assert os.getpid() not in {p for b in found for p in b["process"].tolist()}
    assert {w for b in found for w in b["worker"].tolist()} <= {0, 1}
    assert not any(w for b in found for w in b["writeable"].tolist())
    assert [b["mark"].tolist() for b in found] == [(10 + b["worker"]).tolist() for b in found]
    assert not leftovers()


def test_tensors_and_subsets_reach_the_processes():
    data = TensorDataset(twofold.arange(40_000).reshape(200, 200), twofold.arange(200))
    part, _ = random_split(data, [20, 180], generator=twofold.Generator(seed=1))
    wanted = [[x.tolist() for x in batch] for batch in DataLoader(part, 8)]
    loader = DataLoader(part, 8, num_workers=1, multiprocessing_context="spawn")
    assert [[x.tolist() for x in batch] for batch in loader] == wanted
    assert not leftovers()


def test_errors_come_through_with_their_traceback():
    loader = DataLoader(Items(fail=4), 3, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(KeyError, match="no such item") as error:
        list(loader)
    assert any("in a worker process" in note for note in error.value.__notes__)
    assert any("raised by item 4 of Items" in note for note in error.value.__notes__)
    assert not leftovers()


def test_a_process_that_dies_is_named():
    loader = DataLoader(
        Items(), sampler=[-1, 0], batch_size=1, num_workers=1, multiprocessing_context="fork"
    )
    with pytest.raises(WorkerExitError, match="exit_code = 3"):
        list(loader)


def test_leaving_early_ends_the_processes():
    batches = iter(DataLoader(Items(), 1, num_workers=2, multiprocessing_context="fork"))
    pid = next(batches)["process"].item()
    batches.close()
    assert not os.path.exists(f"/proc/{pid}") or "Z" in Path(f"/proc/{pid}/stat").read_text()
    assert not leftovers()


def keeping(method="fork", **options):
    options = {"num_workers": 2, "persistent_workers": True} | options
    seed = twofold.Generator(seed=5)
    return DataLoader(Items(), 3, multiprocessing_context=method, generator=seed, **options)


def workers_of(batches):
    return {p for b in batches for p in b["process"].tolist()}


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_are_kept_from_pass_to_pass(method):
    anew = DataLoader(Items(), 3, generator=twofold.Generator(seed=5))
    loader = keeping(method, num_workers=1)
    processes = set()
    for _ in range(3):
        found = list(loader)
        assert [b["drawn"].tolist() for b in found] == [b["drawn"].tolist() for b in anew]
        processes |= workers_of(found)
    assert len(processes) == 1
    process = processes.pop()
    assert os.path.exists(f"/proc/{process}")
    del loader
    gc.collect()
    assert not os.path.exists(f"/proc/{process}")
    assert not leftovers()


def test_a_pass_that_was_left_early_does_not_disturb_the_next():
    loader = keeping()
    wanted = [b["value"].tolist() for b in loader]
    for taken in (0, 1, 2):
        batches = iter(loader)
        for _ in range(taken):
            next(batches)
        batches.close()
        assert [b["value"].tolist() for b in loader] == wanted
    one, other = iter(loader), iter(loader)
    pairs = [(a["value"].tolist(), b["value"].tolist()) for a, b in zip(one, other, strict=True)]
    assert pairs == [(batch, batch) for batch in wanted]


def test_kept_processes_outlive_errors_and_not_deaths():
    loader = keeping(num_workers=1)
    before = workers_of(loader)
    loader.dataset.fail = 1  # here alone: the processes have the dataset as it was
    assert workers_of(loader) == before
    failing = DataLoader(
        Items(fail=4), 3, num_workers=1, multiprocessing_context="fork", persistent_workers=True
    )
    for _ in range(2):
        with pytest.raises(KeyError, match="no such item"):
            list(failing)
    dying = keeping(num_workers=1)
    first = workers_of(dying)
    os.kill(first.pop(), signal.SIGKILL)
    with pytest.raises(WorkerExitError):
        list(dying)
    assert len(list(dying)) == 4


def test_another_dataset_gets_other_processes():
    loader = keeping(num_workers=1)
    before = workers_of(loader)
    loader.dataset = Items()
    assert not workers_of(loader) & before


class Drawing(Dataset):
    def __getitem__(self, index):
        return random.random(), np.random.rand()

    def __len__(self):
        return 12


def test_other_generators_draw_by_batch_too():
    def passes(method, workers, kept):
        loader = DataLoader(
            Drawing(),
            3,
            num_workers=workers,
            multiprocessing_context=method,
            persistent_workers=kept,
            generator=twofold.Generator(seed=5),
        )
        return [[x.tolist() for x in batch] for _ in range(2) for batch in loader]

    before = random.getstate()
    found = passes("fork", 2, False)
    assert passes("spawn", 1, True) == found
    for column in range(2):
        assert len({value for batch in found for value in batch[column]}) == 24
    assert random.getstate() == before


PROGRAM = """
import sys, time
import numpy as np
from twofold.data import DataLoader, Dataset

class Slow(Dataset):
    table = None

    def __init__(self):
        self.table = np.zeros(100_000)

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return self.table[index]

if __name__ == "__main__":
    loader = DataLoader(Slow(), num_workers=2, multiprocessing_context="fork")
    batches = iter(loader)
    next(batches)
    print(*(worker.process.pid for worker in batches.gi_frame.f_locals["batches"].gi_frame
            .f_locals["processes"].workers.values()), flush=True)
    time.sleep(60)
"""


def test_a_killed_program_leaves_no_workers_and_no_memory():
    gc.collect()  # what tests before have left in cycles
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    workers = [int(word) for word in program.stdout.readline().split()]
    assert len(workers) == 2
    program.kill()
    program.communicate()
    deadline = time.monotonic() + 20
    while leftovers() or any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(process):
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0]
    except FileNotFoundError:
        return False


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


def test_what_processes_cannot_do_is_refused():
    with pytest.raises(ValueError, match="no way 'teleport'"):
        list(DataLoader(Items(), num_workers=1, multiprocessing_context="teleport"))
    with pytest.raises(ValueError, match="needs workers"):
        DataLoader(Items(), multiprocessing_context="spawn")
    with pytest.raises(ValueError, match="a stream excludes"):
        DataLoader(Stream(), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(ValueError, match="no context"):
        list(DataLoader(Items(), num_workers=1, multiprocessing_context=3))
    loader = DataLoader(Items(), num_workers=1, multiprocessing_context="spawn")
    loader.dataset.hook = lambda: None
    # the class depends on the version of Python
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"pickle|local object"):
        list(loader)
    assert not leftovers()
