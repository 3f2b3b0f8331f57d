"""Processes: tensors that they share, and what is said of those that fail."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import twofold
from twofold import multiprocessing, nn

SOURCE = Path(__file__).resolve().parent.parent / "src"


def work(rank, net, counts):
    with twofold.no_grad():
        for p in net.parameters():
            p.add_(rank + 1.0)
        counts[1:][rank] = 5


def fail(rank):
    if rank:
        raise ValueError("as planned")


def leave(rank):
    os._exit(7)


def test_new_processes_write_to_shared_tensors():
    net, counts = nn.Linear(2, 2), twofold.zeros(3, dtype=twofold.int64)
    with twofold.no_grad():
        net.weight.zero_()
    before = net.weight
    assert not counts.is_shared() and counts.share_memory_() is counts
    assert net.share_memory() is net and net.weight is before and before.is_shared()
    assert counts[1:].is_shared() and counts.storage().is_shared()
    multiprocessing.spawn(work, (net, counts), nprocs=2)
    assert net.weight.tolist() == [[3.0, 3.0], [3.0, 3.0]] and counts.tolist() == [0, 5, 5]
    copy = pickle.loads(pickle.dumps(counts))
    assert not copy.is_shared() and copy.tolist() == [0, 5, 5]


def test_a_forked_process_writes_to_them_too():
    counts = twofold.zeros(2).share_memory_()
    started = multiprocessing.get_context("fork").Process(target=counts.fill_, args=(4.0,))
    started.start()
    started.join()
    assert counts.tolist() == [4.0, 4.0]


def test_failures_are_told():
    with pytest.raises(multiprocessing.ProcessRaisedException, match="as planned") as found:
        multiprocessing.spawn(fail, nprocs=2)
    assert found.value.error_index == 1 and "Traceback" in str(found.value)
    with pytest.raises(multiprocessing.ProcessExitedException, match="code 7") as left:
        multiprocessing.spawn(leave)
    assert left.value.exit_code == 7
    running = multiprocessing.spawn(fail, nprocs=1, join=False)
    assert len(running.pids()) == 1 and running.join()


PROGRAM = """
import torch, torch.multiprocessing as mp
def work(rank, x):
    x[rank] = float("twofold" in torch.ones.__module__)
if __name__ == "__main__":
    x = torch.zeros(1).share_memory_()
    mp.spawn(work, (x,))
    print(x)
"""


def test_new_processes_of_a_program_find_twofold(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "twofold", "run", "train.py"],
        env=dict(os.environ, PYTHONPATH=str(SOURCE)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "tensor([1.])\n", done.stderr
