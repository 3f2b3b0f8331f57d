"""Processes that make batches, on request: `multiprocessing_context="spawn"`. Floor 11.

Each worker thread of a pass has a process of its own, hands it a task and waits for the batch; so
order, errors and time limits are those of threads. The dataset is pickled to each process, except
for its large arrays: they are written once into shared memory, which every process maps read-only.
Processes outlive a pass where the loader has `persistent_workers`, and never the program: a worker
whose parent is gone, killed or not, clears the shared memory and ends.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import os
import pickle
import shutil
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from multiprocessing import connection
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base.errors import ArgumentError, TwofoldError
from twofold.data.seeds import Seeded, reseed
from twofold.data.workers import WorkerInfo, appear_as
from twofold.runtime.threads import set_num_threads

Array = npt.NDArray[Any]
LARGE = 1 << 16  # bytes from which an array is shared and not copied
MEMORY = "/dev/shm"
METHODS = ("spawn", "forkserver", "fork")
FAREWELL = 0.2  # seconds that workers have to end by themselves


class WorkerExitError(TwofoldError):
    """A process ended before it gave its batch."""


def context_of(wanted: Any) -> Any:
    """The multiprocessing context of a name, or the context itself. Raises ArgumentError."""
    if isinstance(wanted, str):
        if wanted not in multiprocessing.get_all_start_methods():
            raise ArgumentError(
                "DataLoader", f"there is no way {wanted!r} to start processes", hint='"spawn"'
            )
        return multiprocessing.get_context(wanted)
    if not hasattr(wanted, "Process") or not hasattr(wanted, "Pipe"):
        raise ArgumentError("DataLoader", "multiprocessing_context is no context", hint='"spawn"')
    return wanted


@final
class Sharing(pickle.Pickler):
    """Pickles an object for workers: its large arrays stand in files of a folder."""

    def __init__(self, file: Any, folder: str) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.folder = folder

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.nbytes < LARGE or value.dtype.hasobject:
            return NotImplemented
        # the pickler's memo gives the same array the same file
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder))}.npy")
        np.save(path, np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        return opened, (path, value.dtype, value.shape)


def opened(path: str, dtype: Any, shape: tuple[int, ...]) -> Array:
    """The array of a file, as pages that all processes share and none can write to."""
    pages = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(np.asarray(pages).view(dtype).reshape(shape))


def shared_pickle(value: Any, folder: str) -> bytes:
    file = io.BytesIO()
    Sharing(file, folder).dump(value)
    return file.getvalue()


@final
class Worker:
    """A process, its pipe, and who may speak through it now."""

    def __init__(self, process: Any, pipe: Any) -> None:
        self.process = process
        self.pipe = pipe
        self.speaking = threading.Lock()  # a pass that was left early may still wait for its batch

    def ask(self, question: Any) -> Any:
        """The process's answer; its error is raised here, with its traceback as a note."""
        with self.speaking:
            with contextlib.suppress(OSError):  # where it is gone, the answer says so
                self.pipe.send(question)
            return self.receive()

    def receive(self) -> Any:
        try:
            good, value, trace = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(1)
            raise WorkerExitError(
                "DataLoader",
                "a worker process ended before it gave its batch",
                exit_code=self.process.exitcode,
                hint="num_workers=0, to see why",
            ) from None
        if good:
            return value
        value.add_note(f"in a worker process:\n{trace}")
        raise value


@final
class Processes:
    """Processes that make batches of one source, one for each thread that asks."""

    def __init__(self, source: Any, infos: list[WorkerInfo], context: Any, start: Any) -> None:
        self.context = context
        self.folder = tempfile.mkdtemp(
            prefix="twofold-data-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None
        )
        self.workers: dict[int, Worker] = {}
        self.close = weakref.finalize(self, end, self.workers, self.folder, os.getpid())
        try:
            self.payload = shared_pickle((source, infos, start), self.folder)
        except BaseException:
            self.close()
            raise
        self.own = threading.local()
        self.starting = threading.Lock()

    def start(self, worker: int) -> None:
        """Let this thread speak to that worker, whose process is started if there is none yet."""
        with self.starting:
            found = self.workers.get(worker)
            if found is None:
                ours, theirs = self.context.Pipe()
                process = self.context.Process(
                    target=serve, args=(theirs, self.payload, worker, self.folder), daemon=True
                )
                process.start()
                theirs.close()
                self.own.worker = self.workers[worker] = Worker(process, ours)
            else:
                self.own.worker = found
        if found is None:
            self.own.worker.receive()  # worker_init_fn is through

    def ask(self, seed: int, number: int, claimed: Any) -> Any:
        """The batch of that number, in a pass with that seed, from this thread's process."""
        return self.own.worker.ask((seed, number, claimed))


def end(workers: dict[int, Worker], folder: str, owner: int) -> None:
    """Let the processes end, or make them, and the shared memory go."""
    if os.getpid() != owner:  # a fork has a copy of what is not its own
        return
    for worker in workers.values():
        with contextlib.suppress(OSError):
            if not worker.speaking.locked():
                worker.pipe.send(None)
            worker.pipe.close()
    deadline = time.monotonic() + FAREWELL
    for worker in workers.values():
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.terminate()
            worker.process.join()
    workers.clear()
    shutil.rmtree(folder, ignore_errors=True)


@final
class Asking:
    """The source of one pass: claims here, finishes in processes."""

    def __init__(self, source: Any, seed: int, processes: Processes) -> None:
        self.source = Seeded(source, seed)
        self.seed = seed
        self.processes = processes

    def claim(self, number: int, task: Any) -> Any:
        return self.source.claim(number, task)

    def finish(self, number: int, claimed: Any) -> Any:
        return self.processes.ask(self.seed, number, claimed)


def serve(pipe: Any, payload: bytes, worker: int, folder: str) -> None:
    """A worker process: batches for tasks, until it is told to end or its parent is gone."""
    set_num_threads(1)
    source: Any = None

    def begin() -> None:
        nonlocal source
        source, infos, start = pickle.loads(payload)
        appear_as(infos[worker])
        if start is not None:
            start(worker)

    answer(pipe, begin)
    parent = multiprocessing.parent_process()
    sentinels = [parent.sentinel] if parent is not None else []
    while True:
        try:
            if set(connection.wait([pipe, *sentinels])) & set(sentinels):
                shutil.rmtree(folder, ignore_errors=True)  # the parent was killed
                return
            question = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        if question is None:
            return
        answer(pipe, functools.partial(made, source, *question))


def made(source: Any, seed: int, number: int, task: Any) -> Any:
    reseed(seed, number)
    return Seeded(source, seed).finish(number, task)


def answer(pipe: Any, make: Callable[[], Any]) -> None:
    try:
        reply = (True, make(), "")
    except Exception as error:
        reply = (False, sendable(error), traceback.format_exc())
    try:
        pipe.send(reply)
    except BrokenPipeError:
        return
    except Exception as error:  # what was made cannot be pickled
        pipe.send((False, sendable(error), traceback.format_exc()))


def sendable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
